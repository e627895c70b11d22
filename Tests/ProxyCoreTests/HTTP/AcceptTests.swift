import Testing

@testable import ProxyCore

@Suite struct AcceptTests {
    @Test func jsonIsForThoseWhoPreferItClearly() {
        let cases: [(accept: String, prefersJSON: Bool)] = [
            ("", false), ("*/*", false), ("text/plain", false), ("text/html", false), ("application/json", true),
            ("Application/JSON", true), ("application/problem+json", true), ("application/*", true), ("text/*", false),
            ("application/json, text/plain", false), ("application/json, */*", true), ("*/*, application/json", true),
            ("application/json, text/plain, */*", false), ("text/html, application/json", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("application/json;q=0.9, text/plain;q=0.8", true), ("application/json;q=0.8, text/plain;q=0.9", false),
            ("application/json;q=0", false), ("application/json;q=0, */*", false), ("*/*, text/plain;q=0", true),
            ("application/json;q=0.001", true), ("application/json;q=0.000", false), ("application/json;q=1.000", true),
            ("application/json; q=0.5, text/plain; q=0.5", false), ("application/json;Q=0.1,text/plain;Q=0.2", false),
            ("application/json;charset=utf-8;q=0.1, text/plain;q=0.2", false), ("application/json;q=", true),
            ("application/*, text/plain;q=0.1", true), ("text/*;q=0.3, application/*;q=0.2", false),
            ("application/jsonp", false), ("application/jso", false), (",,application/json,,", true),
            ("application/json;q=0.9999999999999999999", true), ("application/json;q=99999999999999999999", true),
            ("application/json;q=0.5.5", true), ("application/json;;;q=0", false), (";q=1", false),
        ]
        for (accept, prefersJSON) in cases {
            let bytes = Array("A:\(accept)\r\n".utf8)
            #expect(Accept.prefersJSON(bytes.span, ByteRange(2, bytes.count - 2)) == prefersJSON, "\(accept)")
        }
    }
}
