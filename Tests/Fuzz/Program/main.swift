// The program around libFuzzer: `hdproxy-fuzz TARGET [libFuzzer's arguments]` looks for inputs that break the target's
// properties, and replays the files that are named. `list`, `unpack` and `pack` serve the script that runs it.

import CFuzzer
import Foundation

/// What is fuzzed in this process. Set before the first input, and never again.
///
/// Safety: libFuzzer calls back on the thread that set it.
nonisolated(unsafe) private var chosen = FuzzTarget.requestHead

/// Where a process tells its children the target.
private let variable = "HDPROXY_FUZZ_TARGET"

private func run(_ arguments: [String]) -> Int32 {
    do {
        switch arguments.dropFirst().first {
        case "list":
            for target in FuzzTarget.allCases { print(target.rawValue, target.inputBytesMax) }
            return 0
        case "unpack" where arguments.count == 5:
            try CorpusFile.unpack(
                try target(arguments[2]), from: URL(filePath: arguments[3]), into: URL(filePath: arguments[4]))
            return 0
        case "pack" where arguments.count == 5:
            try CorpusFile.pack(
                try target(arguments[2]), from: URL(filePath: arguments[3]), into: URL(filePath: arguments[4]))
            return 0
        case let name?:
            // libFuzzer starts us again to merge, with its own arguments alone.
            let inherited = name.hasPrefix("-") ? ProcessInfo.processInfo.environment[variable] : nil
            let target = try target(inherited ?? name)
            // Safety: the names are copied; no other thread runs yet. See ``chosen``.
            unsafe setenv(variable, target.rawValue, 1)
            unsafe chosen = target
            return fuzz([arguments[0]] + arguments.dropFirst(inherited == nil ? 2 : 1))
        case nil: throw Finding("usage: hdproxy-fuzz TARGET [ARGUMENTS OF LIBFUZZER] | list | (un)pack TARGET FROM TO")
        }
    } catch {
        FileHandle.standardError.write(Data("hdproxy-fuzz: \(error)\n".utf8))
        return 2
    }
}

private func target(_ name: String) throws -> FuzzTarget {
    guard let target = FuzzTarget(rawValue: name) else {
        throw Finding("no target \(name); there are \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return target
}

/// Hands over to libFuzzer, which ends the process with a status of its own where something is found.
private func fuzz(_ arguments: [String]) -> Int32 {
    // Safety: the strings live to the end of the process, and so does the array of them.
    unsafe arguments.map { unsafe strdup($0) }.withUnsafeBufferPointer { strings in
        let copy = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
        for index in strings.indices { unsafe copy[index] = unsafe strings[index] }
        unsafe copy[strings.count] = nil
        var count = Int32(strings.count)
        var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe copy
        return unsafe LLVMFuzzerRunDriver(&count, &pointer) { data, size in
            let input = unsafe Array(UnsafeBufferPointer(start: data, count: size))
            do {
                try unsafe chosen.check(input)
            } catch {
                // The message is what a reader needs; the trap is what libFuzzer sees.
                FileHandle.standardError.write(Data("\nFINDING: \(error)\n".utf8))
                abort()
            }
            return 0
        }
    }
}

exit(run(CommandLine.arguments))
