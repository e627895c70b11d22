// How does the command line ask a running proxy? One request over a plain socket, with an end to every wait.

import FoundationEssentials
import Glibc
import ProxyCore

/// Where a running proxy can be asked.
enum AdminAddress: Equatable, Sendable, CustomStringConvertible {
    /// Over TCP; `host` as it was spelled, for Host.
    case tcp(NetworkAddress, host: String)
    /// Over the Unix socket at this path.
    case unix(String)

    /// As `--admin` spells it: `http://host:port`, `host:port`, `unix:PATH` or a path.
    init(_ text: String) throws(UsageError) {
        if text.hasPrefix("/") || text.hasPrefix("./") || text.hasPrefix("../") {
            self = .unix(text)
            return
        }
        for prefix in ["unix://", "unix:"] where text.hasPrefix(prefix) {
            let path = String(text.dropFirst(prefix.count))
            if path.isEmpty { throw "`\(text)` names no socket; as in unix:\(AdminSettings.defaultSocket)" }
            self = .unix(path)
            return
        }
        if text.hasPrefix("https://") { throw "the admin listener speaks plain HTTP: write http:// in `\(text)`" }
        var authority = text.hasPrefix("http://") ? String(text.dropFirst("http://".count)) : text
        if authority.hasSuffix("/") { authority.removeLast() }
        let isBare =
            IPAddress(authority) == nil
            && (NetworkAddress(authority) != nil
                || authority.lastIndex(of: ":").map { !authority[$0...].contains("]") } ?? false)
        let port = isBare ? authority[authority.lastIndex(of: ":")!...].dropFirst() : "9090"
        var host = isBare ? String(authority[..<authority.lastIndex(of: ":")!]) : authority
        guard let number = UInt16(port), number > 0 else { throw "`\(text)` has no port from 1 to 65535" }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let ip = host.lowercased() == "localhost" ? AdminSettings.defaultAddress.ip : IPAddress(host) else {
            throw
                "`\(text)` is no admin listener: as in http://127.0.0.1:9090 or unix:\(AdminSettings.defaultSocket), with an IP address or localhost"
        }
        let address = NetworkAddress(ip: ip, port: number)
        self = .tcp(address, host: address.description)
    }

    /// Where to ask when nobody says where.
    static let defaults: [AdminAddress] = [
        .unix(AdminSettings.defaultSocket),
        .tcp(AdminSettings.defaultAddress, host: AdminSettings.defaultAddress.description),
    ]

    /// As `--admin` takes it.
    var description: String {
        switch self {
        case .tcp(let address, _): "http://\(address)"
        case .unix(let path): path
        }
    }

    fileprivate var host: String {
        switch self {
        case .tcp(_, let host): host
        case .unix: "localhost"
        }
    }
}

/// Why a running proxy could not be asked.
struct AdminFailure: Error, Equatable {
    /// The reason, with the address.
    var text: String
    /// Whether nobody was there at all, so that another address may be tried.
    var isAbsent = false
}

/// The client of the admin listener.
enum AdminClient {
    /// An answer.
    struct Answer {
        var status: Int
        var body: [UInt8]

        /// The body without its last line feed.
        var text: String {
            let text = String(decoding: body, as: UTF8.self)
            return text.hasSuffix("\n") ? String(text.dropLast()) : text
        }
    }

    /// Bytes of an answer that are read.
    private static let answerBytesMax = 256 << 20

    /// The body at `target`, with status 200.
    static func get(_ target: String, at address: AdminAddress, within time: Duration) throws(AdminFailure) -> [UInt8] {
        let answer = try ask(target, at: address, within: time)
        guard answer.status == 200 else {
            throw AdminFailure(
                text: "\(address) answers \(answer.status): \(TerminalText.line(String(answer.text.prefix(300))))")
        }
        return answer.body
    }

