// What does the API server say when it does not say yes? Status objects and texts, word for word as recorded.

import ProxyCore

/// An answer that is not a list, an object or a watch.
struct Refusal: Sendable {
    var status: Int
    var body: String
    var isText = false
    /// Seconds for `Retry-After`.
    var retryAfter: Int?
    var noSniff = false
    /// Whether flow control had a say, which it has not before it is known who asks.
    var wasClassified = true

    static func status(
        _ status: Int, _ reason: String?, _ message: String, details: [(String, JSONText)]? = nil,
        metadata: JSONText = "{}"
    ) -> Refusal {
        Refusal(
            status: status,
            body: statusText(status, reason, message, details: details, metadata: metadata) + "\n")
    }

    static func statusText(
        _ status: Int, _ reason: String?, _ message: String, details: [(String, JSONText)]? = nil,
        metadata: JSONText = "{}"
    ) -> JSONText {
        var members = [
            ("kind", "\"Status\""), ("apiVersion", "\"v1\""), ("metadata", metadata), ("status", "\"Failure\""),
            ("message", JSON.string(message)),
        ]
        if let reason { members.append(("reason", JSON.string(reason))) }
        if let details { members.append(("details", JSON.object(details))) }
        members.append(("code", "\(status)"))
        return JSON.object(members)
    }

    static let unauthorized: Refusal = {
        var answer = status(401, "Unauthorized", "Unauthorized")
        answer.wasClassified = false
        return answer
    }()

    static func forbidden(user: String, verb: String, group: String, resource: String, namespace: String?) -> Refusal {
        let qualified = group.isEmpty ? resource : "\(resource).\(group)"
        let place = namespace.map { "in the namespace \"\($0)\"" } ?? "at the cluster scope"
        var answer = status(
            403, "Forbidden",
            "\(qualified) is forbidden: User \"\(user)\" cannot \(verb) resource \"\(resource)\" "
                + "in API group \"\(group)\" \(place)",
            details: (group.isEmpty ? [] : [("group", JSON.string(group))]) + [("kind", JSON.string(resource))])
        answer.noSniff = true
        return answer
    }

    static func forbiddenPath(user: String, path: String) -> Refusal {
        var answer = status(
            403, "Forbidden", "forbidden: User \"\(user)\" cannot get path \"\(path)\"", details: [])
        answer.noSniff = true
        return answer
    }

    static func notFound(_ name: String, _ resource: FakeResource) -> Refusal {
        status(
            404, "NotFound", "\(resource.qualifiedName) \"\(name)\" not found",
            details: [("name", JSON.string(name))]
                + (resource.group.isEmpty ? [] : [("group", JSON.string(resource.group))])
                + [("kind", JSON.string(resource.rawValue))])
    }

    static let unknownResource = status(
        404, "NotFound", "the server could not find the requested resource", details: [])

    static let unknownPath = Refusal(status: 404, body: "404 page not found\n", isText: true, noSniff: true)

    static let wrongMethod = status(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details: [])

    static let tooManyRequests = Refusal(
        status: 429, body: "Too many requests, please try again later.\n", isText: true, retryAfter: 1, noSniff: true)

    static func invalidOptions(field: String, _ message: String) -> Refusal {
        status(
            422, "Invalid", "ListOptions.meta.k8s.io \"\" is invalid: \(field): Forbidden: \(message)",
            details: [
                ("group", "\"meta.k8s.io\""), ("kind", "\"ListOptions\""),
                (
                    "causes",
                    JSON.array([
                        JSON.object([
                            ("reason", "\"FieldValueForbidden\""), ("message", JSON.string("Forbidden: \(message)")),
                            ("field", JSON.string(field)),
                        ])
                    ])
                ),
            ])
    }

    static func badVersion(_ text: String) -> Refusal {
        status(
            500, nil,
            "resourceVersion: Invalid value: \"\(text)\": strconv.ParseUint: parsing \"\(text)\": invalid syntax")
    }

    static func tooLarge(_ version: Int, current: Int) -> Refusal {
        var answer = status(
            504, "Timeout", "Timeout: Too large resource version: \(version), current: \(current)",
            details: [
                (
                    "causes",
                    "[{\"reason\":\"ResourceVersionTooLarge\",\"message\":\"Too large resource version\"}]"
                ), ("retryAfterSeconds", "1"),
            ])
        answer.retryAfter = 1
        return answer
    }

    static let listTooOld = status(410, "Expired", "The resourceVersion for the provided list is too old.")

    static func continueTooOld(_ token: String) -> Refusal {
        status(
            410, "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
                + "without the continue parameter, or use the continue token in this response to retrieve the remainder "
                + "of the results. Continuing with the provided token results in an inconsistent list - objects that "
                + "were created, modified, or deleted between the time the first chunk was returned and now may show up "
                + "in the list.", metadata: JSON.object([("continue", JSON.string(token))]))
    }

    static func watchTooOld(_ version: Int, oldest: Int) -> JSONText {
        statusText(410, "Expired", "too old resource version: \(version) (\(oldest))")
    }

    static let badContinue = status(
        400, "BadRequest",
        "invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value")

    static func badSelector(_ text: String) -> Refusal {
        status(400, "BadRequest", "found '\(text)', expected: !, identifier, or 'end of string'")
    }

    /// The reason phrases that are needed here.
    static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 410: "Gone"
        case 422: "Unprocessable Entity"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Status \(status)"
        }
    }
}

/// The fields that answers share.
enum Heads {
    static let endpointsWarning =
        "Warning: 299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"\r\n"

    /// A head, with its fields in the order of Go's server: by name, then the date and the framing.
    static func text(
        status: Int, contentType: String = "application/json", retryAfter: Int? = nil, warns: Bool = false,
        noSniff: Bool = false, flow: (schema: String, level: String)?, length: Int?
    ) -> String {
        var head = "HTTP/1.1 \(status) \(Refusal.phrase(status))\r\n"
        head += "Audit-Id: \(FakeNames.uid())\r\nCache-Control: no-cache, private\r\nContent-Type: \(contentType)\r\n"
        if let retryAfter { head += "Retry-After: \(retryAfter)\r\n" }
        if warns { head += endpointsWarning }
        if noSniff { head += "X-Content-Type-Options: nosniff\r\n" }
        if let flow {
            head += "X-Kubernetes-Pf-Flowschema-Uid: \(flow.schema)\r\n"
            head += "X-Kubernetes-Pf-Prioritylevel-Uid: \(flow.level)\r\n"
        }
        let date = HTTPDate(unixSeconds: Clock.wallMicroseconds() / 1_000_000).text
        head += "Date: \(String(decoding: date.indices.map { date[$0] }, as: UTF8.self))\r\n"
        head += length.map { "Content-Length: \($0)\r\n\r\n" } ?? "Transfer-Encoding: chunked\r\n\r\n"
        return head
    }
}
