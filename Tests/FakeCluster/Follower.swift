// What has one watch seen, and what has it still to tell? Its events, cut and framed as the real server frames them.

import Glibc
import ProxyCore

/// What one watch has seen and what it still has to tell.
struct Follower {
    let resource: FakeResource
    let namespace: String?
    let selector: FakeSelector
    /// The version up to which it has looked.
    var position: Int
    let sendsBookmarks: Bool
    var bookmarksSeen = 0
    /// How many events it has written.
    var sent = 0
    private var held: [(due: Instant, event: FakeCluster.Event)] = []
    private var writer = BodyWriter()

    init(resource: FakeResource, namespace: String?, selector: FakeSelector, position: Int, sendsBookmarks: Bool) {
        self.resource = resource
        self.namespace = namespace
        self.selector = selector
        self.position = position
        self.sendsBookmarks = sendsBookmarks
    }

    private func isMeant(_ object: StoredObject) -> Bool {
        (namespace == nil || namespace == object.namespace) && selector.matches(object.labels, object.name)
    }

    /// All there is now, and a bookmark that says so.
    mutating func initialEvents(_ cluster: FakeCluster) -> [UInt8] {
        let (objects, version) = cluster.state.withLock { state in
            (state.objects[resource, default: [:]].sorted { $0.key < $1.key }.map(\.value), state.version)
        }
        for object in objects where isMeant(object) { write(.added, object.text) }
        position = max(position, version)
        if sendsBookmarks { writeBookmark(annotation: "{\"k8s.io/initial-events-end\":\"true\"}") }
        return take()
    }

    /// Writes the events that are due, and bookmarks that a test asked for. Returns when the next is due; nil where it
    /// fell so far behind that the server gives it up.
    mutating func collect(
        _ cluster: FakeCluster, _ delays: [(filter: FakeAPIServer.Filter, name: String?, by: Instant.Span)]
    ) -> Instant? {
        let start = position
        let (events, version, bookmarks, isLost) = cluster.state.withLock { state in
            (Array(state.events(after: start)), state.version, state.bookmarks, start < state.trimmed)
        }
        if isLost { return nil }
        position = max(position, version)
        let now = Clock.now()
        if delays.isEmpty, !held.isEmpty {
            for index in held.indices { held[index].due = now }
        }
        for event in events where event.resource == resource {
            var due = event.at
            for delay in delays where delay.filter.matches(event, delay.name) { due = max(due, event.at + delay.by) }
            for other in held where other.event.isOfSameObject(as: event) { due = max(due, other.due) }
            held.append((due, event))
        }
        var next = Instant.never
        var stillHeld: [(due: Instant, event: FakeCluster.Event)] = []
        for entry in held {
            if entry.due <= now {
                write(entry.event)
            } else {
                stillHeld.append(entry)
                next = min(next, entry.due)
            }
        }
        held = stillHeld
        if bookmarks > bookmarksSeen {
            bookmarksSeen = bookmarks
            _ = writeBookmark()
        }
        return next
    }

    /// What is to be sent, one chunk for what came last.
    mutating func take() -> [UInt8] {
        writer.flush()
        return writer.take()
    }

    /// Writes a bookmark, where the client wants them and nothing older is held back. True where one is not possible.
    @discardableResult
    mutating func writeBookmark(annotation: JSONText? = nil) -> Bool {
        guard sendsBookmarks, held.isEmpty else { return true }
        var metadata = [("resourceVersion", "\"\(position)\"")]
        if let annotation { metadata.append(("annotations", annotation)) }
        var rest = "\"metadata\":\(JSON.object(metadata))"
        switch resource {
        case .endpointSlices: rest += ",\"addressType\":\"\",\"endpoints\":null,\"ports\":null"
        case .services: rest += ",\"spec\":{},\"status\":{\"loadBalancer\":{}}"
        case .endpoints: break
        }
        write("BOOKMARK", rest + "}")
        return true
    }

    private mutating func write(_ event: FakeCluster.Event) {
        let matched = event.before.map(isMeant) ?? false
        let matches = event.type != .deleted && isMeant(event.object)
        switch (matched, matches) {
        case (true, true): write(.modified, event.object.text)
        case (false, true): write(.added, event.object.text)
        case (true, false):
            // What leaves the selection is told of as it was.
            write(.deleted, event.type == .deleted ? event.object.text : event.before!.asOf(event.object.version).text)
        case (false, false): break
        }
    }

    private mutating func write(_ type: FakeCluster.EventType, _ text: JSONText) { write(type.rawValue, text) }

    private mutating func write(_ type: String, _ text: JSONText) {
        sent += 1
        writer.write(
            Array(
                ("{\"type\":\"\(type)\",\"object\":{\"kind\":\"\(resource.kind)\","
                    + "\"apiVersion\":\"\(resource.apiVersion)\",\(text)}\n").utf8))
    }
}

extension FakeAPIServer.Filter {
    fileprivate func matches(_ event: FakeCluster.Event, _ name: String?) -> Bool {
        (resource == nil || resource == event.resource) && (namespace == nil || namespace == event.object.namespace)
            && (name == nil || event.object.name.hasPrefix(name!))
    }
}
