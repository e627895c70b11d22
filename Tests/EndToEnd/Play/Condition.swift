// What a play demands of a message that was read: one line, one condition.

/// A condition such as `has Via containing hdproxy` or `framing chunked`.
struct Condition {
    private let text: String

    init(_ text: String) { self.text = text }

    /// Why `message` does not fulfil it; nil when it does.
    func complaint(about message: WireMessage) throws -> String? {
        if let rest = after("has ") { return complaintAboutPresence(rest, message) }
        if let rest = after("lacks ") {
            if let (name, part) = rest.halves(" containing ") {
                let value = message.head.values(name).first { $0.contains(part) }
                return value.map { "\(name) contains \(part): \($0.escaped)" }
            }
            return message.head.values(rest).isEmpty ? nil : "\(rest) is there: \(message.head.values(rest))"
        }
        if let part = after("nowhere ") {
            let field = message.head.fields.first { $0.value.contains(part) || $0.name.contains(part) }
            if let field { return "\(part) stands in \(field.name): \(field.value.escaped)" }
            return message.body.latin1.contains(part) ? "\(part) stands in the body" : nil
        }
        if let rest = after("one ") { return complaintAboutLines(rest, message, several: false) }
        if let rest = after("lines ") { return complaintAboutLines(rest, message, several: true) }
        if text == "body" || text.hasPrefix("body ") {
            let wanted = String(text.dropFirst(5))
            return message.body.latin1 == wanted ? nil : "the body is not \(wanted.escaped)"
        }
        if let rest = after("framing ") {
            let kind = String(message.framing.description.prefix { $0 != " " })
            let choices = rest.replacing(" or ", with: "|").split(separator: "|").map(String.init)
            return choices.contains(kind) ? nil : "framing is \(message.framing), not \(rest)"
        }
        if let rest = after("trailer ") {
            guard let (name, value) = rest.halves(": ") else { throw StageError("condition \(text)") }
            let found = message.trailers.contains { $0.name.lowercased() == name.lowercased() && $0.value == value }
            return found ? nil : "no trailer \(rest) among \(message.trailers)"
        }
        if let rest = after("only trailer ") {
            let found = message.trailers.map { "\($0.name): \($0.value)" }
            return found == [rest] ? nil : "the trailers are \(found), not \(rest) alone"
        }
        if text == "no trailer" { return message.trailers.isEmpty ? nil : "trailers \(message.trailers)" }
        if let name = after("no trailer ") {
            let found = message.trailers.contains { $0.name.lowercased() == name.lowercased() }
            return found ? "trailer \(name) is there" : nil
        }
        if text == "closes" {
            return message.head.members("Connection").contains("close") ? nil : "no Connection: close"
        }
        if text == "keeps" {
            return message.head.members("Connection").contains("close") ? "Connection: close is there" : nil
        }
        throw StageError("no such condition: \(text)")
    }

    private func complaintAboutPresence(_ rest: String, _ message: WireMessage) -> String? {
        if let (name, part) = rest.halves(" containing ") {
            let values = message.head.values(name)
            return values.contains { $0.contains(part) } ? nil : "no \(name) contains \(part.escaped): \(values)"
        }
        if let (name, value) = rest.halves(": ") {
            let values = message.head.values(name)
            return values.contains(value) ? nil : "no \(rest.escaped): \(values)"
        }
        return message.head.values(rest).isEmpty ? "no \(rest)" : nil
    }

    private func complaintAboutLines(_ rest: String, _ message: WireMessage, several: Bool) -> String? {
        let (name, value) = rest.halves(":") ?? (rest, "")
        let wanted = several ? value.split(separator: "|").map(\.trimmed) : [value.trimmed]
        let values = message.head.values(name)
        return values == wanted ? nil : "\(name) is on the lines \(values), not \(wanted)"
    }

    private func after(_ prefix: String) -> String? {
        text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
    }
}

extension String {
    fileprivate func halves(_ separator: String) -> (String, String)? {
        firstRange(of: separator).map { (String(self[..<$0.lowerBound]), String(self[$0.upperBound...])) }
    }
}
