// What an API server sends: the events of a watch, however they are cut, lists and failures; and what becomes of them in
// the store, which must stay of a size with what was sent.

import FoundationEssentials

@testable import Discovery
@testable import ProxyCore

enum KubernetesEventsTarget {
    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let step = 1 + Int(input.byte()) % 64
        let bytes = input.remainder()
        let whole = try inProportion(to: bytes.count, "a watch") { frames(bytes, step: .max / 2) }
        for pieces in [1, step] {
            let cut = frames(bytes, step: pieces)
            try expect(
                cut.events == whole.events,
                "\(pieces) bytes at a time: \(cut.events.count) events, not \(whole.events.count)")
            try expect(cut.refusal == whole.refusal, "\(pieces) bytes at a time: \(String(describing: cut.refusal))")
        }
        let taken = whole.events.reduce(0) { $0 + $1.count }
        try expect(taken <= bytes.count, "\(taken) bytes of events out of \(bytes.count)")
        try inProportion(to: 4 * bytes.count, "its objects") {
            try expectObjects(SliceObject.self, whole.events, bytes)
            try expectObjects(EndpointsObject.self, whole.events, bytes)
            try expectObjects(ServiceObject.self, whole.events, bytes)
        }
        if let status = APIStatus.read(bytes) {
            try expect(status.message.utf8.count <= 4 * bytes.count, "a message longer than what was sent")
        }
    }

    private static func frames(_ bytes: [UInt8], step: Int) -> (events: [Data], refusal: EventFramer.Refusal?) {
        var framer = EventFramer(limit: 8192)
        var events: [Data] = []
        var at = 0
        repeat {
            let next = min(bytes.count, at + min(step, bytes.count))
            framer.append(bytes.span.extracting(at..<next))
            at = next
            do throws(EventFramer.Refusal) {
                while let event = try framer.next() { events.append(event) }
            } catch {
                return (events, error)
            }
        } while at < bytes.count
        return (events, nil)
    }

    private static func expectObjects<Object: ClusterObject>(
        _ type: Object.Type, _ events: [Data], _ bytes: [UInt8]
    ) throws {
        let decoder = JSONDecoder()
        for event in events {
            guard let read = try? WatchEvent<Object>.read(event, decoder) else { continue }
            switch read {
            case .present(.object(let object), _), .deleted(.object(let object)): try expectTranslation(object)
            case .present(.unreadable(_, _, let reason), _), .deleted(.unreadable(_, _, let reason)):
                try expect(!reason.isEmpty, "unreadable without a reason")
            case .bookmark, .failed, .unknown: break
            }
        }
        if let list = try? ObjectList<Object>.read(bytes) {
            try expect(!list.resourceVersion.isEmpty, "a list without a version")
            for case .object(let object) in list.items { try expectTranslation(object) }
        }
    }

    private static func expectTranslation(_ object: some ClusterObject) throws {
        try expect(!object.key.name.isEmpty && !object.key.namespace.isEmpty, "an object without a name")
        let slice = (object as? SliceObject) ?? (object as? EndpointsObject)?.slice
        guard let slice else { return }
        let members = slice.parts.reduce(0) { $0 + $1.members.count }
        let ports = Set(slice.parts.flatMap(\.ports).map(\.name)).prefix(3)
        for port in ports {
            let reference = KubernetesReference(
                namespace: object.key.namespace, service: slice.service ?? "api",
                port: UInt16(port).map { .number($0) } ?? .name(port))
            let result = Translation.endpoints(of: reference, service: nil, slices: [slice, slice], node: "n")
            let addresses = result.endpoints.map(\.address)
            try expect(Set(addresses).count == addresses.count, "an address twice")
            try expect(addresses.allSatisfy { $0.port != 0 }, "port 0")
            try expect(
                addresses.count <= members * max(1, slice.parts.flatMap(\.ports).count), "more endpoints than addresses"
            )
        }
    }
}
