import Foundation
import TestTools
import Testing

@testable import ProxyCore

@Suite struct AnswerWriterTests {
    private static let outcomes: [Outcome] =
        [
            .answeredLocally, .headTimeout, .bodyTimeout, .noRoute, .noEndpoint, .connectFailed(.refused),
            .connectFailed(.timeout), .connectFailed(.unreachable), .upstreamClosed, .upstreamMalformed(.badChunk),
            .upstreamMalformed(.headerTooLarge), .responseTimeout, .upstreamStalled, .overloaded,
        ] + Rejection.allCases.map { .rejected($0) }

    private func write(_ answer: Answer, location: String = "") -> String {
        var out = ByteBuffer(capacity: Answer.bytesMax + location.utf8.count)
        var target = ByteBuffer(capacity: max(location.utf8.count, 1))
        target.append(utf8: location)
        answer.write(into: &out, date: HTTPDate(unixSeconds: WireText.unixSeconds), location: target)
        return out.text()
    }

    private func answer(
        _ outcome: Outcome, status: Int? = nil, isHead: Bool = false, json: Bool = false, closes: Bool = false
    ) -> Answer {
        Answer(
            outcome: outcome, status: status ?? outcome.status ?? 0, id: WireText.id, isHead: isHead,
            prefersJSON: json, closes: closes)
    }

    @Test func everyAnswerIsReadableAndItsLengthIsThatOfItsBody() throws {
        for outcome in Self.outcomes {
            for bits in 0..<8 {
                let isHead = bits & 1 != 0, json = bits & 2 != 0, closes = bits & 4 != 0
                let text = write(answer(outcome, isHead: isHead, json: json, closes: closes))
                let halves = text.components(separatedBy: "\r\n\r\n")
                try #require(halves.count == 2)
                let lines = halves[0].components(separatedBy: "\r\n")
                func values(_ name: String) -> [String] {
                    lines.filter { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
                }
                let status = try #require(outcome.status)
                #expect(lines[0] == "HTTP/1.1 \(status) \(Answer.phrase(status))" && !lines[0].hasSuffix(" Response"))
                #expect(values("Date") == ["Tue, 24 Nov 2026 09:14:27 GMT"])
                #expect(values("X-Request-Id") == ["0123456789abcdef0011223344556677"])
                #expect(values("Connection") == (closes ? ["close"] : []))
                #expect(values("Proxy-Status") == ["hdproxy; error=\(outcome.proxyStatus)"])
                #expect(values("Allow").count == (status == 405 || outcome == .answeredLocally ? 1 : 0), "\(outcome)")
                #expect(values("Retry-After").count == (status == 503 ? 1 : 0))
                #expect(values("Content-Length").count == 1)
                // What a HEAD is told is what a GET would get (RFC 9110 §8.6).
                let body = write(answer(outcome, json: json, closes: closes)).components(separatedBy: "\r\n\r\n")[1]
                #expect(values("Content-Length") == ["\(body.utf8.count)"], "\(outcome)")
                #expect(halves[1] == (isHead ? "" : body))
                if outcome == .answeredLocally {
                    #expect(body.isEmpty)
                    continue
                }
                #expect(values("Cache-Control") == ["no-store"])
                if json {
                    #expect(values("Content-Type") == ["application/json"])
                    let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
                    #expect(object?["status"] as? Int == status)
                    #expect(object?["error"] as? String == "\(answer(outcome).explanation)")
                    #expect(object?["request_id"] as? String == "0123456789abcdef0011223344556677")
                } else {
                    #expect(values("Content-Type") == ["text/plain; charset=utf-8"])
                    #expect(body == "\(status) \(Answer.phrase(status)): \(answer(outcome).explanation)\n")
                }
            }
        }
    }

    @Test func aRedirectSaysWhereTo() {
        for (status, phrase) in [
            (301, "Moved Permanently"), (302, "Found"), (303, "See Other"), (307, "Temporary Redirect"),
            (308, "Permanent Redirect"),
        ] {
            let text = write(answer(.redirected, status: status), location: "https://b.example/x?y=\(status)")
            #expect(text.hasPrefix("HTTP/1.1 \(status) \(phrase)\r\n"))
            #expect(text.contains("\r\nLocation: https://b.example/x?y=\(status)\r\n"))
            #expect(!text.contains("Cache-Control") && !text.contains("Retry-After"))
        }
    }

    /// The statuses that the contract promises.
    @Test func everyOutcomeHasItsStatus() {
        let cases: [(outcome: Outcome, status: Int?, endsConnection: Bool)] = [
            (.rejected(.badRequestLine), 400, true), (.rejected(.badHost), 400, true),
            (.rejected(.badContentLength), 400, true), (.rejected(.conflictingFraming), 400, true),
            (.rejected(.badChunk), 400, true), (.rejected(.ambiguousPath), 400, false),
            (.rejected(.unknownTransferCoding), 501, true), (.rejected(.connectRefused), 501, true),
            (.rejected(.unsupportedVersion), 505, true), (.rejected(.headerTooLarge), 431, true),
            (.rejected(.tooManyHeaders), 431, true), (.rejected(.targetTooLong), 414, true),
            (.rejected(.bodyTooLarge), 413, true), (.rejected(.unknownExpectation), 417, false),
            (.rejected(.traceRefused), 405, false), (.rejected(.loop), 502, false), (.headTimeout, 408, true),
            (.bodyTimeout, 408, true), (.noRoute, 404, false), (.noEndpoint, 503, false), (.overloaded, 503, true),
            (.connectFailed(.refused), 502, false), (.upstreamClosed, 502, false),
            (.upstreamMalformed(.badStatusLine), 502, false), (.responseTimeout, 504, false),
            (.upstreamStalled, 504, false), (.answeredLocally, 200, false), (.ok, nil, false),
            (.clientClosed, nil, true), (.clientStalled, nil, true), (.drained, nil, true), (.tunnelClosed, nil, true),
        ]
        for (outcome, status, endsConnection) in cases {
            #expect(outcome.status == status && outcome.endsConnection == endsConnection, "\(outcome)")
        }
        let reasons = Set(Rejection.allCases.map { "\($0.reason)" })
        #expect(reasons.count == Rejection.allCases.count, "each rejection has a word of its own")
        #expect(Rejection.allCases.allSatisfy { Answer.phrase($0.status).utf8CodeUnitCount > 0 })
    }
}
