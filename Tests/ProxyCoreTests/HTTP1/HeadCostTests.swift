// What may a head cost? As much as its size asks for, whatever stands in it: nothing in it is held against everything else.

import Glibc
import Testing

@testable import ProxyCore

@Suite(.serialized) struct HeadCostTests {
    private static let linesMax = 200
    private static let limits = HeadLimits(headerBytes: 128 * 1024, requestTargetBytes: 32 * 1024)

    /// A head of some 120 KiB: the lines `first`, and as many others as are allowed.
    private static func head(_ first: String, target: String = "/") -> [UInt8] {
        var text = "GET \(target) HTTP/1.1\r\nHost: a\r\n" + first
        let each = max(8, (120 * 1024 - text.utf8.count) / 190 - 10)
        for i in 0..<190 { text += "X-\(i % 10): " + String(repeating: "v", count: each) + "\r\n" }
        return Array((text + "\r\n").utf8)
    }

    private static func row(_ name: String, _ unit: String, _ count: Int) -> String {
        "\(name): " + String(repeating: unit, count: count) + "\r\n"
    }

    /// The time that this thread computes to read and write it, in nanoseconds: the least of a few times.
    private static func cost(_ bytes: [UInt8]) -> Int {
        var head = RequestHead(lines: linesMax)
        var out = ByteBuffer(capacity: bytes.count + 4096)
        let forwarding = Forwarding(client: IPAddress(v4: 1), id: RequestID(high: 1, low: 2))
        var least = Int.max
        for _ in 0..<3 {
            out.clear()
            let start = now()
            if let step = try? RequestParser.parse(bytes.span, into: &head, limits: limits), step == .complete {
                HeadWriter.write(head, bytes.span, forwarding: forwarding, into: &out)
            }
            least = min(least, now() - start)
        }
        return least
    }

    private static func now() -> Int {
        var time = timespec()
        // Safety: the kernel writes one timespec into a local.
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    @Test("no head costs out of proportion to what a plain one of its size does")
    func proportion() {
        let plain = Self.cost(Self.head(""))
        let shapes: [(String, [UInt8])] = [
            ("a long Connection", Self.head(Self.row("Connection", "a,", 30_000))),
            ("a Connection of commas", Self.head(Self.row("Connection", ",", 60_000))),
            ("a Connection as long as allowed", Self.head(Self.row("Connection", "a,", 256))),
            ("a long Via", Self.head(Self.row("Via", "1.1 a,", 10_000))),
            ("a long TE", Self.head(Self.row("TE", "a,", 30_000))),
            ("a long Upgrade", Self.head("Connection: upgrade\r\n" + Self.row("Upgrade", "a,", 30_000))),
            ("a long X-Forwarded-For", Self.head(Self.row("X-Forwarded-For", "1.1.1.1,", 7_000))),
            ("a long path", Self.head("", target: "/" + String(repeating: "%2e/", count: 8_000))),
        ]
        for (name, bytes) in shapes {
            let spent = Self.cost(bytes)
            // In a debug build lists cost some fifty times what the search for line ends does; each against each, thousands.
            #expect(spent <= 100 * plain, "\(name) costs \(spent / max(1, plain)) times as much as a plain head")
        }
    }
}
