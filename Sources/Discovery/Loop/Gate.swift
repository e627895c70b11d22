// How does one task of the control thread wait for another one's word? At a gate, which stands open or closed.

/// A gate that tasks of the control thread wait at until somebody opens it.
@ControlThread
public final class Gate {
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// Whether whoever comes may pass.
    public private(set) var isOpen = false

    /// A closed gate.
    public nonisolated init() {}

    /// Lets all pass who wait, and those who come later.
    public func open() {
        isOpen = true
        let passing = waiting
        waiting = []
        for continuation in passing { continuation.resume() }
    }

    /// Stops those who come from now on.
    public func close() { isOpen = false }

    /// Waits until the gate is open. Does not end with the task: who waits here is let through by somebody.
    public func passed() async {
        if isOpen { return }
        await withCheckedContinuation { waiting.append($0) }
    }
}
