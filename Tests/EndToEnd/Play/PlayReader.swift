// Reads a page of plays: Markdown whose `##` headings are rules and whose fenced blocks are plays.

import Foundation
import TestTools
import Testing

/// A page of Tests/Corpus/Plays.
struct PlayPage: Sendable, CustomTestStringConvertible {
    var name: String
    var plays: [Play]

    var testDescription: String { "\(name), \(plays.count) plays" }

    /// All pages, in the order of their names.
    static func all() throws -> [PlayPage] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Corpus/Plays")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "md" && $0.lastPathComponent != "README.md" }
            .sorted { $0.path < $1.path }
            .map { file in
                let name = file.deletingPathExtension().lastPathComponent
                return PlayPage(name: name, plays: try plays(of: String(contentsOf: file, encoding: .utf8), page: name))
            }
    }

    /// The plays of a page's text; one for each `each` line of a block.
    static func plays(of text: String, page: String) throws -> [Play] {
        var plays: [Play] = []
        var heading: String?
        var block: [(number: Int, text: String)]?
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("```") {
                if let lines = block {
                    guard let title = heading else {
                        throw StageError("\(page):\(index + 1): a play without a heading")
                    }
                    plays += try read(lines, title: "\(page): \(title)")
                    block = nil
                } else {
                    block = []
                }
            } else if block != nil {
                block?.append((index + 1, String(line)))
            } else if line.hasPrefix("## ") {
                heading = String(line.dropFirst(3))
            }
        }
        return plays
    }

    private static let verbs = [
        "hears nothing", "hears no end", "is answered", "is refused", "is closed", "is kept", "reads head",
        "reads body",
        "reads bytes", "reads end", "reads", "sends", "drips", "finishes", "resets", "closes", "connects", "accepts",
    ]

    private static func read(_ lines: [(number: Int, text: String)], title: String) throws -> [Play] {
        var play = Play(title: title)
        var variants: [(each: String, then: String)] = []
        for (number, line) in lines where !line.trimmed.isEmpty {
            if line.hasPrefix(" ") {
                guard !play.steps.isEmpty else { throw StageError("\(title): line \(number) continues nothing") }
                play.steps[play.steps.count - 1].details.append(line.trimmed)
                continue
            }
            var words = line[...]
            switch words.takeWord() {
            case "given": play.given.append(words.trimmed)
            case "each":
                let parts = words.trimmed.components(separatedBy: " => ")
                variants.append((parts[0], parts.count > 1 ? parts[1] : ""))
            case "ways":
                let names = words.components(separatedBy: ",").map(\.trimmed)
                play.ways = Set(names.compactMap(Way.init(rawValue:)))
                guard play.ways?.count == names.count else { throw StageError("\(title): line \(number): \(line)") }
            case let who where who == "client" || who == "upstream":
                var number1: Int?
                if let digit = words.first?.wholeNumberValue {
                    number1 = digit
                    words = words.dropFirst().drop { $0 == " " }
                }
                guard let verb = verbs.first(where: { words == $0 || words.hasPrefix($0 + " ") }) else {
                    throw StageError("\(title): line \(number): no such verb: \(line)")
                }
                play.steps.append(
                    Step(
                        actor: who == "client" ? .client(number1 ?? 1) : .upstream(number1), verb: verb,
                        object: words.dropFirst(verb.count).trimmed, details: [], line: number))
            default: throw StageError("\(title): line \(number): \(line)")
            }
        }
        guard !play.steps.isEmpty else { throw StageError("\(title): no steps") }
        if variants.isEmpty { return [play] }
        return variants.map { variant in
            var one = play
            one.variant = variant
            one.title += " [\(variant.each.escaped)]"
            return one
        }
    }
}

extension Substring {
    fileprivate mutating func takeWord() -> String {
        let word = prefix { $0 != " " }
        self = dropFirst(word.count).drop { $0 == " " }
        return String(word)
    }
}

/// Turns a play's text into bytes: `$host`, `$each`, `$then`, `${text*count}`, then `\r \n \t \0 \\ \xHH`.
struct PlayText {
    var host: String
    var variant: (each: String, then: String)?

    /// The text with its names replaced, escapes untouched.
    func expand(_ raw: String) throws -> String {
        var text = raw
        if let variant {
            text = text.replacing("$each", with: variant.each).replacing("$then", with: variant.then)
        }
        text = text.replacing("$host", with: host)
        while let start = text.range(of: "${") {
            guard let end = text.range(of: "}", range: start.upperBound..<text.endIndex),
                let star = text.range(of: "*", options: .backwards, range: start.upperBound..<end.lowerBound),
                let count = Int(text[star.upperBound..<end.lowerBound])
            else { throw StageError("no repetition: \(raw)") }
            let unit = String(text[start.upperBound..<star.lowerBound])
            text.replaceSubrange(start.lowerBound..<end.upperBound, with: String(repeating: unit, count: count))
        }
        return text
    }

    /// The bytes that `raw` stands for.
    func bytes(_ raw: String) throws -> [UInt8] {
        try unescaped(expand(raw))
    }

    /// The same as one character a byte.
    func text(_ raw: String) throws -> String { try bytes(raw).latin1 }
}
