// In what do the objects of the Kubernetes API come? In lists, in events of a watch, and failures as a Status.

import FoundationEssentials
import ProxyCore

/// A failure as the API server words it.
struct APIStatus: Decodable, Sendable, Equatable {
    var message: String
    var reason: String
    var code: Int
    /// Where to go on with a list whose `continue` is too old.
    var continueToken: String?
    var retryAfterSeconds: Int?
    /// The reasons of its causes.
    var causes: [String]

    private enum Key: String, CodingKey { case kind, message, reason, code, metadata, details }
    private enum MetadataKey: String, CodingKey { case next = "continue" }
    private struct Details: Decodable {
        var causes: [Cause]?
        var retryAfterSeconds: Int?
    }
    private struct Cause: Decodable { var reason: String? }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        guard try fields.decode(String.self, forKey: .kind) == "Status" else {
            throw DecodingError.dataCorruptedError(forKey: .kind, in: fields, debugDescription: "not a Status")
        }
        message = try fields.decodeIfPresent(String.self, forKey: .message) ?? ""
        reason = try fields.decodeIfPresent(String.self, forKey: .reason) ?? ""
        code = try fields.decodeIfPresent(Int.self, forKey: .code) ?? 0
        let metadata = try? fields.nestedContainer(keyedBy: MetadataKey.self, forKey: .metadata)
        continueToken = try? metadata?.decodeIfPresent(String.self, forKey: .next)
        let details = try? fields.decodeIfPresent(Details.self, forKey: .details)
        causes = details?.causes?.compactMap(\.reason) ?? []
        retryAfterSeconds = details?.retryAfterSeconds
    }

    /// The Status that `body` is, if it is one: some servers and those before them answer with plain text.
    static func read(_ body: [UInt8]) -> APIStatus? { try? JSONDecoder().decode(APIStatus.self, from: Data(body)) }
}

/// An object, or the name of one that could not be read.
enum ReadObject<Object: ClusterObject>: Decodable, Sendable {
    case object(Object)
    /// The version is empty where not even the metadata could be read.
    case unreadable(ObjectKey?, resourceVersion: String, reason: String)

    private enum Key: String, CodingKey { case metadata }

    init(from decoder: any Decoder) throws {
        do {
            self = .object(try Object(from: decoder))
        } catch {
            let metadata = try? decoder.container(keyedBy: Key.self).decode(ObjectMetadata.self, forKey: .metadata)
            self = .unreadable(
                metadata?.key, resourceVersion: metadata?.resourceVersion ?? "", reason: JSONProblem.text(error))
        }
    }
}

/// One page of a list.
struct ObjectList<Object: ClusterObject>: Decodable, Sendable {
    /// The version that a watch goes on from.
    var resourceVersion: String
    /// Where the next page begins. Only where it is empty the list is over: a page may have no items.
    var continueToken: String
    var items: [ReadObject<Object>]

    private enum Key: String, CodingKey { case kind, metadata, items }
    private enum MetadataKey: String, CodingKey {
        case resourceVersion
        case next = "continue"
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        // Some other object read as a list would have no items, and that would empty the table.
        let kind = try fields.decode(String.self, forKey: .kind)
        guard kind == Object.kind + "List" else {
            throw DecodingError.dataCorruptedError(
                forKey: .kind, in: fields, debugDescription: "kind is \(kind), not \(Object.kind)List")
        }
        let metadata = try fields.nestedContainer(keyedBy: MetadataKey.self, forKey: .metadata)
        resourceVersion = try metadata.decode(String.self, forKey: .resourceVersion)
        guard !resourceVersion.isEmpty else {
            throw DecodingError.dataCorruptedError(
                forKey: .metadata, in: fields, debugDescription: "a list without resourceVersion")
        }
        continueToken = try metadata.decodeIfPresent(String.self, forKey: .next) ?? ""
        // A list without `items` is a cut or foreign one; `null` is an empty one, as Go writes it.
        guard fields.contains(.items) else {
            throw DecodingError.keyNotFound(
                Key.items, .init(codingPath: fields.codingPath, debugDescription: "a list without items"))
        }
        items = try fields.decodeIfPresent([ReadObject<Object>].self, forKey: .items) ?? []
    }

    /// - Throws: a text that says what is wrong.
    static func read(_ body: [UInt8]) throws(JSONProblem) -> ObjectList {
        do { return try JSONDecoder().decode(ObjectList.self, from: Data(body)) } catch { throw JSONProblem(error) }
    }
}

/// One event of a watch.
enum WatchEvent<Object: ClusterObject>: Decodable, Sendable {
    /// It is there, as `ADDED` or `MODIFIED` says.
    case present(ReadObject<Object>, isNew: Bool)
    /// It is gone, and was like this.
    case deleted(ReadObject<Object>)
    /// Nothing changed up to this version.
    case bookmark(resourceVersion: String, endsInitialEvents: Bool)
    /// The watch ends.
    case failed(APIStatus)
    /// A type that is not known.
    case unknown(String)

    private enum Key: String, CodingKey { case type, object }
    private enum ObjectFieldKey: String, CodingKey { case metadata }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        switch try fields.decode(String.self, forKey: .type) {
        case "ADDED": self = .present(try fields.decode(ReadObject<Object>.self, forKey: .object), isNew: true)
        case "MODIFIED": self = .present(try fields.decode(ReadObject<Object>.self, forKey: .object), isNew: false)
        case "DELETED": self = .deleted(try fields.decode(ReadObject<Object>.self, forKey: .object))
        case "BOOKMARK":
            let metadata = try fields.nestedContainer(keyedBy: ObjectFieldKey.self, forKey: .object)
                .decode(ObjectMetadata.self, forKey: .metadata)
            self = .bookmark(
                resourceVersion: metadata.resourceVersion, endsInitialEvents: metadata.endsInitialEvents)
        case "ERROR": self = .failed(try fields.decode(APIStatus.self, forKey: .object))
        case let type: self = .unknown(type)
        }
    }

    /// - Throws: a text that says what is wrong.
    static func read(_ bytes: Data, _ decoder: JSONDecoder) throws(JSONProblem) -> WatchEvent {
        do { return try decoder.decode(WatchEvent.self, from: bytes) } catch { throw JSONProblem(error) }
    }
}

/// Why JSON could not be read, in words.
struct JSONProblem: Error, Equatable, CustomStringConvertible {
    var description: String

    init(_ error: any Error) { description = Self.text(error) }

    static func text(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        let (context, what): (DecodingError.Context, String) =
            switch error {
            case .dataCorrupted(let context): (context, context.debugDescription)
            case .keyNotFound(let key, let context): (context, "no \(key.stringValue)")
            case .typeMismatch(_, let context): (context, context.debugDescription)
            case .valueNotFound(_, let context): (context, context.debugDescription)
            @unknown default: (.init(codingPath: [], debugDescription: ""), "\(error)")
            }
        let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        return path.isEmpty ? what : "\(path): \(what)"
    }
}
