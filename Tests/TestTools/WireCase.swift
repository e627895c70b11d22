// A wire case: bytes of a message, and what we make of them. The grammar is told in Tests/Corpus/Wire/README.md.

import Foundation
import ProxyCore

/// One case, read from a page of Tests/Corpus/Wire.
package struct WireCase: Sendable {
    package enum Kind: Sendable {
        case request
        case response(Method)
        case chunks
    }

    package enum Verdict: Sendable {
        /// The bytes are the beginning of a message.
        case needsMore
        /// They break a rule; the reason of the rejection, and those that a beginning of them may have.
        case refused([String])
        /// They are a message, of which this is true.
        case read([String])
    }

    /// The page's name, the heading and the variant.
    package var title: String
    /// Whether it is a bug that is known: the case must fail, and this goes with the fix.
    package var isKnownBug = false
    /// Limits and terms that are not the usual ones.
    package var given: [String: String] = [:]
    package var kind = Kind.request
    package var bytes: [UInt8] = []
    package var verdict: Verdict?
    /// How it travels on, byte for byte.
    package var forwarded: [UInt8]?
    /// A body without its chunks.
    package var forwardedBare: [UInt8]?
    /// The longest beginning that is not refused yet.
    package var endures: [UInt8]?

    package func number(_ key: String, _ usual: Int) -> Int { given[key].flatMap(Int.init) ?? usual }

    package var limits: HeadLimits {
        HeadLimits(
            headerBytes: number("header bytes", 8192), requestTargetBytes: number("target bytes", 2048))
    }

    package var linesMax: Int { number("lines", 64) }
}

/// What is wrong with a page.
package struct WireError: Error, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// A page of Tests/Corpus/Wire.
package struct WirePage: Sendable {
    package var name: String
    package var cases: [WireCase]

    /// All pages, in the order of their names.
    package static func all() throws -> [WirePage] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Corpus/Wire")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "md" && $0.lastPathComponent != "README.md" }
            .sorted { $0.path < $1.path }
            .map { file in
                let name = file.deletingPathExtension().lastPathComponent
                return WirePage(name: name, cases: try cases(of: String(contentsOf: file, encoding: .utf8), page: name))
            }
    }

    private static func cases(of text: String, page: String) throws -> [WireCase] {
        var cases: [WireCase] = []
        var heading: String?
        var block: [String]?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("```") {
                if let lines = block {
                    guard let heading else { throw WireError("\(page):\(index + 1): a case without a heading") }
                    cases += try variants(lines, title: "\(page): \(heading)")
                    block = nil
                } else {
                    block = []
                }
            } else if block != nil {
                block?.append(String(line))
            } else if line.hasPrefix("## ") {
                heading = String(line.dropFirst(3))
            }
        }
        return cases
    }

    /// The case of a block, once for each of its `each` lines.
    private static func variants(_ lines: [String], title: String) throws -> [WireCase] {
        let variants = lines.filter { $0 == "each" || $0.hasPrefix("each ") }.map { $0.dropFirst(5) }
        let others = lines.filter { $0 != "each" && !$0.hasPrefix("each ") }
        if variants.isEmpty { return [try read(others, title: title)] }
        return try variants.map { variant in
            let halves = variant.components(separatedBy: " => ")
            let expanded = others.map {
                $0.replacing("$each", with: halves[0]).replacing("$then", with: halves.count > 1 ? halves[1] : "")
            }
            return try read(expanded, title: "\(title) [\(variant)]")
        }
    }

    private static func read(_ lines: [String], title: String) throws -> WireCase {
        var result = WireCase(title: title)
        // A line, with those indented below it.
        var groups: [(line: String, below: [String])] = []
        for line in lines where !line.trimmingCharacters(in: .whitespaces).isEmpty {
            if line.hasPrefix(" ") {
                guard !groups.isEmpty else { throw WireError("\(title): \(line) continues nothing") }
                groups[groups.count - 1].below.append(line.trimmingCharacters(in: .whitespaces))
            } else {
                groups.append((line, []))
            }
        }
        for (line, below) in groups {
            func rest(_ verb: String) -> String? {
                line == verb ? "" : line.hasPrefix(verb + " ") ? String(line.dropFirst(verb.count + 1)) : nil
            }
            func bytes(_ first: String) throws -> [UInt8] { try WireText.bytes(([first] + below).joined()) }
            if line == "not yet" {
                result.isKnownBug = true
            } else if let key = rest("given") {
                let words = key.components(separatedBy: ": ")
                result.given[words[0]] = words.count > 1 ? words[1] : ""
            } else if let text = rest("request") {
                result.kind = .request
                result.bytes = try bytes(text)
            } else if let text = rest("response to") {
                let name = text.prefix { $0 != " " }
                guard let method = Method.allCases.first(where: { "\($0.name)" == name }) else {
                    throw WireError("\(title): no such method: \(text)")
                }
                result.kind = .response(method)
                result.bytes = try bytes(String(text.dropFirst(name.count + 1)))
            } else if let text = rest("chunks") {
                result.kind = .chunks
                result.bytes = try bytes(text)
            } else if line == "needs more" {
                result.verdict = .needsMore
            } else if let reasons = rest("is refused") {
                result.verdict = .refused(reasons.components(separatedBy: " or earlier "))
            } else if let text = rest("endures") {
                result.endures = try bytes(text)
            } else if let condition = rest("reads as") {
                result.verdict = .read(([condition] + below).filter { !$0.isEmpty })
            } else if let text = rest("is forwarded bare as") {
                result.forwardedBare = try bytes(text)
            } else if let text = rest("is forwarded as") {
                result.forwarded = try bytes(text)
            } else {
                throw WireError("\(title): no such line: \(line)")
            }
        }
        guard result.verdict != nil else { throw WireError("\(title): what do we make of it?") }
        return result
    }
}

