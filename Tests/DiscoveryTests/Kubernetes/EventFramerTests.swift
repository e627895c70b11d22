import FoundationEssentials
import Testing

@testable import Discovery

@Suite struct EventFramerTests {
    private func frame(_ pieces: [ArraySlice<UInt8>], limit: Int = 1 << 20) throws(EventFramer.Refusal) -> [String] {
        var framer = EventFramer(limit: limit)
        var events: [String] = []
        for piece in pieces {
            framer.append(Array(piece).span)
            while let event = try framer.next() { events.append(String(decoding: event, as: UTF8.self)) }
        }
        return events
    }

    @Test(
        "an object ends where its outermost brace closes, wherever the bytes are cut",
        arguments: [
            (#"{"a":1}{"b":2}"#, [#"{"a":1}"#, #"{"b":2}"#]),
            ("{\"a\":1}\n\n \r\n{\"b\":[{},{}]}\n", [#"{"a":1}"#, #"{"b":[{},{}]}"#]),
            (#"{"a":"}{"}{"b":"\"}\\"}"#, [#"{"a":"}{"}"#, #"{"b":"\"}\\"}"#]),
            (#"{"a":"\\\""}{"#, [#"{"a":"\\\""}"#]),
            ("{\"a\":\"ü}\n\"}", ["{\"a\":\"ü}\n\"}"]),
            ("", []), ("\n", []), ("{\"a\":", []),
        ])
    func framing(_ text: String, _ expected: [String]) throws {
        var cutter = Cutter()
        for _ in 0..<10 {
            for manner in Cutter.Manner.allCases {
                #expect(try frame(cutter.pieces(Array(text.utf8), manner)) == expected, "seed \(Cutter.seed)")
            }
        }
    }

    @Test("what is no object is refused", arguments: ["[1]", "null", "{}x", "}", "<html>", "{}]", "\u{FEFF}{}"])
    func refusal(_ text: String) {
        #expect(throws: EventFramer.Refusal.self) { try frame([Array(text.utf8)[...]]) }
    }

    @Test("an event of megabytes passes, one beyond the limit is refused as soon as it is") func large() throws {
        let event = "{\"a\":\"" + String(repeating: "x", count: 3_000_000) + "\"}"
        #expect(try frame([Array(event.utf8)[...]], limit: 4_000_000) == [event])
        var framer = EventFramer(limit: 1000)
        framer.append(Array("{\"a\":\"".utf8).span)
        let more = [UInt8](repeating: UInt8(ascii: "x"), count: 1001)
        framer.append(more.span)
        #expect(throws: EventFramer.Refusal.tooLarge(limit: 1000)) { try framer.next() }
    }
}
