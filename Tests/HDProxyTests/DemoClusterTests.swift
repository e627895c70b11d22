// The demo's cluster: its configuration is one that the proxy takes, and it leaves nothing behind.

import Foundation
import ProxyCore
import Testing

@testable import HDProxy

@Suite struct DemoClusterTests {
    @Test func `its configuration is read, its files are there, and both the pods and the files go with it`() throws {
        let pod = NetworkAddress(ip: try #require(IPAddress("127.42.0.2")), port: 18080)
        let cluster = try ClusterDemo()
        let text = cluster.configuration
        guard case .success = SettingsReader.read(Array(text.utf8), file: "demo.json5") else {
            Issue.record("refused: \(text)")
            return
        }
        let token = try #require(text.firstMatch(of: /tokenFile: "([^"]*)"/)).1
        #expect(try String(contentsOfFile: String(token), encoding: .utf8) == "fake-token\n")
        #expect(throws: DemoStartError.self) {
            _ = try RunningBackend(name: "second", service: "honeydue-api", address: pod)
        }
        cluster.stop(after: nil)
        #expect(!FileManager.default.fileExists(atPath: String(token)))
        try RunningBackend(name: "again", service: "honeydue-api", address: pod).stop()
    }
}
