// What was asked? A request, taken apart as far as the fake understands it.

import ProxyCore

/// A request that reached the fake.
public struct FakeRequest: Sendable {
    /// The method.
    public var method: String
    /// The target as sent, path and query.
    public var target: String
    /// The path alone.
    public var path: String
    /// The query's parameters, decoded; of duplicates the last.
    public var query: [String: String]
    /// The field lines, names in lower case.
    public var fields: [String: String]
    /// What is asked for; nil where the fake does not know the path.
    public var resource: FakeResource?
    /// The namespace; nil for all.
    public var namespace: String?
    /// The object; nil for a list or a watch.
    public var name: String?
    /// Whether it is a watch.
    public var isWatch: Bool
    /// Which connection it came over, counted from 1.
    public var connection: Int
    /// When it came.
    public var at: Instant
    /// The status that was sent; nil while there is none.
    public internal(set) var status: Int?

    /// Reads a head; nil where it is none.
    init?(_ head: String, connection: Int) {
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
        guard let first = lines.first else { return nil }
        lines.removeFirst()
        let words = first.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { return nil }
        method = String(words[0])
        target = String(words[1])
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        query = [:]
        if parts.count == 2 {
            for pair in parts[1].split(separator: "&") {
                let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                query[Self.decoded(sides[0])] = sides.count == 2 ? Self.decoded(sides[1]) : ""
            }
        }
        fields = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...]
            fields[line[..<colon].lowercased()] = String(value.drop { $0 == " " })
        }
        self.connection = connection
        at = Clock.now()
        let watch = query["watch"]
        isWatch = watch == "1" || watch == "true" || watch == ""
        (resource, namespace, name) = (nil, nil, nil)
        var elements = path.split(separator: "/").map(String.init)
        let isDiscovery = elements.starts(with: ["apis", "discovery.k8s.io", "v1"])
        guard isDiscovery || elements.starts(with: ["api", "v1"]) else { return }
        elements.removeFirst(isDiscovery ? 3 : 2)
        if elements.count >= 2, elements[0] == "namespaces" {
            namespace = elements[1]
            elements.removeFirst(2)
        }
        guard let word = elements.first, elements.count <= 2, let known = FakeResource(rawValue: word),
            known.group.isEmpty != isDiscovery
        else { return }
        resource = known
        name = elements.count == 2 ? elements[1] : nil
    }

    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, let high = ASCII.hexDigit(rest.first!),
                let low = ASCII.hexDigit(rest.dropFirst().first!)
            {
                bytes.append(high << 4 | low)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The group, resource and namespace that a refusal speaks of, also where the fake does not serve them.
    var asked: (group: String, resource: String, namespace: String?)? {
        var elements = path.split(separator: "/").map(String.init)
        var group = ""
        if elements.first == "apis", elements.count > 3 {
            group = elements[1]
            elements.removeFirst(3)
        } else if elements.first == "api", elements.count > 2 {
            elements.removeFirst(2)
        } else {
            return nil
        }
        var namespace: String?
        if elements.count >= 3, elements[0] == "namespaces" {
            namespace = elements[1]
            elements.removeFirst(2)
        }
        return elements.first.map { (group, $0, namespace) }
    }
}

/// Which objects are meant? `labelSelector` and `fieldSelector`, by equality.
struct FakeSelector: Sendable {
    private enum Rule: Sendable {
        case equals(String, String)
        case differs(String, String)
        case exists(String)
    }
    private var rules: [Rule] = []
    private var name: String?

    /// Reads the parameters of a request; throws the answer to one that makes no sense.
    init(_ query: [String: String]) throws(FakeRefusal) {
        for part in (query["labelSelector"] ?? "").split(separator: ",") {
            let text = part.filter { $0 != " " }
            if let (key, value) = Self.sides(text, "!=") {
                rules.append(.differs(key, value))
            } else if let (key, value) = Self.sides(text, "==") ?? Self.sides(text, "=") {
                guard !key.isEmpty else { throw FakeRefusal(.badSelector(text)) }
                rules.append(.equals(key, value))
            } else {
                rules.append(.exists(text))
            }
        }
        if let (key, value) = Self.sides(query["fieldSelector"] ?? "", "="), key == "metadata.name" { name = value }
    }

    private static func sides(_ text: String, _ mark: String) -> (String, String)? {
        guard let range = text.firstRange(of: mark) else { return nil }
        return (String(text[..<range.lowerBound]), String(text[range.upperBound...]))
    }

    /// Whether it narrows anything.
    var isEmpty: Bool { rules.isEmpty && name == nil }

    /// Whether an object with these labels and this name is meant.
    func matches(_ labels: [String: String], _ name: String) -> Bool {
        (self.name == nil || self.name == name)
            && rules.allSatisfy { rule in
                switch rule {
                case .equals(let key, let value): labels[key] == value
                case .differs(let key, let value): labels[key] != value
                case .exists(let key): labels[key] != nil
                }
            }
    }
}

/// A refusal on its way to the client.
struct FakeRefusal: Error {
    var answer: Refusal
    init(_ answer: Refusal) { self.answer = answer }
}
