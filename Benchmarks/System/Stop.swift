// Has somebody had enough? SIGINT and SIGTERM end the work at its next look, so that children are stopped, folders are
// removed and the figures so far are shown.

import Glibc
import Synchronization

private let stopFlag = Atomic<Bool>(false)

/// Whether SIGINT or SIGTERM has come.
var stopWasAsked: Bool { stopFlag.load(ordering: .relaxed) }

/// From now on the first SIGINT or SIGTERM asks for an end; a second one ends the process at once.
func catchStopSignals() {
    // The flag is made here, so that the first to touch it is not the signal handler.
    _ = stopWasAsked
    for number in [SIGINT, SIGTERM] {
        var action = sigaction()
        // Safety: the handler only stores to an atomic; SA_RESETHAND gives the second signal its usual effect.
        unsafe action.__sigaction_handler.sa_handler = { _ in stopFlag.store(true, ordering: .relaxed) }
        action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
        _ = unsafe sigaction(number, &action, nil)
    }
}
