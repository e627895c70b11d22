// Who is let in, who is not, and what it is called.

import Glibc
import ProxyCore
import Testing

@Suite struct TLSSessionTests {
    static let loopback = IPAddress("127.0.0.1")!

    let authority: CertificateAuthority
    let trusting: TLSContext

    init() throws {
        authority = try CertificateAuthority(name: "test authority")
        trusting = try TLSContext(client: .certificates(authority.certificate))
    }

    private func server(
        dnsNames: [String] = [], addresses: [IPAddress] = [], name: String = "server",
        validFor: (from: Int, to: Int) = (-300, 3600), by issuer: CertificateAuthority? = nil, clientCA: [UInt8]? = nil
    ) throws -> TLSContext {
        try TLSContext(
            server: (issuer ?? authority).issue(
                .server, name: name, dnsNames: dnsNames, addresses: addresses, validFor: validFor), clientCA: clientCA)
    }

    @Test(arguments: [1, 7, 4096])
    func `an address in the certificate is accepted, in any chunking, and bytes arrive`(step: Int) throws {
        for address in ["127.0.0.1", "2001:db8::17"] {
            let ip = try #require(IPAddress(address))
            var pair = try TLSPair(trusting, server(addresses: [ip]), verifying: .ip(ip), step: step)
            let result = pair.handshake()
            #expect(result.client == .done && result.server == .done)
            #expect(pair.client.version == "TLSv1.3")
            #expect(pair.server.serverName == nil, "an address is no server name")
            let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            #expect(pair.transfer(bytes, toServer: true) == bytes)
            #expect(pair.transfer(bytes, toServer: false) == bytes)
        }
    }

    @Test func `a name in the certificate is accepted and sent as server name`() throws {
        for (certified, asked) in [("api.example", "api.example"), ("*.svc.example", "API.svc.example.")] {
            var pair = try TLSPair(trusting, server(dnsNames: [certified]), verifying: .dns(asked))
            #expect(pair.handshake().client == .done)
            #expect(pair.server.serverName == (asked.hasSuffix(".") ? "API.svc.example" : asked))
        }
    }

