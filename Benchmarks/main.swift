print("hdproxy-bench")
