// The program begins here, and leaves at once for a global function: code that stands in `main` itself belongs to the
// main actor, and every closure made there would be checked for it, also on a worker's thread.

import Glibc

@main struct Main {
    static func main() { exit(runProcess(processArguments())) }
}