    @Test(arguments: [
        "IP address mismatch", "hostname mismatch", "common name alone", "certificate has expired",
        "certificate is not yet valid", "unable to get local issuer certificate", "unsuitable certificate purpose",
    ])
    func `a wrong certificate is refused with its reason`(reason: String) throws {
        var name = TLSPeerName.ip(Self.loopback)
        var expected = reason
        let context: TLSContext
        switch reason {
        case "IP address mismatch": context = try server(addresses: [#require(IPAddress("127.0.0.2"))])
        case "hostname mismatch":
            name = .dns("api.example")
            context = try server(dnsNames: ["admin.example", "*.api.example", "example"])
        case "common name alone":
            name = .dns("api.example")
            context = try server(name: "api.example")
            expected = "hostname mismatch"
        case "certificate has expired": context = try server(addresses: [Self.loopback], validFor: (-7200, -3600))
        case "certificate is not yet valid": context = try server(addresses: [Self.loopback], validFor: (3600, 7200))
        case "unable to get local issuer certificate":
            context = try server(addresses: [Self.loopback], by: CertificateAuthority(name: "another"))
        default:
            context = try TLSContext(server: authority.issue(.client, name: "client", addresses: [Self.loopback]))
        }
        var pair = try TLSPair(trusting, context, verifying: name)
        let result = pair.handshake()
        guard case .failed(let error) = result.client else {
            Issue.record("accepted: \(result.client)")
            return
        }
        #expect(error.isVerification)
        #expect(error.reason.lowercased() == expected.lowercased())
        #expect(error.description == "TLS handshake with \(name): \(error.reason)")
        guard case .failed(let seen) = result.server else {
            Issue.record("the server did not notice: \(result.server)")
            return
        }
        #expect(!seen.isVerification && seen.reason.contains("alert"))
        // What is broken stays broken, with the same words.
        #expect(pair.client.handshake() == .failed(error))
        #expect(pair.client.shutdown() == .done)
    }

    @Test func `a certificate is an anchor also where it is not self-signed`() throws {
        let identity = try authority.issue(.server, name: "server", addresses: [Self.loopback])
        let leafOnly = try TLSContext(client: .certificates(identity.certificateChain))
        var pair = try TLSPair(leafOnly, TLSContext(server: identity), verifying: .ip(Self.loopback))
        #expect(pair.handshake().client == .done)
    }

    @Test func `a server that asks for a certificate gets it, and refuses clients without or with a foreign one`()
        throws
    {
        let demanding = try server(addresses: [Self.loopback], clientCA: authority.certificate)
        let known = try TLSContext(
            client: .certificates(authority.certificate), identity: authority.issue(.client, name: "hdproxy"))
        var good = try TLSPair(known, demanding, verifying: .ip(Self.loopback))
        #expect(good.handshake() == (.done, .done))
        #expect(good.transfer([1, 2, 3], toServer: true) == [1, 2, 3])

        let foreign = try TLSContext(
            client: .certificates(authority.certificate),
            identity: CertificateAuthority(name: "another").issue(.client, name: "hdproxy"))
        for (context, reason, alert) in [
            (trusting, "peer did not return a certificate", "tlsv13 alert certificate required"),
            (foreign, "unable to get local issuer certificate", "tlsv1 alert unknown ca"),
        ] {
            var bad = try TLSPair(context, demanding, verifying: .ip(Self.loopback))
            let result = bad.handshake()
            guard case .failed(let error) = result.server else {
                Issue.record("accepted: \(result.server)")
                return
            }
            #expect(error.isVerification && error.reason == reason)
            // With TLS 1.3 the client learns it by an alert, after its own handshake is over.
            #expect(result.client == .done)
            var buffer = ByteBuffer(capacity: 64)
            #expect(
                bad.client.read(into: &buffer)
                    == .failed(TLSError(.protocol, reason: alert, doing: "reading from 127.0.0.1")))
        }
    }

    @Test func `a peer that vanishes in the handshake is told from one that refuses`() throws {
        for bytesBefore in [0, 1, 5, 100] {
            let sockets = SocketPair()
            var session = try TLSSession(
                client: trusting, descriptor: sockets.near.number, verifying: .ip(Self.loopback))
            #expect(session.handshake() == .wantRead)
            // The beginning of a record of 512 bytes that is never completed.
            let start: [UInt8] = [22, 3, 3, 2, 0] + [UInt8](repeating: 0, count: 95)
            // Safety: at most 100 bytes are read.
            if bytesBefore > 0 { unsafe _ = send(sockets.far.number, start, bytesBefore, 0) }
            _ = shutdown(sockets.far.number, Int32(SHUT_RDWR))
            guard case .failed(let error) = session.handshake() else {
                Issue.record("still waiting after \(bytesBefore) bytes")
                return
            }
            #expect(!error.isVerification)
            #expect(error.kind == .unexpectedEnd || error.kind == .protocol)
        }
    }

    @Test func `a plain HTTP answer to a handshake is a protocol error`() throws {
        let sockets = SocketPair()
        var session = try TLSSession(client: trusting, descriptor: sockets.near.number, verifying: .ip(Self.loopback))
        _ = session.handshake()
        let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        // Safety: as many bytes as there are.
        unsafe _ = send(sockets.far.number, answer, answer.count, 0)
        guard case .failed(let error) = session.handshake() else {
            Issue.record("went on")
            return
        }
        #expect(error.kind == .protocol && error.reason == "wrong version number")
    }

    @Test func `TLS's own end is told from a cut connection`() throws {
        let context = try server(addresses: [Self.loopback])
        var clean = try TLSPair(trusting, context, verifying: .ip(Self.loopback))
        _ = clean.handshake()
        #expect(clean.client.shutdown() == .done)
        while clean.relay() > 0 {}
        var buffer = ByteBuffer(capacity: 64)
        #expect(clean.server.read(into: &buffer) == .end)

        var cut = try TLSPair(trusting, context, verifying: .ip(Self.loopback))
        _ = cut.handshake()
        cut.cutClient()
        guard case .failed(let error) = cut.server.read(into: &buffer) else {
            Issue.record("a cut looks like an end")
            return
        }
        #expect(error.kind == .unexpectedEnd && error.description.hasPrefix("reading from a client: "))
    }

    @Test func `writing to a peer that is gone is a value and no signal`() throws {
        let sockets = SocketPair()
        var session = try TLSSession(client: trusting, descriptor: sockets.near.number, verifying: .ip(Self.loopback))
        _ = shutdown(sockets.far.number, Int32(SHUT_RDWR))
        let result = session.handshake()
        #expect(
            result
                == .failed(
                    TLSError(.system(EPIPE), reason: "Broken pipe", doing: "TLS handshake with 127.0.0.1")))
    }

