func microCommand() -> Command { Command(name: "micro", summary: "", help: "", options: []) { _ in 0 } }
