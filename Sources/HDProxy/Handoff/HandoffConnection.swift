// How do messages of a handoff travel? One connection of a Unix socket, seen from either side: frames and descriptors go
// out and come in, and every wait has an end.

import Discovery
import Glibc
import ProxyCore

/// A connection between predecessor and successor. One task at a time waits for it.
@ControlThread
final class HandoffConnection {
    /// What came.
    enum Heard {
        /// A message, and the descriptors that it names.
        case message(HandoffMessage, [HeldDescriptor])
        /// Bytes that are no message.
        case garbage
        /// The connection's end.
        case end
        /// Nothing, until the deadline.
        case silence
    }

    private var socket: Socket
    private var reader: HandoffReader
    private var descriptors: [HeldDescriptor] = []
    private var isOver = false

    /// The connection `socket`, on which messages of at most `bytesMax` bytes come in.
    init(_ socket: consuming Socket, bytesMax: Int) {
        self.socket = socket
        reader = HandoffReader(bytesMax: bytesMax)
    }

    /// The user of the process at the other end.
    var peerUser: UInt32? { socket.peerUser() }

    /// Sends `message`, and copies of `numbers` with it. Whether all of it was taken in time.
    @discardableResult
    func send(_ message: HandoffMessage, with numbers: [Int32] = [], until deadline: Instant) async -> Bool {
        var rest = HandoffFrame.write(message)[...]
        var numbers = numbers
        while !rest.isEmpty {
            if isOver { return false }
            switch socket.send(rest, with: numbers) {
            case .bytes(let count):
                rest = rest.dropFirst(count)
                numbers = []
            case .wouldBlock:
                guard await ControlThread.writable(socket.number, until: deadline) == .ready else { return false }
            case .end, .broken: return false
            }
        }
        return true
    }

    /// Sends a short message while another task may wait for one: at once or not at all.
    func sendNow(_ message: HandoffMessage) {
        if !isOver { _ = socket.send(HandoffFrame.write(message)[...], with: []) }
    }

    /// The next message.
    func receive(until deadline: Instant) async -> Heard {
        while true {
            if isOver { return .end }
            do throws(HandoffFault) {
                if let message = try reader.next() {
                    return .message(message, takeDescriptors(of: message))
                }
            } catch {
                return .garbage
            }
            var bytes: [UInt8] = []
            switch socket.receive(&bytes, limit: 65_536, descriptors: &descriptors) {
            case .bytes: reader.append(bytes)
            case .end, .broken: return .end
            case .wouldBlock:
                switch await ControlThread.readable(socket.number, until: deadline) {
                case .ready: continue
                case .timedOut: return .silence
                case .cancelled: return .end
                }
            }
            if descriptors.count > HandoffFrame.descriptorsMax { return .garbage }
        }
    }

    /// The descriptors that belong to `message`. One read may bring the end of a frame before them, too.
    private func takeDescriptors(of message: HandoffMessage) -> [HeldDescriptor] {
        guard case .descriptors(let places) = message else { return [] }
        let own = Array(descriptors.prefix(places.count))
        descriptors.removeFirst(own.count)
        return own
    }

    /// Ends it: the peer sees the end, and whoever waits here does, too. The descriptor is closed with this object.
    func close() {
        isOver = true
        if socket.isOpen { socket.shutdown() }
    }
}
