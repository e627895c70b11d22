// The recorded exchanges with a real API server, and a way to cut bytes anywhere.

import FoundationEssentials
import ProxyCore
import Testing

@testable import Discovery

/// One recorded exchange.
struct Recording {
    var name: String
    var response: [UInt8]

    /// `name` is folder and file, as in `endpointslices/list`.
    init(_ name: String) throws {
        self.name = name
        response = try Self.bytes(name + ".response")
    }

    /// All that have a response, sorted.
    static var all: [String] {
        let files = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
        return files.filter { $0.hasSuffix(".response") }.map { String($0.dropLast(9)) }.sorted()
    }

    /// The lines of a table beside it, without its head, split at tabs.
    static func table(_ path: String) throws -> [[String]] {
        String(decoding: try bytes(path), as: UTF8.self).split(separator: "\n").dropFirst().map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
    }

    /// The events that were recorded with it.
    var events: [RecordedEvent] {
        get throws { try Self.table(name + ".events.tsv").map(RecordedEvent.init) }
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(filePath: folder + "/" + path)))
    }

    private static let folder: String = {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        return "/" + root + "/Tests/Fixtures/kubernetes"
    }()
}

/// One line of an events table.
struct RecordedEvent {
    var type: String
    var key: ObjectKey
    var resourceVersion: String
    var summary: String

    init(_ fields: [String]) {
        type = fields[1]
        key = ObjectKey(namespace: fields[2], name: fields[3])
        resourceVersion = fields[4]
        summary = fields.count > 6 ? fields[6] : ""
    }
}

/// Cuts bytes into pieces, by chance but repeatably.
struct Cutter {
    enum Manner: CaseIterable, CustomTestStringConvertible {
        /// All at once.
        case whole
        /// One byte after the other.
        case single
        /// Pieces of one to some thousand bytes.
        case random

        var testDescription: String { "\(self)" }
    }

    var state: UInt64

    /// The seed of this run; print it with every failure.
    static let seed = systemRandom()

    init(seed: UInt64 = Cutter.seed) { state = seed | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func pieces(_ bytes: [UInt8], _ manner: Manner) -> [ArraySlice<UInt8>] {
        switch manner {
        case .whole: return [bytes[...]]
        case .single: return bytes.indices.map { bytes[$0...$0] }
        case .random:
            var pieces: [ArraySlice<UInt8>] = []
            var at = 0
            let largest = 1 << (next() % 13)
            while at < bytes.count {
                let end = min(bytes.count, at + 1 + Int(next() % UInt64(largest)))
                pieces.append(bytes[at..<end])
                at = end
            }
            return pieces
        }
    }
}

/// What came of bytes that were fed to an ``AnswerReader``, as a connection would.
struct ReadAnswer {
    var heads: [APIAnswer] = []
    var body: [UInt8] = []
    var isComplete = false
    var rejection: Rejection?
    /// The pieces in which the body came out.
    var bodyPieces: [[UInt8]] = []

    init(_ pieces: [ArraySlice<UInt8>]) {
        var reader = AnswerReader()
        var pending: [UInt8] = []
        do throws(Rejection) {
            for piece in pieces {
                pending += piece
                var at = 0
                var bodyHere: [UInt8] = []
                steps: while true {
                    switch try reader.next(pending.span, at: &at) {
                    case .needMore: break steps
                    case .head(let head):
                        heads.append(head)
                        isComplete = false
                    case .body(let range): bodyHere += pending[range.range]
                    case .end:
                        isComplete = true
                        break steps
                    }
                }
                pending.removeFirst(at)
                if !bodyHere.isEmpty { bodyPieces.append(bodyHere) }
                body += bodyHere
            }
            if reader.endsWithConnection { isComplete = true }
        } catch {
            rejection = error
        }
    }
}
