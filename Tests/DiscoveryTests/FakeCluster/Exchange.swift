// What travelled? One answer with its framing, recorded or from the fake, and what two of them must have in common.

import FakeCluster
import Foundation
import Glibc
import ProxyCore

/// An answer as it travelled.
struct Answered {
    var statusLine = ""
    var fields: [(name: String, value: String)] = []
    /// The sizes of its chunks; nil where it has a length. The last one, of size 0, only where it came.
    var chunks: [Int]?
    var body: [UInt8] = []

    /// Reads a whole answer, or the beginning of one.
    init(_ bytes: [UInt8]) {
        let text = Data(bytes)
        guard let end = text.range(of: Data("\r\n\r\n".utf8)) else { return }
        let lines = String(decoding: text[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        statusLine = lines[0]
        fields = lines.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            return (String(parts[0]), parts[1].trimmingCharacters(in: .whitespaces))
        }
        let rest = [UInt8](text[end.upperBound...])
        guard value("Transfer-Encoding") == "chunked" else {
            body = rest
            return
        }
        var sizes: [Int] = []
        var at = 0
        while let lineEnd = rest[at...].firstIndex(of: 13), lineEnd + 1 < rest.count,
            let size = Int(String(decoding: rest[at..<lineEnd], as: UTF8.self), radix: 16),
            lineEnd + 2 + size + 2 <= rest.count
        {
            sizes.append(size)
            body += rest[(lineEnd + 2)..<(lineEnd + 2 + size)]
            at = lineEnd + 2 + size + 2
            if size == 0 { break }
        }
        chunks = sizes
    }

    func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// Whether its end has come.
    var isComplete: Bool {
        if statusLine.isEmpty { return false }
        if let chunks { return chunks.last == 0 }
        return body.count >= Int(value("Content-Length") ?? "0")!
    }

    /// The lines of a watch.
    var lines: [String] {
        String(decoding: body, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Names in order, and the values of those that do not change from answer to answer.
    var fixedFields: [String] {
        let changing = ["Audit-Id", "Date", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid"]
        return fields.map {
            changing.contains($0.name) || $0.name == "Content-Length" ? $0.name : "\($0.name): \($0.value)"
        }
    }

    /// A recorded one, and the request's target.
    static func recorded(_ name: String) throws -> (target: String, answer: Answered) {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/kubernetes")
        let request = try String(contentsOf: root.appending(path: name + ".request"), encoding: .utf8)
        let response = try Data(contentsOf: root.appending(path: name + ".response"))
        return (String(request.split(separator: " ")[1]), Answered([UInt8](response)))
    }
}

/// JSON without its values: every key in order, a letter for each value's kind, of equal neighbours in an array one.
func skeleton(_ json: String) -> String {
    var rest = Array(json.utf8)[...]
    func skipSpace() { while let byte = rest.first, byte <= 32 { rest.removeFirst() } }
    func string() -> String {
        var out: [UInt8] = []
        rest.removeFirst()
        while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
            out.append(byte)
            if byte == UInt8(ascii: "\\"), let next = rest.popFirst() { out.append(next) }
        }
        return String(decoding: out, as: UTF8.self)
            .replacing(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, with: "UID")
    }
    func value() -> String {
        skipSpace()
        switch rest.first {
        case UInt8(ascii: "{"):
            rest.removeFirst()
            var members: [String] = []
            while true {
                skipSpace()
                guard rest.first == UInt8(ascii: "\"") else { break }
                let key = string()
                skipSpace()
                rest.removeFirst()
                members.append("\(key):\(value())")
                skipSpace()
                if rest.first == UInt8(ascii: ",") { rest.removeFirst() }
            }
            if !rest.isEmpty { rest.removeFirst() }
            return "{" + members.joined(separator: ",") + "}"
        case UInt8(ascii: "["):
            rest.removeFirst()
            var items: [String] = []
            while true {
                skipSpace()
                guard let next = rest.first, next != UInt8(ascii: "]") else { break }
                let item = value()
                if items.last != item { items.append(item) }
                skipSpace()
                if rest.first == UInt8(ascii: ",") { rest.removeFirst() }
            }
            if !rest.isEmpty { rest.removeFirst() }
            return "[" + items.joined(separator: ",") + "]"
        case UInt8(ascii: "\""):
            _ = string()
            return "s"
        default:
            var word: [UInt8] = []
            while let byte = rest.first, !",]} \n".utf8.contains(byte) { word.append(rest.removeFirst()) }
            let text = String(decoding: word, as: UTF8.self)
            return ["null", "true", "false"].contains(text) ? (text == "null" ? "null" : "b") : "n"
        }
    }
    return value()
}

/// A client that blocks, for ten seconds at the most.
struct FakeClient: ~Copyable {
    private let socket: Socket
    private var tls: TLSSession?
    private(set) var bytes: [UInt8] = []
    /// Whether the connection has ended, and how.
    private(set) var ending: String?

    /// Nobody lets it in.
    struct Refused: Error {}

    /// Connects.
    init(_ server: FakeAPIServer, identity: TLSIdentity? = nil) throws {
        guard case .started(let socket) = Socket.connecting(to: server.address) else { throw Refused() }
        var entry = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        // Safety: one entry.
        unsafe _ = poll(&entry, 1, 10_000)
        guard socket.connectFailure() == nil else { throw Refused() }
        _ = fcntl(socket.number, F_SETFL, 0)
        var time = timeval(tv_sec: 10, tv_usec: 0)
        // Safety: SO_RCVTIMEO is a timeval.
        unsafe _ = setsockopt(socket.number, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var tls: TLSSession?
        if server.security != .plain {
            let context = try TLSContext(client: .certificates(server.certificateAuthority), identity: identity)
            tls = try TLSSession(
                client: context, descriptor: socket.number, verifying: .ip(IPAddress(v4: 0x7F00_0001)))
            guard tls!.handshake() == .done else { throw Refused() }
        }
        self.socket = socket
        self.tls = tls
    }

    mutating func ask(_ target: String, token: String? = FakeAPIServer.defaultToken, method: String = "GET") {
        bytes = []
        let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
        let text = "\(method) \(target) HTTP/1.1\r\nHost: kubernetes.default.svc\r\n\(authorization)\r\n"
        var buffer = ByteBuffer(capacity: text.utf8.count)
        buffer.append(utf8: text)
        if tls != nil { _ = tls!.write(&buffer) } else { _ = socket.send(&buffer) }
    }

    /// Reads until what has come is as `isEnough` says, or nothing comes any more.
    mutating func hear(until isEnough: (Answered) -> Bool) -> Answered {
        var buffer = ByteBuffer(capacity: 65_536)
        while true {
            let answer = Answered(bytes)
            if isEnough(answer) || ending != nil { return answer }
            buffer.clear()
            if tls != nil {
                switch tls!.read(into: &buffer) {
                case .bytes: break
                case .end: ending = "end"
                case .failed(let error): ending = error.reason
                case .wantRead, .wantWrite: ending = "timeout"
                }
            } else {
                switch socket.receive(into: &buffer) {
                case .bytes: break
                case .end: ending = "end"
                case .broken: ending = "reset"
                case .wouldBlock: ending = "timeout"
                }
            }
            buffer.withReadable { span in bytes += span.indices.map { span[$0] } }
        }
    }

    mutating func hear() -> Answered { hear { $0.isComplete } }

    mutating func get(_ target: String, token: String? = FakeAPIServer.defaultToken) -> Answered {
        ask(target, token: token)
        return hear()
    }
}
