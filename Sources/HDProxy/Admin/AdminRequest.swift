// What was the admin listener asked, and by whom? The few things that decide, as values; and whether they may be
// answered at all.

import ProxyCore

/// A request to the admin listener.
struct AdminRequest: Equatable, Sendable {
    /// The method.
    var method = Method.get
    /// The path, as it came.
    var path = "/"
    /// The query, without its `?`.
    var query = ""
    /// The value of Host; nil where HTTP/1.0 sent none.
    var host: String?
    /// The value of Origin.
    var origin: String?
    /// The value of Sec-Fetch-Site.
    var fetchSite: String?
    /// The value of Accept.
    var accept = ""
    /// Whether it came from this machine: over the Unix socket or from loopback.
    var isLocal = true
    /// Whether it came over the Unix socket, where no browser is.
    var isUnix = false

    /// The value of the parameter `name` of the query, decoded; empty where it stands there without one.
    func parameter(_ name: String) -> String? {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if QueryText.decode(String(parts[0])) == name {
                return QueryText.decode(parts.count > 1 ? String(parts[1]) : "")
            }
        }
        return nil
    }
}

extension AdminRequest {
    /// The parts of a parsed head.
    init(_ head: borrowing RequestHead, _ bytes: Span<UInt8>, isLocal: Bool, isUnix: Bool) {
        func text(_ range: ByteRange) -> String { String(decoding: range.range.map { bytes[$0] }, as: UTF8.self) }
        self.isLocal = isLocal
        self.isUnix = isUnix
        method = head.method
        path = text(head.target.path)
        if path.isEmpty { path = "/" }
        let whole = head.target.pathAndQuery
        if whole.end > head.target.path.end { query = text(ByteRange(head.target.path.end + 1, whole.end)) }
        host = head.authority.host.isEmpty ? nil : text(head.authority.host)
        if let port = head.authority.port { host? += ":\(port)" }
        accept = text(head.noted.accept)
        for index in 0..<head.fields.lines.count {
            let line = head.fields.lines[index]
            if Scan.equals(bytes, line.name, "origin") { origin = text(line.value) }
            if Scan.equals(bytes, line.name, "sec-fetch-site") { fetchSite = text(line.value) }
        }
    }
}

/// What a web page could do: any page in a browser on the operator's machine may send requests to 127.0.0.1, and one
/// whose name its owner makes point there (DNS rebinding) may even read the answers.
enum BrowserGuard {
    /// Why a request is refused, or nil.
    static func refusal(of request: AdminRequest) -> String? {
        if request.isUnix { return nil }
        if let host = request.host, !isOurs(host) {
            return "the Host \(host) could be any web page's (DNS rebinding): use an address, localhost, or a name "
                + "without a dot or under .local or .internal"
        }
        guard request.method == .post else { return nil }
        if let site = request.fetchSite, site != "same-origin", site != "none" {
            return "a web page of another site must not do this"
        }
        if let origin = request.origin, origin != "http://" + (request.host ?? "") {
            return "a web page of another site must not do this"
        }
        return nil
    }

    /// Whether nobody outside can make `host` his own: it is an address, or a name that public DNS does not have.
    private static func isOurs(_ host: String) -> Bool {
        if host.hasPrefix("[") { return true }
        var name = host.split(separator: ":", maxSplits: 1).first.map { $0.lowercased() } ?? ""
        if name.hasSuffix(".") { name.removeLast() }
        if IPAddress(name) != nil { return true }
        return !name.contains(".") || [".localhost", ".local", ".internal"].contains { name.hasSuffix($0) }
    }
}

/// Percent-encoding in queries.
enum QueryText {
    /// `text` decoded; `+` is a space, what is no encoding stays as it is.
    static func decode(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var decoded: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = ASCII.hexDigit(bytes[at + 1]),
                let low = ASCII.hexDigit(bytes[at + 2])
            {
                decoded.append(high << 4 | low)
                at += 3
            } else {
                decoded.append(bytes[at] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[at])
                at += 1
            }
        }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// `text` as the value of a parameter: letters, digits and `-._~` as they are (RFC 3986 §2.3).
    static func encode(_ text: String) -> String {
        var encoded = ""
        for byte in text.utf8 {
            if ASCII.digit(byte) != nil || (byte | 0x20) &- UInt8(ascii: "a") < 26 || "-._~".utf8.contains(byte) {
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                encoded += byte < 16 ? "%0" : "%"
                encoded += String(byte, radix: 16, uppercase: true)
            }
        }
        return encoded
    }
}
