import CLinux
import Foundation
import Glibc
import ProxyCore
import Testing

@testable import Discovery

/// A DNS server that answers as a script says, by UDP and TCP at one port of 127.0.0.1.
@ControlThread
final class ScriptedDNS {
    /// A question that arrived.
    struct Asked: Sendable {
        /// How many came before it.
        var number: Int
        var bytes: [UInt8]
        var isTCP: Bool
        /// The port that it came from.
        var port: UInt16
        var name: String
        var type: Message.RecordType
        var hasEDNS: Bool

        /// An answer to it, without records.
        func reply(_ flags: UInt16 = 0x8180, answers: Int = 0, authorities: Int = 0, additionals: Int = 0)
            -> MessageWriter
        {
            MessageWriter(
                answering: bytes, flags: flags, answers: answers, authorities: authorities, additionals: additionals)
        }

        /// An answer with these addresses.
        func addresses(_ addresses: [String], life: UInt32 = 20) -> Reply {
            var writer = reply(answers: addresses.count)
            for address in addresses { writer.a(name, address, life: life) }
            return .send(writer.bytes)
        }

        /// An answer that there is nothing, good for so many seconds.
        func absent(_ code: UInt16, life: UInt32 = 20) -> Reply {
            var writer = reply(0x8180 | code, authorities: 1)
            writer.authority("", minimum: life, life: life)
            return .send(writer.bytes)
        }
    }

    /// What the server does.
    enum Reply: Sendable {
        /// Sends these bytes; by TCP with their length in front.
        case send([UInt8])
        /// Sends these bytes by UDP from another port.
        case spoof([UInt8])
        /// Sends these bytes by TCP as they are.
        case raw([UInt8])
        /// Waits.
        case pause(Duration)
    }

    typealias Script = @ControlThread (Asked) -> [Reply]

    let address: NetworkAddress
    /// All questions so far.
    private(set) var asked: [Asked] = []
    private let script: Script
    private let datagrams: Int32
    private let spoofer: Int32
    private let listener: Int32
    private var tasks: [Task<Void, Never>] = []

    /// A server that does what `script` says.
    init(_ script: @escaping Script) throws {
        self.script = script
        var address = NetworkAddress("127.0.0.1:0")!
        var udp: Int32 = -1
        var tcp: Int32 = -1
        for _ in 0..<50 where tcp < 0 {
            if udp >= 0 { close(udp) }
            (udp, address.port) = Self.datagramSocket()
            // Somebody else may have that port of TCP.
            if let socket = try? Socket.listening(on: address) { tcp = socket.release() }
        }
        guard tcp >= 0 else { throw SystemError("bind", doing: "starting a DNS server") }
        self.address = address
        datagrams = udp
        listener = tcp
        spoofer = Self.datagramSocket().number
        tasks = [ControlThread.spawn { await self.serveUDP() }, ControlThread.spawn { await self.serveTCP() }]
    }

    /// Ends it; nobody listens at its port from then on.
    func stop() async {
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        tasks = []
        for number in [datagrams, listener, spoofer] { close(number) }
    }

    /// How many questions came by UDP and by TCP.
    var counts: [Int] { [asked.count { !$0.isTCP }, asked.count { $0.isTCP }] }

    private func note(_ bytes: [UInt8], isTCP: Bool, port: UInt16) -> Asked? {
        guard let message = try? Message(bytes) else { return nil }
        let question = Asked(
            number: asked.count, bytes: bytes, isTCP: isTCP, port: port, name: message.question.name.description,
            type: message.question.type, hasEDNS: !message.additionals.isEmpty)
        asked.append(question)
        return question
    }

    // MARK: UDP

    private func serveUDP() async {
        while await ControlThread.readable(datagrams) == .ready {
            var bytes = [UInt8](repeating: 0, count: 4096)
            var peer = sockaddr_in()
            // Safety: room for a message and for the address of its sender, whose size is passed.
            let count = unsafe withUnsafeMutablePointer(to: &peer) { pointer in
                var size = socklen_t(MemoryLayout<sockaddr_in>.size)
                let address = unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
                return unsafe recvfrom(datagrams, &bytes, bytes.count, 0, address, &size)
            }
            guard count > 0,
                let question = note(
                    Array(bytes[..<count]), isTCP: false, port: UInt16(bigEndian: peer.sin_port))
            else { continue }
            let replies = script(question)
            let to = peer
            // Beside the others, so that a pause delays nobody else.
            tasks.append(ControlThread.spawn { await self.answer(replies, to) })
        }
    }

    private func answer(_ replies: [Reply], _ peer: sockaddr_in) async {
        for reply in replies {
            switch reply {
            case .send(let bytes): send(bytes, peer, from: datagrams)
            case .spoof(let bytes): send(bytes, peer, from: spoofer)
            case .raw: break
            case .pause(let time): if await ControlThread.sleep(for: time) == .cancelled { return }
            }
        }
    }

    private func send(_ bytes: [UInt8], _ peer: sockaddr_in, from number: Int32) {
        var peer = peer
        // Safety: the address of the sender of the question, with its size.
        _ = unsafe withUnsafePointer(to: &peer) { pointer in
            let address = unsafe UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            return unsafe sendto(number, bytes, bytes.count, 0, address, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }

    private static func datagramSocket() -> (number: Int32, port: UInt16) {
        let number = socket(
            AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // Safety: an address of this size, read by bind and filled in by getsockname.
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            let address = unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            _ = unsafe bind(number, address, size)
            _ = unsafe getsockname(number, address, &size)
        }
        return (number, UInt16(bigEndian: address.sin_port))
    }

    // MARK: TCP

    private func serveTCP() async {
        while await ControlThread.readable(listener) == .ready {
            let number = accept(listener, nil, nil)
            if number < 0 { continue }
            _ = fcntl(number, F_SETFL, O_NONBLOCK)
            tasks.append(
                ControlThread.spawn {
                    await self.serve(number)
                    close(number)
                })
        }
    }

    private func serve(_ number: Int32) async {
        var bytes: [UInt8] = []
        while bytes.count < 2 || bytes.count < 2 + Int(bytes[0]) << 8 + Int(bytes[1]) {
            guard await ControlThread.readable(number) == .ready else { return }
            var piece = [UInt8](repeating: 0, count: 512)
            // Safety: room for as many bytes.
            let count = unsafe recv(number, &piece, piece.count, 0)
            if count <= 0 { return }
            bytes += piece[..<count]
        }
        guard let question = note(Array(bytes.dropFirst(2)), isTCP: true, port: 0) else { return }
        for reply in script(question) {
            switch reply {
            case .send(let bytes): await write([UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes, number)
            case .raw(let bytes): await write(bytes, number)
            case .spoof: break
            case .pause(let time): if await ControlThread.sleep(for: time) == .cancelled { return }
            }
        }
    }

    private func write(_ bytes: [UInt8], _ number: Int32) async {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard await ControlThread.writable(number) == .ready else { return }
            let piece = Array(rest.prefix(1000))
            // Safety: as many bytes as there are.
            let count = unsafe Glibc.send(number, piece, piece.count, Int32(MSG_NOSIGNAL))
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// A folder of its own that goes with it.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "hdproxy-dns-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appending(path: name).path }

    /// Writes a file whole, as a mounted one is replaced.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try Data(text.utf8).write(to: url.appending(path: name), options: .atomic)
        return path(name)
    }
}
