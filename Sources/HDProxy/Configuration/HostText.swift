// Which hosts does a text name? Host patterns of routes and the targets of redirects, by RFC 952 and RFC 1123 §2.1.

import ProxyCore

/// A host pattern as the configuration spells it.
enum HostText {
    /// What is allowed, for messages.
    static let allowed = "a host name, *.example.com for exactly one label, an IPv6 address in brackets, or *"

    /// The pattern that `text` spells, in lower case and without a final dot, or what is wrong with it.
    static func pattern(_ text: String) -> Result<HostPattern, Refusal> {
        if text == "*" { return .success(.any) }
        if text.isEmpty { return .failure("it is empty") }
        if text.hasPrefix("[") { return ipv6(text).map { .exact($0) } }
        let isWildcard = text.hasPrefix("*.")
        return name(isWildcard ? String(text.dropFirst(2)) : text).map { isWildcard ? .wildcard($0) : .exact($0) }
    }

    /// `text` as the name of one host, in lower case and without a final dot.
    static func name(_ text: String) -> Result<String, Refusal> {
        if !text.utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) {
            return .failure("it has characters that are not ASCII; a name in another script is written xn--…")
        }
        if text.contains("*") { return .failure("a * stands for the first label only, or alone for every host") }
        if text.contains(":") { return .failure("a port has no place here: the port in a Host is ignored") }
        if text.contains("/") { return .failure("it is a URL or a path, not a host") }
        var name = text.utf8.map(ASCII.lowercased)
        if name.last == UInt8(ascii: ".") { name.removeLast() }
        if name.count > 253 { return .failure("it has more than 253 characters") }
        for label in name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            if label.isEmpty { return .failure("a label between its dots is empty") }
            if label.count > 63 { return .failure("a label has more than 63 characters") }
            if label.first == UInt8(ascii: "-") || label.last == UInt8(ascii: "-") {
                return .failure("a label begins or ends with -")
            }
            if let byte = label.first(where: { !isLabelByte($0) }) {
                return .failure("\(JSON5Writer.quoted(String(Unicode.Scalar(byte)))) has no place in a host name")
            }
        }
        return .success(String(decoding: name, as: UTF8.self))
    }

    /// The canonical form in which clients send an IPv6 literal (RFC 5952), in brackets.
    private static func ipv6(_ text: String) -> Result<String, Refusal> {
        guard text.hasSuffix("]") else {
            return .failure(text.contains("]:") ? "a port has no place here" : "its bracket is not closed")
        }
        let inner = String(text.dropFirst().dropLast())
        guard inner.contains(":"), let address = IPAddress(inner) else {
            return .failure("between the brackets stands no IPv6 address")
        }
        return .success("[" + (address.isIPv4 ? inner.lowercased() : address.description) + "]")
    }

    /// Letters, digits and the hyphen; the underscore too, which names in private zones have.
    private static func isLabelByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// The target of a redirect.
enum RedirectText {
    /// What is allowed, for messages.
    static let allowed =
        "http:// or https:// with a host, or a path on the same host; without a path the request's own is appended"

    /// The target that `text` spells, and whether the request's path and query go behind it; or what is wrong.
    static func target(_ text: String) -> Result<(location: String, appendsPath: Bool), Refusal> {
        if text.isEmpty { return .failure("it is empty") }
        if !text.utf8.allSatisfy({ 0x21..<0x7F ~= $0 && !Self.notInURI.contains($0) }) {
            return .failure("it has characters that a URI must encode (RFC 3986)")
        }
        if text.hasPrefix("//") { return .failure("the scheme is missing") }
        if text.hasPrefix("/") { return .success((text, false)) }
        let scheme = ["http://", "https://"].first { text.lowercased().hasPrefix($0) }
        guard let scheme else { return .failure("it is neither an http or https URL nor a path") }
        let rest = text.dropFirst(scheme.count)
        let authority = rest.prefix { !"/?#".contains($0) }
        let refusal = checkAuthority(String(authority))
        return refusal.map(Result.failure) ?? .success((text, authority.count == rest.count))
    }

    /// What is wrong with `host` or `host:port`, or nil.
    static func checkAuthority(_ text: String) -> Refusal? {
        if text.contains("@") { return "user names have no place in this URL" }
        var host = text
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") {
            let port = text[text.index(after: colon)...]
            guard let number = UInt16(port), number > 0, port.utf8.allSatisfy({ ASCII.digit($0) != nil }) else {
                return "its port is not a number from 1 to 65535"
            }
            host = String(text[..<colon])
        }
        if host.isEmpty { return "the host is missing" }
        switch HostText.pattern(host) {
        case .success(.exact): return nil
        case .success: return "a * cannot be a target"
        case .failure(let refusal): return Refusal(stringLiteral: "its host is wrong: \(refusal.text)")
        }
    }

    private static let notInURI = Set("\"<>\\^`{|}".utf8)
}

/// Why a text was not taken.
struct Refusal: Error, Equatable, ExpressibleByStringInterpolation {
    /// The reason, as the middle of a sentence.
    var text: String

    init(stringLiteral text: String) { self.text = text }
}
