// What does the admin listener answer? Status, fields and a body, and how they are spelled (RFC 9112).

import ProxyCore

/// An answer of the admin listener.
struct AdminResponse: Equatable, Sendable {
    /// The status.
    var status = 200
    /// The body's media type.
    var contentType = "text/plain; charset=utf-8"
    /// More field lines, each name with its value.
    var fields: [(name: String, value: String)] = []
    /// The body.
    var body: [UInt8]
    /// Whether the connection ends with it, because the rest of the request is in doubt or unread.
    var closes = false

    /// Plain text, with a line feed at its end.
    static func text(_ text: String, status: Int = 200) -> AdminResponse {
        AdminResponse(status: status, body: Array((text.hasSuffix("\n") ? text : text + "\n").utf8))
    }

    /// JSON.
    static func json(_ bytes: [UInt8], status: Int = 200) -> AdminResponse {
        AdminResponse(status: status, contentType: "application/json", body: bytes)
    }

    /// JSON that `write` tells.
    static func json(status: Int = 200, _ write: (inout JSONText) -> Void) -> AdminResponse {
        var text = JSONText()
        text.object(write)
        return json(text.line, status: status)
    }

    /// A message that broke a rule.
    static func rejected(_ rejection: Rejection) -> AdminResponse {
        var response = text("\(phrase(rejection.status)): \(rejection.reason)", status: rejection.status)
        response.closes = true
        return response
    }

    /// The whole message. `isHead`: the answer to HEAD, whose body stays away.
    func message(isHead: Bool, closes: Bool, date: HTTPDate) -> ByteBuffer {
        var head = "HTTP/1.1 \(status) \(Self.phrase(status))\r\nDate: "
        head += String(decoding: (0..<29).map { date.text[$0] }, as: UTF8.self)
        head += "\r\nContent-Type: \(contentType)\r\nContent-Length: \(body.count)\r\n"
        // What is told is of this moment, and for nobody's page but ours.
        head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        head += "Cross-Origin-Resource-Policy: same-origin\r\n"
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        if closes { head += "Connection: close\r\n" }
        head += "\r\n"
        var message = ByteBuffer(capacity: head.utf8.count + (isHead ? 0 : body.count))
        message.append(Array(head.utf8).span)
        if !isHead { message.append(body.span) }
        return message
    }

    /// The reason phrase of a status.
    static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Response"
        }
    }

    static func == (a: Self, b: Self) -> Bool {
        a.status == b.status && a.contentType == b.contentType && a.body == b.body && a.closes == b.closes
            && a.fields.elementsEqual(b.fields, by: ==)
    }
}
