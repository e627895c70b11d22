// Which words was the program started with? Swift looks for them around the environment, where they are not found once a
// library has replaced that; the kernel tells them in `/proc`, which a root that holds nothing but the program does not
// have; there they are still on the stack, where the kernel put them.

import Glibc

/// The words of the command line, the program's own name first.
func processArguments() -> [String] {
    let arguments = CommandLine.arguments
    return arguments.count > 1 ? arguments : argumentsOfKernel() ?? argumentsOnStack()
}

/// What `/proc` says, each word with a NUL behind it; nil where there is no such file.
private func argumentsOfKernel() -> [String]? {
    guard case .success(let bytes) = readFile("/proc/self/cmdline", bytesMax: 4 << 20), !bytes.isEmpty else {
        return nil
    }
    return bytes.dropLast().split(separator: 0, omittingEmptySubsequences: false).map {
        String(decoding: $0, as: UTF8.self)
    }
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
