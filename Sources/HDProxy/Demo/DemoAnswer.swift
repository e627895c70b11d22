// What a demo backend answers: status, fields and body, spelled for the wire.

import Glibc
import ProxyCore

/// A whole answer.
struct DemoAnswer {
    private let status: Int
    private let fields: [(String, String)]
    private let body: String

    /// An answer with a body of plain text.
    init(status: Int = 200, text: String) {
        self.init(status: status, type: "text/plain; charset=utf-8", body: text)
    }

    private init(status: Int, type: String, body: String, fields: [(String, String)] = []) {
        self.status = status
        self.fields = [("Content-Type", type)] + fields
        self.body = body
    }

    /// The request told back: who got it, and what came in; as JSON where the client prefers that.
    static func received(_ request: DemoRequest, bodyBytes: UInt64, by identity: DemoIdentity) -> DemoAnswer {
        if request.prefersJSON {
            let fields = request.fields.map { "[\(quoted($0.name.utf8)),\(quoted($0.value))]" }
            let body = """
                {"backend":\(quoted(identity.name.utf8)),"method":\(quoted(request.method.utf8)),\
                "target":\(quoted(request.target.utf8)),"fields":[\(fields.joined(separator: ","))],\
                "bodyBytes":\(bodyBytes)}

                """
            return DemoAnswer(status: 200, type: "application/json", body: body)
        }
        let lines = request.fields.map { "\($0.name): \(String(decoding: $0.value, as: UTF8.self))\n" }.joined()
        return DemoAnswer(
            text: """
                \(identity.name) received:

                \(request.method) \(request.target) HTTP/1.\(request.minorVersion)
                \(lines)
                body: \(bodyBytes) bytes

                """)
    }

    /// A target whose number is missing, odd or too large.
    static func wrongNumber(_ form: String, _ allowed: ClosedRange<UInt64>) -> DemoAnswer {
        DemoAnswer(
            status: 400, text: "\(form) takes a number from \(allowed.lowerBound) to \(allowed.upperBound)\n")
    }

    /// RFC 9110 §15.5.22 and RFC 6455 §4.4: how to come back.
    static var upgradeRequired: DemoAnswer {
        DemoAnswer(
            status: 426, type: "text/plain; charset=utf-8", body: "/ws takes a WebSocket handshake, version 13\n",
            fields: [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")])
    }

    /// The answer's bytes. Without a request (it could not be read) the connection is closed behind it.
    func bytes(to request: DemoRequest?, from identity: DemoIdentity) -> [UInt8] {
        let isLast = !(request?.keepsAlive ?? false)
        // RFC 9110 §15.3.5, §15.3.6 and §15.4.5: 204 has no Content-Length, 205 a zero, 304 none that we know.
        switch status {
        case 204, 304: return Array(Self.head(status, [], isLast: isLast, from: identity).utf8)
        case 205: return Array(Self.head(status, [("Content-Length", "0")], isLast: isLast, from: identity).utf8)
        default:
            let length = [("Content-Length", String(body.utf8.count))]
            let head = Self.head(status, fields + length, isLast: isLast, from: identity)
            return Array((request?.method == "HEAD" ? head : head + body).utf8)
        }
    }

    /// A head with the fields that every answer has.
    static func head(_ status: Int, _ fields: [(String, String)], isLast: Bool, from identity: DemoIdentity) -> String {
        let own = [("Date", now()), ("X-Backend", identity.name), ("X-Service", identity.service)]
        let all = own + fields + (isLast ? [("Connection", "close")] : [])
        return "HTTP/1.1 \(status) \(reason(status))\r\n" + all.map { "\($0): \($1)\r\n" }.joined() + "\r\n"
    }

    /// The words behind a status, for people; other codes have none, which RFC 9112 §4 allows.
    static func reason(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 204: "No Content"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 426: "Upgrade Required"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: ""
        }
    }

    /// The time as RFC 9110 §5.6.7 writes it.
    private static func now() -> String {
        var seconds = time(nil)
        // Safety: the zone's name that `tm` can point to is never read.
        var parts = unsafe tm()
        var text = [CChar](repeating: 0, count: 40)
        // Safety: gmtime_r fills `parts`; strftime writes at most `text.count` bytes, the NUL included.
        let length = unsafe strftime(&text, text.count, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds, &parts))
        return String(decoding: text.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A JSON string. Bytes beyond ASCII are told as the characters of the same number, so that none is lost.
    private static func quoted(_ bytes: some Sequence<UInt8>) -> String {
        var text = "\""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7F: text += String(UnicodeScalar(byte))
            default: text += "\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return text + "\""
    }
}
