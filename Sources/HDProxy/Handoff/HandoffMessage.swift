// What do two processes say to each other when one follows the other? Messages as JSON in frames of known length, over a
// Unix socket; descriptors travel beside the frames that name them:
//
//     successor                          predecessor
//     ask ─────────────────────────────►            or `refuse`, with a reason
//       ◄───────────────────────────── offer
//       ◄───────────────────────────── descriptors    as often as it takes
//     received ────────────────────────►            it has all, and what else it needs: the predecessor stops
//       ◄───────────────────────────── stopped        only now the successor accepts
//     passedOn ────────────────────────►            it has a successor of its own
//
// Within a protocol version fields may be added, and unknown ones are ignored. What must be understood gets a new version;
// the successor asks with the range that it speaks.

import Foundation
import ProxyCore

/// A message of a handoff.
enum HandoffMessage: Codable, Equatable, Sendable {
    /// The successor's question: protocol versions that it speaks, its program's version and its process id.
    case ask(oldest: Int, newest: Int, version: String, process: Int)
    /// The predecessor's no; ``HandoffRefusal`` has the words.
    case refuse(reason: String, version: String)
    /// The predecessor's yes: the protocol version that is spoken, who it is, for how long it can take back, and how many
    /// descriptors follow.
    case offer(protocol: Int, version: String, process: Int, confirmMilliseconds: Int, descriptors: Int)
    /// What the descriptors are that come with this very message, in order.
    case descriptors(places: [HandoffPlace])
    /// The successor has all it needs. The predecessor closes its descriptors of the `dropped` listeners at once, because
    /// nobody is going to accept there.
    case received(dropped: [String])
    /// The predecessor has stopped accepting. What it counted goes on counting; keys for session tickets, base64, are
    /// opaque here.
    case stopped(counters: InheritedCounters, sessionTicketKeys: String)
    /// The successor has handed over in its turn: it may end, and nothing is to be taken back.
    case passedOn

    /// Protocol versions that this program speaks.
    static let versions = 1...1
}

/// Keys of session tickets as they travel: one after the other, in base64. Whoever reads them is a process of the same
/// user, who can read our memory, too.
enum TicketKeysText {
    /// Keys that are taken at most.
    static let keysMax = 4

    /// `keys` as text.
    static func write(_ keys: [TicketKey]) -> String { Data(keys.flatMap(\.bytes)).base64EncodedString() }

    /// The keys that `text` holds; none where it is not of that form.
    static func read(_ text: String) -> [TicketKey] {
        guard let data = Data(base64Encoded: text), data.count % TicketKey.byteCount == 0 else { return [] }
        let bytes = [UInt8](data)
        return stride(from: 0, to: bytes.count, by: TicketKey.byteCount).prefix(keysMax)
            .compactMap { TicketKey(bytes: Array(bytes[$0..<($0 + TicketKey.byteCount)])) }
    }
}

/// Why a predecessor says no.
enum HandoffRefusal: String, Equatable, Sendable, CaseIterable {
    /// Another successor is just taking over: ask again.
    case busy
    /// It has handed over already, so whoever asks again reaches its successor.
    case handedOver = "handed-over"
    /// It is leaving and does not listen any more.
    case leaving
    /// There is no protocol version that both speak.
    case version

    /// Whether asking again helps.
    var isPassing: Bool { self == .busy || self == .handedOver }
}

/// What a descriptor is.
struct HandoffPlace: Codable, Equatable, Sendable {
    /// What kinds there are.
    enum Kind: String, Codable, Sendable { case listener, admin, handoff }

    /// What it is.
    var kind: Kind
    /// The listener's name in the predecessor's configuration.
    var name = ""
    /// The address that is configured there, or the path.
    var configured = ""
    /// The address that it has got.
    var address = ""
}

/// Why bytes are no message.
enum HandoffFault: Error, Equatable {
    /// They do not begin as frames do.
    case garbage
    /// The frame is longer than the reader takes.
    case tooLong(Int)
    /// What is in the frame is no message that we know.
    case unreadable
}

/// Frames: `HDHO`, the length of what follows as four bytes, most significant first, and the message.
enum HandoffFrame {
    static let magic: [UInt8] = Array("HDHO".utf8)
    /// What a predecessor reads of a message: whoever asks has not much to say.
    static let questionBytesMax = 256 * 1024
    /// What a successor reads of a message: counters are many.
    static let answerBytesMax = 16 * 1024 * 1024
    /// Descriptors of one handoff at most.
    static let descriptorsMax = 4096

    /// `message` in its frame.
    static func write(_ message: HandoffMessage) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let data = try? encoder.encode(message) else { preconditionFailure("our messages can be encoded") }
        let count = UInt32(clamping: data.count)
        return magic + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + data
    }
}

/// Takes messages out of the bytes as they come.
struct HandoffReader {
    private let bytesMax: Int
    private var bytes: [UInt8] = []

    /// A reader of messages of at most `bytesMax` bytes.
    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// Takes more bytes.
    mutating func append(_ more: [UInt8]) { bytes += more }

    /// The next message; nil where more bytes are needed.
    mutating func next() throws(HandoffFault) -> HandoffMessage? {
        let header = HandoffFrame.magic.count + 4
        for (byte, expected) in zip(bytes, HandoffFrame.magic) where byte != expected { throw .garbage }
        guard bytes.count >= header else { return nil }
        let count = bytes[4..<header].reduce(0) { $0 << 8 | Int($1) }
        guard count <= bytesMax else { throw .tooLong(count) }
        guard bytes.count >= header + count else { return nil }
        guard let message = try? JSONDecoder().decode(HandoffMessage.self, from: Data(bytes[header..<(header + count)]))
        else { throw .unreadable }
        bytes.removeFirst(header + count)
        return message
    }
}
