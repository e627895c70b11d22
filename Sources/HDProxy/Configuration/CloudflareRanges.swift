// Which addresses are Cloudflare's? A copy of Config/cloudflare-ips.txt, because the program runs without files beside it;
// a test holds one against the other.

import ProxyCore

/// The ranges that Cloudflare publishes.
enum CloudflareRanges {
    /// As text, in the order of the file.
    static let texts = [
        "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18",
        "108.162.192.0/18", "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17",
        "162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22", "2400:cb00::/32",
        "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29", "2c0f:f248::/32",
    ]

    /// As ranges.
    static let all = texts.compactMap { try? AddressRange($0) }

    /// The ranges of a list as it is published: one a line, empty lines and what follows a `#` left out.
    static func read(_ text: String) throws(ListFault) -> [AddressRange] {
        var ranges: [AddressRange] = []
        // A CRLF is one character to Swift, and as good a line end.
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard let word = words.first else { continue }
            guard words.count == 1, let range = try? AddressRange(String(word)) else {
                throw ListFault(line: index + 1, text: String(line))
            }
            ranges.append(range)
        }
        return ranges
    }

    /// A line that is no range.
    struct ListFault: Error, Equatable {
        var line: Int
        var text: String
    }
}
