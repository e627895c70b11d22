// The proxy with backends of its own on loopback, to try it without anything else.

/// Starts the demo and serves until a signal ends it.
func runDemo() -> Int32 {
    writeFully("hdproxy: the demo is not part of this build\n", to: 2)
    return 1
}
