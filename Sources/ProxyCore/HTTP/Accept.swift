// Would the client rather read JSON or plain text? RFC 9110 §12.5.1, for the two kinds of answer that we make.

/// What an `Accept` value prefers.
enum Accept {
    /// Whether JSON is wanted more than plain text. Without a clear word it is not.
    static func prefersJSON(_ bytes: Span<UInt8>, _ value: ByteRange) -> Bool {
        var json = Preference()
        var text = Preference()
        _ = Scan.forEachMember(bytes, value) { member in
            var end = Int(member.start)
            while end < member.end, bytes[end] != ASCII.semicolon { end &+= 1 }
            let range = Scan.trimmed(bytes, ByteRange(Int(member.start), end))
            let quality = thousandths(bytes, ByteRange(end, member.end))
            if Scan.equals(bytes, range, "*/*") {
                json.note(quality, specificity: 1)
                text.note(quality, specificity: 1)
            } else if Scan.equals(bytes, range, "application/*") {
                json.note(quality, specificity: 2)
            } else if Scan.equals(bytes, range, "text/*") {
                text.note(quality, specificity: 2)
            } else if Scan.equals(bytes, range, "application/json")
                || Scan.equals(bytes, range, "application/problem+json")
            {
                json.note(quality, specificity: 3)
            } else if Scan.equals(bytes, range, "text/plain") {
                text.note(quality, specificity: 3)
            }
            return true
        }
        return json.quality > text.quality
            || (json.quality == text.quality && json.quality > 0 && json.specificity > text.specificity)
    }

    private struct Preference {
        var quality = 0
        var specificity = 0

        mutating func note(_ quality: Int, specificity: Int) {
            guard specificity >= self.specificity else { return }
            self.quality = quality
            self.specificity = specificity
        }
    }

    /// The `q` parameter in thousandths; 1000 where there is none that makes sense.
    private static func thousandths(_ bytes: Span<UInt8>, _ parameters: ByteRange) -> Int {
        var at = Int(parameters.start)
        let end = parameters.end
        while at &+ 2 < end {
            let startsHere = bytes[at] == ASCII.semicolon
            at &+= 1
            guard startsHere else { continue }
            while at < end, ASCII.isOWS(bytes[at]) { at &+= 1 }
            guard at &+ 2 < end, bytes[at] | 0x20 == UInt8(ascii: "q"), bytes[at &+ 1] == UInt8(ascii: "=") else {
                continue
            }
            at &+= 2
            var value = 0
            var scale = 1000
            var isFraction = false
            while at < end {
                if bytes[at] == UInt8(ascii: "."), !isFraction {
                    isFraction = true
                } else if let digit = ASCII.digit(bytes[at]), scale > 1 || !isFraction {
                    if isFraction {
                        scale /= 10
                        value += Int(digit) * scale
                    } else {
                        value = min(value * 10 + Int(digit) * 1000, 1000)
                    }
                } else {
                    break
                }
                at &+= 1
            }
            return min(value, 1000)
        }
        return 1000
    }
}
