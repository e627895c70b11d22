// How are listening sockets opened? One for each worker and address, all bound before anything is promised: either all
// of them are there, or none and an error says which is not. They listen only when there is something to serve: until
// then whoever connects goes to another process that listens on the same port.

import ProxyCore

/// Opens the sockets of listeners for a number of workers.
enum Listening {
    /// Listeners, the address that each of them has got, and its sockets, a set for each worker.
    typealias Opened = (specs: [ListenerSpec], addresses: [NetworkAddress], sockets: [[ListeningSocket]])

    /// Binds sockets for `specs`; they do not listen yet.
    static func bind(_ specs: [ListenerSpec], workers: Int) throws(SystemError) -> Opened {
        var sockets: [[ListeningSocket]] = Array(repeating: [], count: workers)
        var addresses: [NetworkAddress] = []
        do throws(SystemError) {
            for spec in specs {
                // Port 0: the system chooses once, and the others follow.
                var address = spec.address
                for worker in 0..<workers {
                    let socket = try Socket.bound(to: address)
                    if worker == 0, let chosen = socket.localAddress() { address.port = chosen.port }
                    sockets[worker].append(ListeningSocket(spec: spec, descriptor: socket.release()))
                }
                addresses.append(address)
            }
        } catch {
            close(sockets)
            throw error
        }
        return (specs, addresses, sockets)
    }

    /// Lets bound sockets listen. On an error all of them are closed.
    static func listen(_ opened: Opened) throws(SystemError) {
        for socket in opened.sockets.joined() {
            let bound = Socket(owning: socket.descriptor)
            do throws(SystemError) {
                try bound.listen()
                _ = bound.release()
            } catch {
                _ = bound.release()
                close(opened.sockets)
                throw SystemError(error.call, code: error.code, doing: "listening on \(socket.spec.address)")
            }
        }
    }

    /// Closes sockets that nobody took over.
    static func close(_ sockets: [[ListeningSocket]]) {
        for socket in sockets.joined() { _ = Socket(owning: socket.descriptor) }
    }
}
