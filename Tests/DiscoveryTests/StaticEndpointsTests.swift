import ProxyCore
import Testing

@testable import Discovery

@Suite struct StaticEndpointsTests {
    @Test func anEndpointIsItsServiceAndItsAddress() {
        let first = NetworkAddress("10.0.0.1:80")!
        let second = NetworkAddress("[fd00::1]:8000")!
        let witness = StaticEndpoints(["api": [second, first], "admin": [first], "idle": []])
        #expect(witness.name == "static")
        #expect(
            witness.endpoints(of: "api") == [
                Endpoint(id: EndpointID("api/[fd00::1]:8000"), address: second),
                Endpoint(id: EndpointID("api/10.0.0.1:80"), address: first),
            ])
        #expect(witness.endpoints(of: "admin").map(\.id) == [EndpointID("admin/10.0.0.1:80")])
        #expect(witness.endpoints(of: "idle").isEmpty && witness.endpoints(of: "unknown").isEmpty)
    }
}