    /// Decodes an answer of this version or a similar one.
    static func decode<Value: Decodable>(
        _ type: Value.Type, _ body: [UInt8], at address: AdminAddress
    ) throws(AdminFailure) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch {
            throw AdminFailure(
                text: "\(address) answers something else than a proxy of this version (\(hdproxyVersion)) would")
        }
    }

    /// Asks for `target`; everything together may take `time`.
    static func ask(_ target: String, at address: AdminAddress, within time: Duration) throws(AdminFailure) -> Answer {
        let deadline = Clock.now() + Instant.Span(time)
        let socket = try connect(address, deadline)
        let request =
            "GET \(target) HTTP/1.1\r\nHost: \(address.host)\r\nUser-Agent: hdproxy/\(hdproxyVersion)\r\n"
            + "Accept: application/json, text/plain\r\nConnection: close\r\n\r\n"
        var output = ByteBuffer(capacity: request.utf8.count)
        output.append(Array(request.utf8).span)
        while !output.isEmpty {
            switch socket.send(&output) {
            case .bytes: break
            case .wouldBlock: try wait(socket, POLLOUT, deadline, address)
            case .end, .broken: throw AdminFailure(text: "\(address) closed the connection")
            }
        }
        return try read(socket, deadline, address)
    }

    private static func connect(_ address: AdminAddress, _ deadline: Instant) throws(AdminFailure) -> Socket {
        func absent(_ reason: String) -> AdminFailure { AdminFailure(text: "\(address): \(reason)", isAbsent: true) }
        switch address {
        case .unix(let path):
            while true {
                switch UnixListener.connect(to: path) {
                case .connected(let socket): return socket
                // Its queue is full: it is there, and busy.
                case .failed(EAGAIN):
                    if Clock.now() > deadline { throw AdminFailure(text: "\(address) does not answer in time") }
                    usleep(5000)
                case .failed(ENOENT): throw absent("there is no such socket")
                case .failed(ECONNREFUSED): throw absent("nobody listens there: its process is dead")
                case .failed(let code): throw absent(SystemError.text(code))
                }
            }
        case .tcp(let network, _):
            switch Socket.connecting(to: network) {
            case .started(let socket):
                try wait(socket, POLLOUT, deadline, address)
                guard let failure = socket.connectFailure() else { return socket }
                switch failure {
                case .refused: throw absent("nobody listens there")
                case .timeout: throw absent("it does not answer in time")
                default: throw absent("it cannot be reached")
                }
            case .failed(.refused): throw absent("nobody listens there")
            case .failed: throw absent("it cannot be reached")
            case .outOfPorts: throw absent("it cannot be reached")
            case .exhausted(let code): throw AdminFailure(text: SystemError.text(code))
            }
        }
    }

    private static func wait(
        _ socket: borrowing Socket, _ event: Int32, _ deadline: Instant, _ address: AdminAddress
    ) throws(AdminFailure) {
        let left = (deadline - Clock.now()).nanoseconds
        var wait = pollfd(fd: socket.number, events: Int16(event), revents: 0)
        // Safety: one pollfd.
        if left > 0, unsafe poll(&wait, 1, Int32(min(left / 1_000_000 + 1, 60_000))) > 0 { return }
        if left > 0, errno == EINTR, Clock.now() < deadline { return }
        throw AdminFailure(text: "\(address) does not answer in time")
    }

    private static func read(
        _ socket: borrowing Socket, _ deadline: Instant, _ address: AdminAddress
    ) throws(AdminFailure) -> Answer {
        var bytes: [UInt8] = []
        var chunk = ByteBuffer(capacity: 64 * 1024)
        reading: while bytes.count < answerBytesMax {
            chunk.clear()
            switch socket.receive(into: &chunk) {
            case .bytes: chunk.withReadable { span in for at in span.indices { bytes.append(span[at]) } }
            case .wouldBlock: try wait(socket, POLLIN, deadline, address)
            case .end: break reading
            case .broken: throw AdminFailure(text: "\(address) closed the connection")
            }
        }
        return try answer(bytes, address)
    }

    /// Takes an answer apart. Ours have a Content-Length; whatever else listens there is not understood.
    private static func answer(_ bytes: [UInt8], _ address: AdminAddress) throws(AdminFailure) -> Answer {
        let strange = AdminFailure(text: "\(address) does not answer as a proxy would")
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { throw strange }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { throw strange }
        let length = lines.dropFirst().first { $0.lowercased().hasPrefix("content-length:") }
        let body = Array(bytes[end.upperBound...])
        guard let length, let count = Int(length.dropFirst("content-length:".count).filter { $0 != " " }),
            count == body.count
        else { throw AdminFailure(text: "\(address) closed the connection before its answer was complete") }
        return Answer(status: status, body: body)
    }
}
