// How many requests has an endpoint from the whole process? Where a service has a limit, all workers must count together,
// so that no pod ever sees more than it can do. These counts are the exception to "workers share nothing": an atomic
// operation at a request's begin and one at its end, for such services alone; and a lock where an endpoint comes or goes.

import Synchronization

/// What several workers count together.
final class SharedLoad: Sendable {
    /// What is counted.
    let key: SharedLoads.Key
    private let taken = Atomic<Int>(0)

    init(_ key: SharedLoads.Key) { self.key = key }

    /// Places taken now.
    var count: Int { taken.load(ordering: .relaxed) }

    /// Whether a place below `limit` is free, as of now.
    @inline(__always) func hasRoom(_ limit: Int32) -> Bool { taken.load(ordering: .relaxed) < Int(limit) }

    /// Takes a place below `limit`. Whether there was one: of several that ask for the last one, one gets it.
    @inline(__always) func claim(_ limit: Int32) -> Bool {
        var seen = taken.load(ordering: .relaxed)
        while seen < Int(limit) {
            let (isOurs, now) = taken.weakCompareExchange(expected: seen, desired: seen &+ 1, ordering: .relaxed)
            if isOurs { return true }
            seen = now
        }
        return false
    }

    /// Gives a place back.
    @inline(__always) func giveBack() { taken.subtract(1, ordering: .relaxed) }

    /// Counts `change` places more, whatever the limit: requests that began before anybody counted, or are counted no
    /// more.
    func add(_ change: Int32) { taken.add(Int(change), ordering: .relaxed) }
}

/// The counts that the workers of a process share, by service and endpoint. Each worker joins a count when it hears of
/// the endpoint and leaves it with its own record of that, so a count lives over reloads, and as long as any worker has
/// a request there. Any thread may call it.
public final class SharedLoads: Sendable {
    /// What is counted.
    struct Key: Hashable {
        /// The service, by its configured name.
        var service: String
        /// One of its endpoints; nil for the requests that wait for any of them.
        var endpoint: EndpointIdentity? = nil
    }

    private struct Entry {
        let load: SharedLoad
        var users: Int
    }

    private let entries = Mutex<[Key: Entry]>([:])

    /// No counts yet.
    public init() {}

    /// Counts that somebody uses.
    var count: Int { entries.withLock { $0.count } }

    /// The count for `key`, which stays as long as whoever joined it does not leave.
    func join(_ key: Key) -> SharedLoad {
        entries.withLock { entries in
            if let known = entries[key] {
                entries[key]?.users = known.users + 1
                return known.load
            }
            let load = SharedLoad(key)
            entries[key] = Entry(load: load, users: 1)
            return load
        }
    }

    /// Lets go of a count that was joined.
    func leave(_ key: Key) {
        entries.withLock { entries in
            guard let users = entries[key]?.users else { return }
            if users > 1 { entries[key]?.users = users - 1 } else { entries[key] = nil }
        }
    }
}

/// A worker's hold on a shared count, without a reference count of its own: a request costs no retain.
///
/// Safety: the registry keeps the count alive from the joining in `init` to ``leave(_:)``, after which nobody uses this.
@safe struct SharedPlace {
    private let load: Unmanaged<SharedLoad>

    /// Joins the count for `key`.
    init(_ loads: SharedLoads, _ key: SharedLoads.Key) {
        unsafe load = Unmanaged.passUnretained(loads.join(key))
    }

    /// Leaves the count. It is not used afterwards.
    func leave(_ loads: SharedLoads) { loads.leave(unsafe load._withUnsafeGuaranteedRef { $0.key }) }

    @inline(__always) func hasRoom(_ limit: Int32) -> Bool {
        unsafe load._withUnsafeGuaranteedRef { $0.hasRoom(limit) }
    }

    @inline(__always) func claim(_ limit: Int32) -> Bool {
        unsafe load._withUnsafeGuaranteedRef { $0.claim(limit) }
    }

    @inline(__always) func giveBack() { unsafe load._withUnsafeGuaranteedRef { $0.giveBack() } }

    func add(_ change: Int32) { unsafe load._withUnsafeGuaranteedRef { $0.add(change) } }
}
