// What does the cluster hold, and what happened to it? Services, their pods, and the history that watches follow.
//
// A test changes the state; the objects are written as the real controllers write them, each write takes the next
// resourceVersion, and every server of this cluster sends the events.

import ProxyCore
import Synchronization

/// The state of a cluster. May be changed from any thread.
public final class FakeCluster: Sendable {
    /// What a watch is told.
    enum EventType: String, Sendable { case added = "ADDED", modified = "MODIFIED", deleted = "DELETED" }

    /// One write.
    struct Event: Sendable {
        var type: EventType
        var resource: FakeResource
        /// The object after the write, or as it was when it was deleted.
        var object: StoredObject
        /// The object before; nil where it is new.
        var before: StoredObject?
        var at: Instant

        func isOfSameObject(as other: Event) -> Bool {
            object.name == other.object.name && object.namespace == other.object.namespace
                && resource == other.resource
        }
    }

    struct ObjectKey: Hashable, Comparable, Sendable {
        var namespace: String
        var name: String
        static func < (a: ObjectKey, b: ObjectKey) -> Bool {
            a.namespace == b.namespace ? a.name < b.name : a.namespace < b.namespace
        }
    }

    struct State: Sendable {
        var version = 100
        /// No watch may begin before this version. (Those that are open have their events already.)
        var compacted = 1
        /// Events up to this version are not even kept.
        var trimmed = 0
        var objects: [FakeResource: [ObjectKey: StoredObject]] = [:]
        var history: [Event] = []
        var services: [ObjectKey: ServiceRecord] = [:]
        var nextClusterIP = 10
        /// Bookmarks asked for by ``FakeCluster/sendBookmarks()``.
        var bookmarks = 0
        var managedFields: Bool
        var endpointsPerSlice: Int
        var historyLimit: Int
    }

    let bell = Bell()
    let state: Mutex<State>

    /// An empty cluster. Slices hold at most `endpointsPerSlice`, and watches can begin at most `historyLimit` writes
    /// back; without `managedFields` objects are a third as long.
    public init(managedFields: Bool = true, endpointsPerSlice: Int = 100, historyLimit: Int = 20_000) {
        state = Mutex(
            State(managedFields: managedFields, endpointsPerSlice: endpointsPerSlice, historyLimit: historyLimit))
    }

    /// The version of the last write.
    public var resourceVersion: Int { state.withLock { $0.version } }

    // MARK: Services and pods

    /// Makes a Service, or changes its ports and labels. A new one gets a slice and Endpoints without pods; the slice's
    /// name is generated, as in `api-b2pfs`, where `slice` does not give one.
    public func setService(
        _ namespace: String, _ name: String, ports: [FakePort], headless: Bool = false, labels: [String: String] = [:],
        slice: String? = nil
    ) {
        change { state in
            let key = ObjectKey(namespace: namespace, name: name)
            if var record = state.services[key] {
                let portsChanged = record.ports != ports || record.labels != labels
                record.ports = ports
                record.labels = labels
                state.services[key] = record
                state.writeService(key)
                guard portsChanged else { return }
                for index in record.slices.indices { state.writeSlice(key, index, triggered: nil) }
                state.writeEndpoints(key, triggered: nil)
                return
            }
            let clusterIP = headless ? "None" : "10.43.\(state.nextClusterIP / 250).\(state.nextClusterIP % 250 + 1)"
            state.nextClusterIP += 1
            state.services[key] = ServiceRecord(
                identity: ObjectIdentity(name: name, namespace: namespace), labels: labels, ports: ports,
                isHeadless: headless, clusterIP: clusterIP,
                endpoints: ObjectIdentity(name: name, namespace: namespace))
            state.writeService(key)
            state.addSlice(key, name: slice)
            state.writeSlice(key, 0, triggered: nil)
            state.writeEndpoints(key, triggered: nil)
        }
    }

    /// Makes `pods` the pods of a Service, which must exist. Only slices that change are written: a pod stays in its
    /// slice, new ones go where there is room, an empty slice goes unless it is the last.
    public func setEndpoints(_ namespace: String, _ service: String, _ pods: [FakePod]) {
        change { state in
            let key = ObjectKey(namespace: namespace, name: service)
            precondition(state.services[key] != nil, "setService comes before setEndpoints")
            state.place(pods, in: key)
        }
    }

    /// The pods of a Service, slice by slice.
    public func endpoints(_ namespace: String, _ service: String) -> [FakePod] {
        state.withLock {
            $0.services[ObjectKey(namespace: namespace, name: service)]?.slices.flatMap(\.pods) ?? []
        }
    }

    /// Deletes a Service, its slices and its Endpoints.
    public func removeService(_ namespace: String, _ name: String) {
        change { state in
            let key = ObjectKey(namespace: namespace, name: name)
            guard let record = state.services.removeValue(forKey: key) else { return }
            state.delete(.services, key)
            state.delete(.endpoints, key)
            for slice in record.slices {
                state.delete(.endpointSlices, ObjectKey(namespace: namespace, name: slice.identity.name))
            }
        }
    }

    // MARK: Objects of any shape

    /// Writes an object that no controller would write. `json` is the whole object behind `kind` and `apiVersion`, as
    /// in `{"metadata":{…},"endpoints":[…]}`; every `%RV%` in it becomes its resourceVersion.
    public func setObject(
        _ resource: FakeResource, _ namespace: String, _ name: String, labels: [String: String] = [:], json: String
    ) {
        change { state in
            state.write(resource, ObjectKey(namespace: namespace, name: name), labels) { version in
                String(json.replacing("%RV%", with: "\(version)").dropFirst())
            }
        }
    }

    /// Deletes an object.
    public func removeObject(_ resource: FakeResource, _ namespace: String, _ name: String) {
        change { $0.delete(resource, ObjectKey(namespace: namespace, name: name)) }
    }

