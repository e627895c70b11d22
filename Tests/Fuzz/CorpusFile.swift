// Where do fuzzing runs begin? `Corpus/TARGET.txt`: inputs of which each shows the target something that no other does,
// as text, one a line, so that a change of them can be read. Bytes are escaped as in `Tests/Corpus`; a line that begins
// with `#` is a remark, such as what was once found with the input below it.

import Foundation
import TestTools

/// A target's inputs.
enum CorpusFile {
    /// The inputs that `text` holds.
    static func inputs(_ text: String) throws -> [[UInt8]] {
        try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { try unescaped(String($0)) }
    }

    /// The line that holds `input`. A first `#` and a last space would be lost, and are escaped.
    static func line(_ input: [UInt8]) -> String {
        var text = input.escaped
        if text.hasPrefix("#") { text = "\\x23" + text.dropFirst() }
        if text.hasSuffix(" ") { text = text.dropLast() + "\\x20" }
        // An empty line is no input, and the empty input is tried anyway.
        return text
    }

    /// The corpus of `target` in `folder`; empty where there is none yet.
    static func read(_ target: FuzzTarget, in folder: URL) throws -> [[UInt8]] {
        let file = folder.appending(path: "\(target.rawValue).txt")
        guard FileManager.default.fileExists(atPath: file.path) else { return [] }
        return try inputs(String(contentsOf: file, encoding: .utf8))
    }

    /// Writes each input of the corpus of `target` as a file of its own into `directory`, as libFuzzer wants them.
    static func unpack(_ target: FuzzTarget, from folder: URL, into directory: URL) throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for (index, input) in try read(target, in: folder).enumerated() {
            try Data(input).write(to: directory.appending(path: "kept-\(index)"))
        }
    }

    /// Makes the files of `directory` the corpus of `target`, small ones first. Remarks and what stands below them stay.
    static func pack(_ target: FuzzTarget, from directory: URL, into folder: URL) throws {
        let file = folder.appending(path: "\(target.rawValue).txt")
        let old = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        var kept: [String] = []
        var isBelowRemark = false
        for line in old.split(separator: "\n") {
            if line.hasPrefix("#") || isBelowRemark { kept.append(String(line)) }
            isBelowRemark = line.hasPrefix("#")
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        let inputs = try names.map { Array(try Data(contentsOf: directory.appending(path: $0))) }
            .sorted { ($0.count, $0.escaped) < ($1.count, $1.escaped) }
        let lines = inputs.map(line).filter { !$0.isEmpty && !kept.contains($0) }
        try Data((kept + lines).map { $0 + "\n" }.joined().utf8).write(to: file)
    }
}
