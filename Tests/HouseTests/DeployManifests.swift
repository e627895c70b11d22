// What a cluster would be given: the output of `kubectl kustomize Config/kubernetes`, as values that can be asked and
// spoilt.

import Foundation
import TestTools

/// A JSON value.
enum Node: Decodable, Hashable, Sendable {
    case null
    case flag(Bool)
    case number(Double)
    case text(String)
    case list([Node])
    case object([String: Node])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([Node].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: Node].self))
        }
    }

    /// The value at a path of keys and positions: `spec.template.spec.containers.0.image`. Nil where there is none.
    /// Setting nil takes it away; a list grows when the position is one past its end.
    subscript(_ path: String) -> Node? {
        get { self[path.split(separator: ".")[...]] }
        set { self[path.split(separator: ".")[...]] = newValue }
    }

    private subscript(_ path: ArraySlice<Substring>) -> Node? {
        get {
            guard let first = path.first else { return self }
            switch self {
            case .object(let members): return members[String(first)]?[path.dropFirst()]
            case .list(let items):
                guard let index = Int(first), items.indices.contains(index) else { return nil }
                return items[index][path.dropFirst()]
            case .null, .flag, .number, .text: return nil
            }
        }
        set {
            guard let first = path.first else {
                self = newValue ?? .null
                return
            }
            switch self {
            case .object(var members):
                var member = members[String(first)] ?? .object([:])
                if path.count == 1 && newValue == nil {
                    members[String(first)] = nil
                } else {
                    member[path.dropFirst()] = newValue
                    members[String(first)] = member
                }
                self = .object(members)
            case .list(var items):
                guard let index = Int(first), index <= items.count else { return }
                if path.count == 1, let newValue, index == items.count {
                    items.append(newValue)
                } else if path.count == 1 && newValue == nil {
                    items.remove(at: index)
                } else {
                    items[index][path.dropFirst()] = newValue
                }
                self = .list(items)
            case .null, .flag, .number, .text: break
            }
        }
    }

    var text: String? { if case .text(let text) = self { text } else { nil } }
    var number: Double? { if case .number(let number) = self { number } else { nil } }
    var items: [Node] { if case .list(let items) = self { items } else { [] } }
    var members: [String: Node] { if case .object(let members) = self { members } else { [:] } }
    /// The texts of a list.
    var texts: [String] { items.compactMap(\.text) }

    /// A value of kubectl's or of a JSON5 file's.
    static func reading(_ text: some StringProtocol) throws -> Node {
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true
        return try decoder.decode(Node.self, from: Data(text.utf8))
    }
}

extension Node: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .text(value) }
    init(booleanLiteral value: Bool) { self = .flag(value) }
    init(integerLiteral value: Int) { self = .number(Double(value)) }
    init(arrayLiteral elements: Node...) { self = .list(elements) }
    init(dictionaryLiteral elements: (String, Node)...) { self = .object(Dictionary(uniqueKeysWithValues: elements)) }
}

/// All that `kubectl apply -k Config/kubernetes` would apply, with what it has to agree with.
struct Manifests: Sendable {
    static let rendered = Result { try Manifests() }

    /// The objects in kubectl's order.
    var objects: [Node]
    /// The example `Config/edge.json5`.
    var edge: Node
    /// The lines of `Dockerfile` that are neither empty nor comments, continued lines joined.
    var dockerfile: [String]

    private init() throws {
        let root = try SourceTree.project.get().root
        let yaml = try Self.kubectl(["kustomize", root.appending(path: "Config/kubernetes").path])
        // `--local` asks no server; a label is what kubectl can change without knowing the kind.
        let json = try Self.kubectl(["label", "--local", "-f", "-", "-o", "json", "read=1"], input: yaml)
        objects = try json.split(separator: "\n}\n").map { try Node.reading($0 + "\n}") }
        edge = try Node.reading(String(contentsOf: root.appending(path: "Config/edge.json5"), encoding: .utf8))
        dockerfile = try String(contentsOf: root.appending(path: "Dockerfile"), encoding: .utf8)
            .replacing(/^#.*\n/.anchorsMatchLineEndings(), with: "").replacing("\\\n", with: " ")
            .split(separator: "\n").map(String.init)
    }

    private static func kubectl(_ arguments: [String], input: String = "") throws -> String {
        // Whoever runs the tests may have a cluster: it is none of their business.
        let (status, output) = try runTool(
            ["kubectl"] + arguments, input: input, environment: ["KUBECONFIG": "/dev/null"])
        guard status == 0 else {
            throw DeployError(
                "kubectl \(arguments): status \(status) (127: `.ci/install test` installs it)\n" + output)
        }
        return output
    }

    /// Where the objects of `kind` stand.
    func indices(_ kind: String) -> [Int] { objects.indices.filter { objects[$0]["kind"] == .text(kind) } }

    /// The only object of `kind`; null where there is none or more than one.
    subscript(_ kind: String) -> Node {
        get { indices(kind).count == 1 ? objects[indices(kind)[0]] : .null }
        set { if let index = indices(kind).first { objects[index] = newValue } }
    }

    /// The pod template's `spec`.
    var pod: Node {
        get { self["DaemonSet"]["spec.template.spec"] ?? .null }
        set { self["DaemonSet"]["spec.template.spec"] = newValue }
    }

    /// The only container.
    var container: Node {
        get { pod["containers"]?.items.count == 1 ? pod["containers.0"] ?? .null : .null }
        set { pod["containers.0"] = newValue }
    }

    /// What stands behind `instruction` in the last stage of the Dockerfile, for each line of it.
    func lastStage(_ instruction: String) -> [String] {
        let start = dockerfile.lastIndex { $0.hasPrefix("FROM ") } ?? 0
        return dockerfile[start...].filter { $0.hasPrefix(instruction + " ") }
            .map { String($0.dropFirst(instruction.count + 1)) }
    }
}

struct DeployError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
