// The harness. All code lives in functions: what stands here would run on the main actor, at a price.

import Glibc

exit(runBench(Array(CommandLine.arguments.dropFirst())))
