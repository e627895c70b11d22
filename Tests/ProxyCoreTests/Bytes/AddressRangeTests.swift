import Testing

@testable import ProxyCore

@Suite struct AddressRangeTests {
    private static let good: [(text: String, first: String, last: String, canonical: String)] = [
        ("10.42.0.0/16", "10.42.0.0", "10.42.255.255", "10.42.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.6/31", "192.0.2.6", "192.0.2.7", "192.0.2.6/31"),
        ("131.0.72.0/22", "131.0.72.0", "131.0.75.255", "131.0.72.0/22"),
        ("::ffff:10.0.0.0/104", "10.0.0.0", "10.255.255.255", "10.0.0.0/8"),
        ("::ffff:0.0.0.0/96", "0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
        ("2400:cb00::/32", "2400:cb00::", "2400:cb00:ffff:ffff:ffff:ffff:ffff:ffff", "2400:cb00::/32"),
        ("2a06:98c0::/29", "2a06:98c0::", "2a06:98c7:ffff:ffff:ffff:ffff:ffff:ffff", "2a06:98c0::/29"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::1", "2001:db8::1/128"),
        ("2001:db8:0:0:8000::/65", "2001:db8:0:0:8000::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:0:8000::/65"),
        ("2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
    ]

    @Test func aRangeIsReadAndWritten() throws {
        for (text, first, last, canonical) in Self.good {
            let range = try AddressRange(text)
            #expect(range.first == IPAddress(first), "\(text)")
            #expect(range.last == IPAddress(last), "\(text): \(range.last)")
            #expect(range.description == canonical)
            #expect(try AddressRange(range.description) == range)
        }
    }

    @Test func whatIsNoRangeIsRefusedWithItsFault() throws {
        func fault(_ text: String) -> AddressRange.Fault? {
            do throws(AddressRange.Fault) {
                _ = try AddressRange(text)
                return nil
            } catch {
                return error
            }
        }
        for text in ["", "/", "/8", "x", "10.0.0/8", "10.0.0.0.0/8", "010.0.0.0/8", " 10.0.0.0/8", "fe80::1%eth0/64"] {
            #expect(fault(text) == .noAddress, "\(text)")
        }
        for text in [
            "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.0/8 ",
            "10.0.0.0/-1", "10.0.0.0/0x8", "10.0.0.0/99999999999999999999", "::/129", "10.0.0.0/255.0.0.0",
        ] {
            #expect(fault(text) == .badPrefix, "\(text)")
        }
        #expect(fault("10.42.1.0/16") == .hostBits(try AddressRange("10.42.0.0/16")))
        #expect(fault("2001:db8::1/64") == .hostBits(try AddressRange("2001:db8::/64")))
        // Its first bits are those of many IPv6 addresses, too.
        #expect(fault("::ffff:10.0.0.0/90") == .hostBits(try AddressRange("::ffc0:0:0/90")))
    }

    @Test func aSetHoldsJustWhatItsRangesHold() throws {
        let texts = [
            "10.42.0.0/16", "10.42.7.0/24", "10.0.0.0/8", "192.0.2.7", "192.0.2.8/31", "255.255.255.255", "0.0.0.0/32",
            "2400:cb00::/32", "2400:cb00:1::/48", "2a06:98c0::/29", "::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
        ]
        var random = RandomSource(seed: 5)
        for _ in 0..<200 {
            let ranges = try (0..<random.below(texts.count + 1)).map { _ in
                try AddressRange(texts[random.below(texts.count)])
            }
            let set = AddressSet(ranges)
            #expect(set.isEmpty == ranges.isEmpty)
            // At every border, and one beyond it either way.
            for range in try texts.map({ try AddressRange($0) }) {
                for border in [range.first, range.last] {
                    for step in -1...1 {
                        let address = neighbour(border, step)
                        let isIn = ranges.contains { holds($0, address) }
                        let found = set.contains(address)
                        #expect(found == isIn, "\(address) in \(ranges)")
                    }
                }
            }
        }
    }

    @Test func anIPv6RangeHoldsNoIPv4Address() throws {
        let everything6 = AddressSet([try AddressRange("::/0")])
        let v4 = everything6.contains(IPAddress("192.0.2.1")!)
        let v6 = everything6.contains(IPAddress("2001:db8::1")!)
        #expect(!v4 && v6)
        let everything4 = AddressSet([try AddressRange("0.0.0.0/0")])
        let other4 = everything4.contains(IPAddress("::ffff:192.0.2.1")!)
        let other6 = everything4.contains(IPAddress("::1")!)
        #expect(other4 && !other6)
    }

    private func holds(_ range: AddressRange, _ address: IPAddress) -> Bool {
        func number(_ address: IPAddress) -> UInt128 { UInt128(address.high) << 64 | UInt128(address.low) }
        return range.isIPv4 == address.isIPv4 && number(range.first) <= number(address)
            && number(address) <= number(range.last)
    }

    /// The address `step` behind this one, of its own kind.
    private func neighbour(_ address: IPAddress, _ step: Int) -> IPAddress {
        if address.isIPv4 { return IPAddress(v4: UInt32(truncatingIfNeeded: Int(address.v4) &+ step)) }
        let low = address.low.addingReportingOverflow(UInt64(bitPattern: Int64(step)))
        let carry: UInt64 = step > 0 && low.overflow ? 1 : step < 0 && !low.overflow ? .max : 0
        return IPAddress(high: address.high &+ carry, low: low.partialValue)
    }
}
