// How are listening sockets opened? One for each worker and address, all before anything is promised: either all of
// them are there, or none and an error says which is not.

import ProxyCore

/// Opens the sockets of listeners for a number of workers.
enum Listening {
    /// Sockets for each of `workers` workers, and the address that each listener has got.
    typealias Opened = (sockets: [[ListeningSocket]], addresses: [NetworkAddress])

    /// Opens sockets for `specs`.
    static func open(_ specs: [ListenerSpec], workers: Int) throws(SystemError) -> Opened {
        var sockets: [[ListeningSocket]] = Array(repeating: [], count: workers)
        var addresses: [NetworkAddress] = []
        do throws(SystemError) {
            for spec in specs {
                // Port 0: the system chooses once, and the others follow.
                var address = spec.address
                for worker in 0..<workers {
                    let socket = try Socket.listening(on: address)
                    if worker == 0, let chosen = socket.localAddress() { address.port = chosen.port }
                    sockets[worker].append(ListeningSocket(spec: spec, descriptor: socket.release()))
                }
                addresses.append(address)
            }
        } catch {
            for socket in sockets.joined() { _ = Socket(owning: socket.descriptor) }
            throw error
        }
        return (sockets, addresses)
    }
}
