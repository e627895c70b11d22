// Which listening sockets does this process have? The control thread holds one descriptor of each, for as long as the
// process may give it away or need it again; workers accept on copies. A socket that is listened on is never closed while
// somebody may wait in its queue: whoever closes the last descriptor resets those.

import ProxyCore

/// All listening sockets of the process.
struct ListeningStock: Sendable {
    /// One address.
    struct Entry: Sendable {
        /// What it was opened for.
        var spec: ListenerSpec
        /// What it has got: another port where the configuration leaves that to the system.
        var address: NetworkAddress
        /// Its sockets, which share the port: as many as the process that opened them had workers.
        var sockets: [HeldDescriptor]
    }

    /// By listener, in the order in which they came.
    var entries: [Entry] = []

    /// Nothing.
    init() {}

    /// Sockets for `specs`, one for each of `workers`, bound and not listening yet: until they do, whoever connects goes
    /// to another process that listens on the same port. Where one of `former` has the address, its sockets go on under
    /// the new terms, with whoever waits in them: the end of a socket resets those whose handshake is under way.
    static func bind(
        _ specs: [ListenerSpec], workers: Int, insteadOf former: [Entry] = []
    ) throws(SystemError) -> ListeningStock {
        var stock = ListeningStock()
        for spec in specs {
            if var entry = former.first(where: { $0.spec.address == spec.address }) {
                entry.spec = spec
                stock.entries.append(entry)
                continue
            }
            // Port 0: the system chooses once, and the others follow.
            var entry = Entry(spec: spec, address: spec.address, sockets: [])
            for worker in 0..<workers {
                let socket = try Socket.bound(to: entry.address)
                if worker == 0, let chosen = socket.localAddress() { entry.address.port = chosen.port }
                entry.sockets.append(HeldDescriptor(FileDescriptor(owning: socket.release())))
            }
            stock.entries.append(entry)
        }
        return stock
    }

    /// Lets all of them listen. Those that do already are not touched by it.
    func listen() throws(SystemError) {
        for entry in entries {
            for socket in entry.sockets {
                let borrowed = Socket(owning: socket.number)
                do throws(SystemError) {
                    try borrowed.listen()
                    _ = borrowed.release()
                } catch {
                    _ = borrowed.release()
                    throw SystemError(error.call, code: error.code, doing: "listening on \(entry.address)")
                }
            }
        }
    }

    /// Lets go of the sockets of `specs`.
    mutating func remove(_ specs: [ListenerSpec]) { entries.removeAll { specs.contains($0.spec) } }

    /// Which worker accepts on which of `sockets` sockets: each worker has one at least, and each socket a worker, however
    /// many processes with other numbers of workers they have come through.
    static func share(sockets: Int, among workers: Int) -> [(worker: Int, socket: Int)] {
        if sockets == 0 { return [] }
        return (0..<max(sockets, workers)).map { ($0 % workers, $0 % sockets) }
    }

    /// Copies for `workers` workers, a set for each.
    func copies(for workers: Int) throws(SystemError) -> [[ListeningSocket]] {
        var sets: [[ListeningSocket]] = Array(repeating: [], count: workers)
        do throws(SystemError) {
            for entry in entries {
                for (worker, socket) in Self.share(sockets: entry.sockets.count, among: workers) {
                    let copy = try entry.sockets[socket].copy()
                    sets[worker].append(ListeningSocket(spec: entry.spec, descriptor: copy.release()))
                }
            }
        } catch {
            Self.close(sets)
            throw error
        }
        return sets
    }

    /// Closes copies that nobody took over.
    static func close(_ copies: [[ListeningSocket]]) {
        for socket in copies.joined() { _ = Socket(owning: socket.descriptor) }
    }
}
