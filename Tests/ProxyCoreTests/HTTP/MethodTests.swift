import Foundation
import Testing

@testable import ProxyCore

@Suite struct MethodTests {
    @Test func registeredMethodsAreRecognisedByCase() {
        let cases: [(text: String, method: Method, isIdempotent: Bool, anticipatesBody: Bool)] = [
            ("GET", .get, true, false), ("HEAD", .head, true, false), ("POST", .post, false, true),
            ("PUT", .put, true, true), ("DELETE", .delete, true, false), ("PATCH", .patch, false, true),
            ("OPTIONS", .options, true, false), ("TRACE", .trace, true, false), ("CONNECT", .connect, false, false),
        ]
        #expect(Set(cases.map(\.method)).union([.other]).count == Method.allCases.count)
        for (text, method, isIdempotent, anticipatesBody) in cases {
            #expect(recognize(text) == method && "\(method.name)" == text)
            #expect(method.isIdempotent == isIdempotent && method.anticipatesBody == anticipatesBody)
            for other in [text.lowercased(), text + "X", "X" + text, String(text.dropLast()), text.capitalized] {
                #expect(recognize(other) == .other, "\(other)")
            }
        }
        for text in ["PROPFIND", "M", "QUERY", "GOT", "POTS", "TRACK"] { #expect(recognize(text) == .other, "\(text)") }
        #expect("\(Method.other.name)" == "other" && !Method.other.isIdempotent && !Method.other.anticipatesBody)
    }

    private func recognize(_ text: String) -> Method {
        let bytes = Array("__\(text)__".utf8)
        return Method.recognize(bytes.span, ByteRange(2, bytes.count - 2))
    }
}