/// Turns a case's text into bytes: `${text*count}`, `$said`, `$id`, `$date`, then `\r \n \t \0 \\ \xHH`.
package enum WireText {
    /// The id of every exchange here.
    package static var id: RequestID { RequestID(high: 0x0123_4567_89AB_CDEF, low: 0x0011_2233_4455_6677) }
    /// The client of every request here.
    package static let client = IPAddress("192.0.2.1")!
    /// 2026-11-24 09:14:27 UTC.
    package static let unixSeconds: Int64 = 1_795_511_667

    private static let idLine = "X-Request-Id: 0123456789abcdef0011223344556677\\r\\n"
    private static let said =
        "X-Forwarded-For: 192.0.2.1\\r\\nX-Forwarded-Proto: http\\r\\nX-Forwarded-Host: a\\r\\n"
        + "X-Real-IP: 192.0.2.1\\r\\n" + idLine

    package static func bytes(_ raw: String) throws -> [UInt8] {
        var text = raw.replacing("$said", with: said).replacing("$id", with: idLine)
            .replacing("$date", with: "Date: Tue, 24 Nov 2026 09:14:27 GMT\\r\\n")
        while let start = text.range(of: "${") {
            guard let end = text.range(of: "}", range: start.upperBound..<text.endIndex),
                let star = text.range(of: "*", options: .backwards, range: start.upperBound..<end.lowerBound),
                let count = Int(text[star.upperBound..<end.lowerBound])
            else { throw WireError("no repetition: \(raw)") }
            let unit = String(text[start.upperBound..<star.lowerBound])
            text.replaceSubrange(start.lowerBound..<end.upperBound, with: String(repeating: unit, count: count))
        }
        return try unescaped(text)
    }
}

extension Sequence<UInt8> {
    /// As text that can be read and pasted into a page.
    package var escaped: String {
        map { byte in
            switch byte {
            case 13: "\\r"
            case 10: "\\n"
            case 9: "\\t"
            case UInt8(ascii: "\\"): "\\\\"
            case 0x20..<0x7F: String(UnicodeScalar(byte))
            default: "\\x" + String(format: "%02x", byte)
            }
        }.joined()
    }
}
