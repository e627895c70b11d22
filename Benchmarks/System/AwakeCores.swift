// Does the core sleep between two requests? To wake it takes a virtual machine a tenth of a millisecond, or several when
// its host has given the core away: that is the machine's latency, and hides ours. So somebody is always awake, who gives
// way to everybody else at once.

import Glibc
import ProxyCore
import Synchronization

/// While it lives, cores do not sleep.
final class AwakeCores {
    private final class Signal: Sendable { let isOver = Atomic(false) }

    private let signal = Signal()

    /// Keeps `cores` awake, as far as the system lets us.
    init(_ cores: [Int]) throws {
        for core in cores {
            let signal = signal
            _ = try Thread(name: "awake-\(core)") {
                guard (try? pin(to: core)) != nil else { return }
                guard Priority.idle.take() else { return }
                while !signal.isOver.load(ordering: .relaxed) {}
            }
        }
    }

    deinit { signal.isOver.store(true, ordering: .relaxed) }
}