    @Test func `a full socket asks for writability and goes on with a moved buffer`() throws {
        var pair = try TLSPair(trusting, server(addresses: [Self.loopback]), verifying: .ip(Self.loopback))
        _ = pair.handshake()
        let bytes = [UInt8](repeating: 9, count: 1 << 20)
        var out = ByteBuffer(capacity: bytes.count)
        out.append(bytes.span)
        var sent = 0
        filling: while true {
            switch pair.client.write(&out) {
            case .bytes(let n): sent += n
            case let other:
                #expect(other == .wantWrite)
                break filling
            }
        }
        var moved = ByteBuffer(capacity: out.count)
        _ = moved.append(from: out)
        var got = 0
        var buffer = ByteBuffer(capacity: 4096)
        while got < bytes.count {
            if !moved.isEmpty, case .bytes(let n) = pair.client.write(&moved) { sent += n }
            _ = pair.relay()
            buffer.clear()
            if case .bytes(let n) = pair.server.read(into: &buffer) { got += n }
        }
        #expect(sent == bytes.count && got == bytes.count)
    }

    @Test func `material that cannot be used is named when the context is made`() throws {
        let identity = try authority.issue(.server, name: "one")
        let other = try authority.issue(.server, name: "two")
        func reason(_ make: () throws -> TLSContext) -> String {
            do {
                _ = try make()
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(
            reason { try TLSContext(client: .certificates([])) }
                == "reading CA certificates: no certificate in PEM form")
        #expect(
            reason { try TLSContext(client: .certificates(Array("hello".utf8))) }
                == "reading CA certificates: no certificate in PEM form")
        let cut = Array(authority.certificate.prefix(200))
        #expect(
            reason { try TLSContext(client: .certificates(cut)) }.hasPrefix("reading CA certificates: bad end line"))
        #expect(
            reason { try TLSContext(server: TLSIdentity(certificateChain: identity.certificateChain, key: other.key)) }
                == "reading the server key: key values mismatch")
        #expect(
            reason { try TLSContext(server: TLSIdentity(certificateChain: identity.certificateChain, key: [])) }
                == "reading the server key: no private key in PEM form")
        #expect(
            reason { try TLSContext(server: TLSIdentity(certificateChain: [], key: identity.key)) }
                == "reading the server certificate: no certificate in PEM form")
        // Twice the same certificate, as some bundles have it, is no error.
        #expect(throws: Never.self) {
            try TLSContext(client: .certificates(authority.certificate + authority.certificate))
        }
        #expect(throws: Never.self) { try TLSContext(client: .system) }
    }

    @Test(arguments: ["", "a\u{0}b", ".", ".example.com"])
    func `a name that cannot be verified is refused before a byte is sent`(name: String) {
        let sockets = SocketPair()
        #expect(throws: TLSError.self) {
            _ = try TLSSession(client: trusting, descriptor: sockets.near.number, verifying: .dns(name))
        }
    }
}
