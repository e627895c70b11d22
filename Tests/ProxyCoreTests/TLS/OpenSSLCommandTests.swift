// What does another program say to our TLS? The `openssl` command at the other end of a real socket.

import Foundation
import Glibc
import ProxyCore
import Testing

@Suite struct OpenSSLCommandTests {
    static let loopback = IPAddress("127.0.0.1")!

    @Test func `our client speaks with openssl s_server`() throws {
        let authority = try CertificateAuthority(name: "test authority")
        let folder = try Folder()
        let identity = try authority.issue(.server, name: "server", addresses: [Self.loopback])
        let certificate = try folder.write("server.pem", identity.certificateChain + identity.key)
        for version in ["-tls1_2", "-tls1_3"] {
            let program = try OpenSSL(["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-rev", version])
            defer { program.stop() }
            let line = try #require(program.line { $0.hasPrefix("ACCEPT ") })
            let address = try #require(NetworkAddress(String(line.dropFirst("ACCEPT ".count))))
            let socket = try blockingConnection(to: address)
            let context = try TLSContext(client: .certificates(authority.certificate))
            var session = try TLSSession(client: context, descriptor: socket.number, verifying: .ip(Self.loopback))
            #expect(session.handshake() == .done)
            #expect(session.version == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
            var buffer = ByteBuffer(capacity: 64)
            buffer.append("hdproxy\n")
            #expect(session.write(&buffer) == .bytes(8))
            buffer.clear()
            var text = ""
            while !text.hasSuffix("\n"), case .bytes = session.read(into: &buffer) { text = buffer.text() }
            #expect(text == "yxorpdh\n")
        }
    }

    @Test func `a server of an older version than TLS 1.2 is refused`() throws {
        let authority = try CertificateAuthority(name: "test authority")
        let folder = try Folder()
        let identity = try authority.issue(.server, name: "server", addresses: [Self.loopback])
        let certificate = try folder.write("server.pem", identity.certificateChain + identity.key)
        let program = try OpenSSL([
            "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-rev", "-tls1_1", "-cipher", "ALL@SECLEVEL=0",
        ])
        defer { program.stop() }
        let line = try #require(program.line { $0.hasPrefix("ACCEPT ") })
        let socket = try blockingConnection(
            to: #require(NetworkAddress(String(line.dropFirst("ACCEPT ".count)))))
        let context = try TLSContext(client: .certificates(authority.certificate))
        var session = try TLSSession(client: context, descriptor: socket.number, verifying: .ip(Self.loopback))
        guard case .failed(let error) = session.handshake() else {
            Issue.record("accepted")
            return
        }
        #expect(error.kind == .protocol && error.reason == "tlsv1 alert protocol version")
    }

    @Test func `openssl s_client believes our server and reads from it`() throws {
        let authority = try CertificateAuthority(name: "test authority")
        let folder = try Folder()
        let ca = try folder.write("ca.pem", authority.certificate)
        let client = try authority.issue(.client, name: "client")
        let clientFile = try folder.write("client.pem", client.certificateChain + client.key)
        let context = try TLSContext(
            server: authority.issue(.server, name: "server", dnsNames: ["api.example"], addresses: [Self.loopback]),
            clientCA: authority.certificate)
        let listener = try Socket.listening(on: NetworkAddress(ip: Self.loopback, port: 0))
        let port = try #require(listener.localAddress()?.port)
        let program = try OpenSSL([
            "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", ca, "-verify_return_error", "-verify_ip",
            "127.0.0.1", "-cert", clientFile, "-servername", "api.example", "-quiet",
        ])
        defer { program.stop() }
        var poll = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
        // Safety: one entry.
        #expect(unsafe Glibc.poll(&poll, 1, 20_000) == 1)
        guard case .connection(let accepted, _) = listener.accept() else {
            Issue.record("nobody came")
            return
        }
        makeBlocking(accepted.number)
        var session = try TLSSession(server: context, descriptor: accepted.number)
        #expect(session.handshake() == .done)
        #expect(session.serverName == "api.example")
        var buffer = ByteBuffer(capacity: 64)
        buffer.append("from our server\n")
        #expect(session.write(&buffer) == .bytes(16))
        #expect(session.shutdown() == .done)
        #expect(program.line { $0 == "from our server" } != nil)
    }
}

/// A connection that blocks, for at most twenty seconds at a time.
private func blockingConnection(to address: NetworkAddress) throws -> Socket {
    guard case .started(let socket) = Socket.connecting(to: address) else {
        throw SystemError("connect", code: ECONNREFUSED, doing: "connecting to \(address)")
    }
    makeBlocking(socket.number)
    var poll = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
    // Safety: one entry.
    _ = unsafe Glibc.poll(&poll, 1, 20_000)
    return socket
}

private func makeBlocking(_ number: Int32) {
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK)
    var time = timeval(tv_sec: 20, tv_usec: 0)
    // Safety: SO_RCVTIMEO is a timeval.
    unsafe _ = setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
}

/// A folder that goes with its value.
private final class Folder {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "hdproxy-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
        return "\(path)/\(name)"
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The `openssl` command at work.
private final class OpenSSL {
    private let process = Process()
    private let output = Foundation.Pipe()
    private let input = Foundation.Pipe()

    init(_ arguments: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = input
        try process.run()
    }

    /// The first line of its output that `matches`; nil where it ends without one.
    func line(where matches: (String) -> Bool) -> String? {
        var text = ""
        while let byte = try? output.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
            if byte[0] != UInt8(ascii: "\n") {
                text.append(Character(UnicodeScalar(byte[0])))
                continue
            }
            if matches(text) { return text }
            text = ""
        }
        return nil
    }

    func stop() {
        // A child of a Dispatch thread is born with signals blocked, all but this one.
        kill(process.processIdentifier, SIGKILL)
        // Foundation waits for an end that other children may hold open; a child that nobody waits for keeps the test
        // runner's exit tests from seeing theirs.
        _ = waitpid(process.processIdentifier, nil, 0)
    }
}
