// Famous holes of other proxies in routing: see Tests/CVE.md.

import Testing

@testable import ProxyCore

@Suite struct OldWoundsOfRouting {
    @Test(
        "CVE-2026-27588 (Caddy): hosts are compared without case, be they one or a thousand",
        arguments: [1, 99, 101, 1000])
    func hostsWithoutCase(_ count: Int) {
        let routes = (0..<count).map { Route(host: .exact("host-\($0).example.com"), action: .forward([])) }
        let table = RouteTable(routes, seed: 3)
        for index in routes.indices {
            for host in ["host-\(index).example.com", "HOST-\(index).EXAMPLE.COM", "Host-\(index).Example.com."] {
                let match = table.match(host: Array(host.utf8).span, path: [ASCII.slash].span)
                #expect(match == .route(index), "\(host) among \(count)")
            }
        }
    }
}