    // MARK: Versions and history

    /// As if something else in the cluster had been written `writes` times.
    public func advance(by writes: Int = 1) { change { $0.version += writes } }

    /// Forgets what has happened: a watch, a continued list and an exact list of an older version get 410.
    public func loseHistory() {
        change { state in
            state.version += 1
            state.compacted = state.version
        }
    }

    /// Every open watch that asked for bookmarks gets one now.
    public func sendBookmarks() { change { $0.bookmarks += 1 } }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { body(&$0) }
        bell.ring()
    }
}

extension FakeCluster.State {
    // MARK: Writing

    mutating func write(
        _ resource: FakeResource, _ key: FakeCluster.ObjectKey, _ labels: [String: String], _ text: (Int) -> JSONText
    ) {
        version += 1
        let before = objects[resource]?[key]
        let object = StoredObject(
            namespace: key.namespace, name: key.name, version: version, labels: labels, text: text(version))
        objects[resource, default: [:]][key] = object
        append(
            FakeCluster.Event(
                type: before == nil ? .added : .modified, resource: resource, object: object,
                before: before, at: Clock.now()))
    }

    mutating func delete(_ resource: FakeResource, _ key: FakeCluster.ObjectKey) {
        guard let object = objects[resource]?.removeValue(forKey: key) else { return }
        version += 1
        append(
            FakeCluster.Event(
                type: .deleted, resource: resource, object: object.asOf(version), before: object, at: Clock.now()))
    }

    private mutating func append(_ event: FakeCluster.Event) {
        history.append(event)
        guard history.count > historyLimit else { return }
        trimmed = history[history.count / 2].object.version
        compacted = max(compacted, trimmed)
        history.removeFirst(history.count / 2 + 1)
    }

    /// The events after `version`, oldest first.
    func events(after version: Int) -> ArraySlice<FakeCluster.Event> {
        var (low, high) = (0, history.count)
        while low < high {
            let middle = (low + high) / 2
            if history[middle].object.version > version { high = middle } else { low = middle + 1 }
        }
        return history[low...]
    }

    mutating func writeService(_ key: FakeCluster.ObjectKey) {
        guard let record = services[key] else { return }
        let managed = managedFields
        write(.services, key, record.labels) { record.serviceText(version: $0, managedFields: managed) }
    }

    mutating func writeEndpoints(_ key: FakeCluster.ObjectKey, triggered: String?) {
        services[key]?.endpointsTriggered = triggered
        guard let record = services[key] else { return }
        let managed = managedFields
        write(.endpoints, key, record.endpointsLabels) { record.endpointsText(version: $0, managedFields: managed) }
    }

    mutating func writeSlice(_ key: FakeCluster.ObjectKey, _ index: Int, triggered: String?) {
        services[key]?.slices[index].triggered = triggered
        services[key]?.slices[index].generation += 1
        guard let record = services[key] else { return }
        let managed = managedFields
        let slice = record.slices[index]
        let sliceKey = FakeCluster.ObjectKey(namespace: key.namespace, name: slice.identity.name)
        write(.endpointSlices, sliceKey, record.sliceLabels) {
            record.sliceText(slice, version: $0, managedFields: managed)
        }
    }

    mutating func addSlice(_ key: FakeCluster.ObjectKey, name: String? = nil) {
        services[key]?.slices.append(
            SliceRecord(
                identity: ObjectIdentity(
                    name: name ?? "\(key.name)-\(FakeNames.suffix())", namespace: key.namespace)))
    }

    // MARK: The controllers' work

    mutating func place(_ pods: [FakePod], in key: FakeCluster.ObjectKey) {
        guard let before = services[key] else { return }
        struct PodKey: Hashable {
            let uid: String
            let ip: String
        }
        var waiting = pods
        var wanted: [PodKey: FakePod] = [:]
        for pod in pods { wanted[PodKey(uid: pod.uid, ip: pod.ip)] = pod }
        var slices = before.slices.map(\.pods)
        for index in slices.indices {
            slices[index] = slices[index].compactMap { wanted.removeValue(forKey: PodKey(uid: $0.uid, ip: $0.ip)) }
        }
        waiting.removeAll { wanted[PodKey(uid: $0.uid, ip: $0.ip)] == nil }
        for pod in waiting {
            let room = slices.firstIndex { $0.count < endpointsPerSlice }
            if room == nil {
                slices.append([])
                addSlice(key)
            }
            slices[room ?? slices.count - 1].append(pod)
        }
        let now = FakeNames.time()
        for index in slices.indices where services[key]!.slices[index].pods != slices[index] {
            let old = services[key]!.slices[index].pods
            services[key]!.slices[index].pods = slices[index]
            writeSlice(key, index, triggered: isTriggered(old, slices[index]) ? now : nil)
        }
        for index in slices.indices.reversed() where slices[index].isEmpty && services[key]!.slices.count > 1 {
            let gone = services[key]!.slices.remove(at: index)
            delete(.endpointSlices, FakeCluster.ObjectKey(namespace: key.namespace, name: gone.identity.name))
        }
        let after = services[key]!.endpointsPods
        if after != before.endpointsPods {
            writeEndpoints(key, triggered: isTriggered(before.endpointsPods, after) ? now : nil)
        }
    }

    /// Whether a pod came, or its readiness changed while it was not on its way out: the controllers note the time of
    /// such a change, and of no other.
    private func isTriggered(_ old: [FakePod], _ new: [FakePod]) -> Bool {
        var before: [String: FakePod] = [:]
        for pod in old { before[pod.uid] = pod }
        return new.contains { pod in
            guard let was = before[pod.uid] else { return true }
            return was.serving != pod.serving
        }
    }
}
