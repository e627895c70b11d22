import Testing

@testable import ProxyCore

@Suite struct ScanTests {
    private static func naive(_ bytes: [UInt8], _ from: Int, _ isHit: (UInt8) -> Bool) -> Int {
        var at = from
        while at < bytes.count, !isHit(bytes[at]) { at += 1 }
        return at
    }

    private static func isControl(_ byte: UInt8) -> Bool { (byte < 0x20 && byte != 9) || byte == 0x7F }
    private static func endsTarget(_ byte: UInt8) -> Bool { byte <= 0x20 || byte >= 0x7F || byte == 0x23 }

    @Test func everyLengthStartAndPlaceOfAHitIsFoundAsByANaiveLoop() {
        // A hit, and a byte beside each border of what is a hit.
        let marks: [UInt8] = [0, 8, 9, 10, 13, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x24, 0x7E, 0x7F, 0x80, 0xFF]
        for count in 0...80 {
            for place in stride(from: -1, to: count, by: 1) {
                var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: count)
                if place >= 0 { bytes[place] = marks[(count + place) % marks.count] }
                for from in 0...min(count, 17) {
                    let control = Scan.firstControl(bytes.span, from: from)
                    let target = Scan.endOfTarget(bytes.span, from: from)
                    guard control == Self.naive(bytes, from, Self.isControl),
                        target == Self.naive(bytes, from, Self.endsTarget)
                    else {
                        Issue.record("count \(count), place \(place), from \(from): \(control), \(target)")
                        return
                    }
                }
            }
        }
    }

    @Test func randomBytesAtEveryAlignmentAreSearchedAsByANaiveLoop() {
        var random = RandomSource(seed: 4711)
        for _ in 0..<4000 {
            let offset = random.below(32)
            let count = random.below(81)
            // Mostly harmless bytes, so that hits lie anywhere.
            let all = (0..<offset + count).map { _ -> UInt8 in
                random.below(24) == 0 ? UInt8(truncatingIfNeeded: random.next()) : UInt8(0x24 + random.below(0x5A))
            }
            let bytes = Array(all[offset...])
            let span = all.span.extracting(offset..<offset + count)
            guard Scan.firstControl(span, from: 0) == Self.naive(bytes, 0, Self.isControl),
                Scan.endOfTarget(span, from: 0) == Self.naive(bytes, 0, Self.endsTarget)
            else {
                Issue.record("seed 4711: \(bytes)")
                return
            }
        }
    }

    @Test func eachByteIsInItsClass() {
        let tokens = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max {
            let text = String(UnicodeScalar(byte))
            let isASCII = byte < 128
            #expect(ASCII.isToken(byte) == tokens.contains(byte), "\(byte)")
            #expect(ASCII.digit(byte) == (isASCII ? UInt8(text) : nil), "\(byte)")
            #expect(ASCII.hexDigit(byte) == (isASCII && text != "+" && text != "-" ? UInt8(text, radix: 16) : nil))
            #expect(ASCII.lowercased(byte) == (isASCII ? Array(text.lowercased().utf8)[0] : byte), "\(byte)")
            #expect(ASCII.isOWS(byte) == (byte == 32 || byte == 9), "\(byte)")
            #expect((Scan.firstControl([byte].span, from: 0) == 0) == Self.isControl(byte), "\(byte)")
            #expect((Scan.endOfTarget([byte].span, from: 0) == 0) == Self.endsTarget(byte), "\(byte)")
        }
    }

    @Test func textIsComparedWithoutItsCaseAndInFullLength() {
        let cases: [(text: String, isEqual: Bool)] = [
            ("chunked", true), ("CHUNKED", true), ("cHuNkEd", true), ("chunke", false), ("chunkedx", false),
            ("", false),
            ("chun\u{6b}ed", true), ("chun\u{212A}ed", false), ("chunke\u{44}", true), ("chunke$", false),
        ]
        for (text, isEqual) in cases {
            let bytes = Array("__\(text)__".utf8)
            let range = ByteRange(2, bytes.count - 2)
            #expect(Scan.equals(bytes.span, range, "chunked") == isEqual, "\(text)")
        }
        #expect(Scan.equals(Array("chun".utf8).span, ByteRange(0, 7), "chunked") == false, "a range beyond the bytes")
        let pairs = Array("Ab-aB_ab@AB`ab-".utf8)
        #expect(Scan.equalsIgnoringCase(pairs.span, ByteRange(0, 3), ByteRange(12, 15)) == true)
        #expect(Scan.equalsIgnoringCase(pairs.span, ByteRange(0, 3), ByteRange(3, 6)) == false)
        #expect(
            Scan.equalsIgnoringCase(pairs.span, ByteRange(8, 9), ByteRange(11, 12)) == false, "@ and ` are no letters")
        #expect(Scan.equalsIgnoringCase(pairs.span, ByteRange(0, 3), ByteRange(0, 2)) == false)
    }

    @Test func listsAreTakenApartAtCommas() {
        let cases: [(list: String, members: [String])] = [
            ("", []), (" \t", []), (",", []), (" , ,\t,", []), ("a", ["a"]), (" a ", ["a"]), ("a,b", ["a", "b"]),
            ("a , b\t,,c", ["a", "b", "c"]), (",a,", ["a"]), ("a b,c", ["a b", "c"]), ("a;q=1, b", ["a;q=1", "b"]),
        ]
        for (list, members) in cases {
            let bytes = Array("<\(list)>".utf8)
            let range = ByteRange(1, bytes.count - 1)
            var found: [String] = []
            let isDone = Scan.forEachMember(bytes.span, range) {
                found.append(String(decoding: bytes[$0.range], as: UTF8.self))
                return true
            }
            #expect(isDone && found == members, "\(list)")
            var calls = 0
            let wentThrough = Scan.forEachMember(bytes.span, range) { _ in
                calls += 1
                return false
            }
            #expect(wentThrough == members.isEmpty && calls == min(members.count, 1), "\(list)")
        }
    }
}
