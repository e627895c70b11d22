// Who hears what a watch hears?

/// What one event did.
enum ObjectChange<Object: ClusterObject>: Sendable, Equatable {
    case present(Object)
    case gone(ObjectKey)
}

/// To whom a watch tells what it hears.
@ControlThread
struct WatchReports<Object: ClusterObject> {
    /// These are all objects there are.
    var listed: @ControlThread (SliceStore.Listing<Object>) -> Void
    /// These changes came together, in this order; mostly one.
    var changed: @ControlThread ([ObjectChange<Object>]) -> Void
    /// The server is there and answers.
    var heard: @ControlThread () -> Void
    /// Something came to nothing; it will be tried again.
    var failed: @ControlThread (APIFailure) -> Void
    /// An object could not be read; what was known of it stays.
    var unreadable: @ControlThread (ObjectKey?, String) -> Void
}
