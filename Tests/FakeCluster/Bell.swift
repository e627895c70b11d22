// Who has to look again? A change rings a bell, and every thread that waits for a socket or a state hears it.

import Glibc
import ProxyCore
import Synchronization

/// Wakes all who listen.
final class Bell: Sendable {
    private let ends = Mutex<[Int32]>([])

    /// Rings; from any thread.
    func ring() {
        ends.withLock { ends in
            for end in ends {
                var byte: UInt8 = 1
                // Safety: one byte is read; a full pipe is awake already.
                unsafe _ = write(end, &byte, 1)
            }
        }
    }

    fileprivate func add(_ end: Int32) { ends.withLock { $0.append(end) } }
    fileprivate func remove(_ end: Int32) { ends.withLock { $0.removeAll { $0 == end } } }
}

/// One who hears a bell.
struct Listening: ~Copyable {
    private let bell: Bell
    private let pipe: ProxyCore.Pipe

    /// Why a wait is over.
    enum Wakeup { case ready, rang, timedOut }

    /// Listens until the value goes. Where no descriptor is left there is nothing that a test could do.
    init(to bell: Bell) {
        guard let pipe = ProxyCore.Pipe(capacity: 4096) else { fatalError("no descriptors are left for a pipe") }
        self.bell = bell
        bell.add(pipe.writeEnd.number)
        self.pipe = pipe
    }

    deinit { bell.remove(pipe.writeEnd.number) }

    /// Waits for the bell, for `events` on `descriptor` (-1 for none), or until `deadline`.
    func wait(for events: Int32 = 0, on descriptor: Int32 = -1, until deadline: Instant = .never) -> Wakeup {
        var entries = [
            pollfd(fd: pipe.readEnd.number, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(events), revents: 0),
        ]
        while true {
            var milliseconds: Int32 = -1
            if deadline != .never {
                let left = (deadline - Clock.now()).nanoseconds
                if left <= 0 { return .timedOut }
                milliseconds = Int32(clamping: (left + 999_999) / 1_000_000)
            }
            // Safety: as many entries as the array has.
            let count = unsafe poll(&entries, nfds_t(entries.count), milliseconds)
            if count == 0 { return .timedOut }
            if count < 0 { continue }
            if entries[0].revents != 0 {
                var bytes = [UInt8](repeating: 0, count: 512)
                // Safety: room for 512 bytes.
                while unsafe read(pipe.readEnd.number, &bytes, bytes.count) > 0 {}
                return .rang
            }
            return .ready
        }
    }
}
