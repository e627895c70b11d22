import Testing

@testable import ProxyCore

/// Handshakes beside everything else that a worker does.
@Suite struct HandshakeTests {
    /// A client that goes on with its handshake when it is told to.
    private final class SecureClient {
        private let socket: Socket
        private var session: TLSSession

        init(to address: NetworkAddress, _ context: TLSContext) throws {
            guard case .started(let socket) = Socket.connecting(to: address) else {
                throw SystemError("connect", code: 0, doing: "a test")
            }
            let session = try TLSSession(client: context, descriptor: socket.number, verifying: .dns("s.test"))
            self.socket = socket
            self.session = session
        }

        func isDone() -> Bool { session.handshake() == .done }
    }

    @Test func aCrowdOfHandshakesHasAShareOfATurnAndHoldsUpNobody() throws {
        let authority = try CertificateAuthority(name: "test authority")
        // Signing with it takes a good part of a millisecond.
        let identity = try authority.issue(.server, name: "s", key: .rsa, dnsNames: ["s.test"])
        var rig = try Rig(Snapshot())
        rig.connections.adopt(TLSProvision(terms: ["s": try TLSTerms(TLSTermsSpec(identities: [identity]))]))
        let site = rig.connections.site(of: "s") ?? -1
        let context = try TLSContext(client: .certificates(authority.certificate))
        let clients = try (0..<40).map { _ in try SecureClient(to: rig.front.address, context) }
        for _ in clients {
            guard case .connection(let socket, let peer) = rig.front.socket.accept() else { continue }
            rig.connections.accepted(socket, from: peer, listener: .none, site: site)
        }
        // All of them say their first word at once, and somebody else asks something behind them.
        for client in clients { _ = client.isDone() }
        let plain = try rig.client()
        plain.write(getRequest)
        rig.turn()
        #expect(plain.read()?.hasPrefix("HTTP/1.1 404 ") == true)
        let early = clients.count { $0.isDone() }
        #expect(early >= 1 && early < 20, "\(early) of 40 in one turn")
        let waits = rig.connections.hasPending
        #expect(waits)
        var done = early
        var turns = 0
        while done < 40, turns < 400 {
            rig.turn()
            done = clients.count { $0.isDone() }
            turns += 1
        }
        #expect(done == 40, "after \(turns) turns")
    }
}
