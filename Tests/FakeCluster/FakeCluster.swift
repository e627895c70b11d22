// A Kubernetes API server for tests, the demo and benchmarks.
