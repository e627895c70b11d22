// The project as a tree of files, for tests about the house itself.

import Foundation

/// A text file of the project.
struct SourceFile: Sendable {
    /// Its path from the root of the project.
    var path: String
    var lines: [String]
    /// The lines without comments and without what stands in string literals.
    let code: [String]

    init(path: String, lines: [String]) {
        self.path = path
        self.lines = lines
        code = path.hasSuffix(".swift") ? Self.code(of: lines) : []
    }

    /// The path's parts: `Sources`, `ProxyCore`, `HTTP1`, …
    var parts: [String] { path.split(separator: "/").map(String.init) }

    /// What the file imports, with the line's number.
    var imports: [(module: String, line: Int)] {
        code.enumerated().compactMap { index, line in
            let words = line.split(separator: " ").map(String.init)
            guard let position = words.firstIndex(of: "import"), position + 1 < words.count,
                words[..<position].allSatisfy({ $0.hasPrefix("@") || ["public", "internal", "private"].contains($0) })
            else { return nil }
            return (words[position + 1], index + 1)
        }
    }

    /// The names of types declared at the file's top level.
    var declaredTypes: [String] {
        code.compactMap { line in
            // What stands further in is no declaration of the top level, and regular expressions are slow.
            guard let first = line.utf8.first, (0x40...0x7A).contains(first) else { return nil }
            guard
                let match = line.firstMatch(
                    of:
                        /^(?:(?:public|private|fileprivate|internal|package|final|indirect|@\w+) )*(struct|enum|class|actor|protocol|typealias) (\w+)/
                )
            else { return nil }
            return String(match.2)
        }
    }

    private static func code(of lines: [String]) -> [String] {
        var isInText = false
        return lines.map { line in
            // Literals of several lines begin and end with three quotes.
            if line.contains("\"\"\"") {
                defer { isInText.toggle() }
                return isInText ? "" : String(line[..<line.firstRange(of: "\"\"\"")!.lowerBound])
            }
            if isInText { return "" }
            // Bytes, because characters take seconds for a whole tree in a debug build.
            var kept: [UInt8] = []
            var isInLiteral = false
            var isEscaped = false
            var previous: UInt8 = 0
            for byte in line.utf8 {
                if isInLiteral {
                    if !isEscaped && byte == UInt8(ascii: "\"") { isInLiteral = false }
                    isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
                } else if byte == UInt8(ascii: "\"") {
                    isInLiteral = true
                } else if byte == UInt8(ascii: "/") && previous == byte {
                    kept.removeLast()
                    break
                } else {
                    kept.append(byte)
                }
                previous = byte
            }
            return String(decoding: kept, as: UTF8.self)
        }
    }
}

/// The whole project, read once.
struct SourceTree: Sendable {
    static let project = Result { try SourceTree() }

    let root: URL
    let files: [SourceFile]
    /// The rooms of ProxyCore from top to bottom, as the table in ARCHITECTURE.md has them.
    let rooms: [(name: String, isDry: Bool)]

    private init() throws {
        root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        var files: [SourceFile] = []
        for folder in ["Sources", "Benchmarks", "Tests"] {
            let all = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
            while let name = all?.nextObject() as? String {
                guard name.hasSuffix(".swift") || name.hasSuffix(".md") else { continue }
                files.append(try Self.file("\(folder)/\(name)", in: root))
            }
        }
        for name in ["Package.swift", "README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"] {
            files.append(try Self.file(name, in: root))
        }
        self.files = files.sorted { $0.path < $1.path }
        rooms = try Self.file("ARCHITECTURE.md", in: root).lines.compactMap { line in
            line.firstMatch(of: /^\| `ProxyCore\/(\w+)` \((dry|wet)\)/).map { (String($0.1), $0.2 == "dry") }
        }
    }

    private static func file(_ path: String, in root: URL) throws -> SourceFile {
        let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
        return SourceFile(
            path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
    }

    /// The Swift files below `folder`.
    func swift(below folder: String) -> [SourceFile] {
        files.filter { $0.path.hasPrefix(folder + "/") && $0.path.hasSuffix(".swift") }
    }

    func file(_ path: String) -> SourceFile? { files.first { $0.path == path } }
}
