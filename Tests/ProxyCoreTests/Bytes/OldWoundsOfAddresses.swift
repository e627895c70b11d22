// Famous holes of other proxies in addresses: see Tests/CVE.md.

import Testing

@testable import ProxyCore

@Suite struct OldWoundsOfAddresses {
    @Test("GO-2024-2917 (Traefik): an IPv4 address is the same one in its mapped form, in every spelling")
    func mappedAddresses() throws {
        let plain = try #require(IPAddress("192.0.2.1"))
        for text in ["::ffff:192.0.2.1", "::FFFF:192.0.2.1", "::ffff:c000:201", "0:0:0:0:0:ffff:c000:0201"] {
            let mapped = try #require(IPAddress(text))
            #expect(mapped == plain, "\(text)")
            #expect(mapped.isIPv4 && mapped.description == "192.0.2.1", "\(text)")
        }
        #expect(IPAddress("::ffff:127.0.0.1")?.isLoopback == true)
        #expect(IPAddress("::192.0.2.1") != plain, "the old compatible form is another address")
    }
}
