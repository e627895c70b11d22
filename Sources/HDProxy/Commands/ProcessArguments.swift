// Which words was the program started with? Swift reads them from `/proc`, which a root that holds nothing but the
// program does not have; there they are still on the stack, where the kernel put them.

import Glibc

/// The words of the command line, the program's own name first.
func processArguments() -> [String] {
    let arguments = CommandLine.arguments
    // Safety: a constant path.
    return arguments.count > 1 || (unsafe access("/proc/self/cmdline", R_OK)) == 0 ? arguments : argumentsOnStack()
}

/// argc, then argv with a null behind it, then the environment (System V ABI, AMD64 and AArch64, process start): from
/// the environment backwards, the number that equals the pointers passed is argc.
private func argumentsOnStack() -> [String] {
    // Safety: nobody has replaced `environ` yet, so it points into that block, of which only what was described is read.
    let end = unsafe UnsafeRawPointer(environ).assumingMemoryBound(to: UInt.self) - 1
    var count = 0
    while count < 4096, unsafe end[-1 - count] != UInt(count) { count += 1 }
    return (0..<count).map { index in
        let word = unsafe UnsafePointer<CChar>(bitPattern: end[index - count])
        return unsafe word.map { unsafe String(cString: $0) } ?? ""
    }
}
