import Testing

@testable import ProxyCore

/// Services that are spoken to over TLS, seen by one worker.
@Suite struct SecureUpstreamTests {
    @Test func withoutTermsNothingIsSaidInTheClear() throws {
        let server = try PeerServer()
        var snapshot = Rig.snapshot([server.endpoint("a")])
        snapshot.services[0].isSecure = true
        snapshot.services[0].retry.attempts = 0
        var rig = try Rig(snapshot)
        let client = try rig.client()
        client.write(getRequest)
        rig.turn()
        rig.turn()
        let upstream = try #require(server.accept())
        rig.turn()
        #expect(upstream.read() == nil, "the connection is closed, and not a byte was said")
        #expect(client.read()?.hasPrefix("HTTP/1.1 502 ") == true)
    }
}
