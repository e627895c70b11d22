// What do the events of one read come to? Whoever looks at the objects hears of them once, however many came together.

/// The events that have come and are not told yet.
@ControlThread
struct WatchBatch<Object: ClusterObject> {
    /// The objects of a list that comes as the beginning of a watch; nil when it is complete, or there is none.
    private(set) var initial: SliceStore.Listing<Object>?
    /// Whether there was any event since the watch began.
    private(set) var heardAnything = false
    private var listed: SliceStore.Listing<Object>?
    private var changes: [ObjectChange<Object>] = []
    private var isHeard = false

    init(initial: SliceStore.Listing<Object>?) { self.initial = initial }

    /// Takes one event. `progress` hears of its version, `reports` at once of what cannot be read.
    mutating func take(
        _ event: WatchEvent<Object>, _ progress: inout WatchProgress, _ reports: WatchReports<Object>
    ) {
        heardAnything = true
        isHeard = true
        switch event {
        case .present(let item, _):
            if case .unreadable(let key, _, let reason) = item { reports.unreadable(key, reason) }
            if initial != nil {
                // Initial events come in no order of versions, so none of them is one to go on from.
                initial?.add(item)
                return
            }
            switch item {
            case .object(let object):
                changes.append(.present(object))
                progress.passed(object.resourceVersion)
            case .unreadable(_, let version, _): progress.passed(version)
            }
        case .deleted(.object(let object)):
            changes.append(.gone(object.key))
            progress.passed(object.resourceVersion)
        case .deleted(.unreadable(let key, let version, _)):
            // Its name is all that is needed.
            if let key { changes.append(.gone(key)) }
            progress.passed(version)
        case .bookmark(let version, let endsInitialEvents):
            if let listing = initial {
                guard endsInitialEvents else { return }
                initial = nil
                listed = listing
                progress.listed(version)
            } else {
                progress.passed(version)
            }
        case .failed, .unknown: break
        }
    }

    /// Tells what has come, all at once.
    mutating func flush(to reports: WatchReports<Object>) {
        if let listing = listed {
            listed = nil
            reports.listed(listing)
        }
        if !changes.isEmpty {
            reports.changed(changes)
            changes.removeAll(keepingCapacity: true)
        }
        if isHeard {
            isHeard = false
            reports.heard()
        }
    }
}
