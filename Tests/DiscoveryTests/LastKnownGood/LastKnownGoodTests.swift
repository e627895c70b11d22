import Foundation
import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

/// A directory of its own that goes with the value.
final class Folder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "hdproxy-state-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var file: String { "\(path)/\(LastKnownGood.fileName)" }
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}

extension KeptState {
    /// A state with everything that can stand in one.
    static let sample: KeptState = {
        var state = KeptState(writtenMicroseconds: 1_790_000_000_000_000)
        var hinted = pod("9f0c", "10.42.0.11:8000")
        hinted.zone = "eu-1"
        hinted.zoneHints = ["eu-1"]
        hinted.nodeHints = ["hetzner1"]
        var unnamed = pod("", "[fd00::1]:8000", "011", node: nil)
        unnamed.uid = nil
        unnamed.pod = nil
        state.services = [
            Service(
                kubernetes: ServiceSpec.api.kubernetes, dns: ServiceSpec.api.dns,
                asOfMicroseconds: 1_789_999_999_000_000, endpoints: [hinted, unnamed],
                clusterAddresses: [IPAddress("10.43.0.80")!], disbelieved: [NetworkAddress("10.42.1.7:8000")!]),
            Service(
                kubernetes: .init(namespace: "a", service: "b\u{0}\"\\", port: .number(80)), dns: nil,
                asOfMicroseconds: 0, endpoints: [], clusterAddresses: [], disbelieved: []),
            Service(
                kubernetes: nil, dns: .init(name: "x.example", port: nil), asOfMicroseconds: 1, endpoints: [],
                clusterAddresses: [], disbelieved: []),
        ]
        state.owners = [
            Owner(
                ip: IPAddress("10.42.1.7")!, sharedBy: "hetzner1",
                claims: [claim("d", "honeydue/dozzle", ports: [8080, 1]), claim("e", node: nil, terminating: true)])
        ]
        return state
    }()
}

@Suite("Last known good: the file")
struct LastKnownGoodTests {
    @Test("what is written is read")
    func roundTrip() throws {
        let folder = try Folder()
        #expect(LastKnownGood.read(directory: folder.path) == .nothing)
        try LastKnownGood.write(LastKnownGood.encode(.sample), directory: folder.path)
        #expect(LastKnownGood.read(directory: folder.path) == .known(.sample))
        #expect(folder.names == ["endpoints.json"])
        // Any JSON reader takes it.
        let json = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: folder.file)))
        #expect((json as? [String: Any])?["version"] as? Int == 1)
    }

    @Test("a file cut at any length is refused, and so is one with any byte changed")
    func damage() throws {
        let bytes = try LastKnownGood.encode(.sample)
        #expect(bytes.count > 500)
        for length in 0..<bytes.count {
            guard case .refused = LastKnownGood.decode(Array(bytes[..<length])) else {
                Issue.record("cut at \(length)")
                continue
            }
        }
        for index in bytes.indices {
            for flip: UInt8 in [1, 0x20, 0x80, 0xFF] {
                var damaged = bytes
                damaged[index] ^= flip
                guard case .refused = LastKnownGood.decode(damaged) else {
                    Issue.record("byte \(index) changed by \(flip)")
                    continue
                }
            }
        }
        guard case .refused = LastKnownGood.decode(bytes + [UInt8(ascii: " ")]) else {
            Issue.record("one byte more")
            return
        }
    }

    @Test("a file with a right checksum and wrong content is refused with a reason")
    func absurd() throws {
        let cases: [(name: String, from: String, to: String, reason: String)] = [
            ("version", #""version":1"#, #""version":2"#, "its format has version 2"),
            ("a type", #""ready":true"#, #""ready":"yes""#, "it is not what is written there"),
            ("a member missing", #""ready":true,"#, "", "it is not what is written there"),
            ("no JSON", #""services""#, "services", "it is not what is written there"),
            ("port 0", "10.42.0.11:8000", "10.42.0.11:0", #"nothing can be reached at "10.42.0.11:0""#),
            ("port beyond 65535", "10.42.0.11:8000", "10.42.0.11:80000", "nothing can be reached"),
            ("a name", "10.42.0.11:8000", "localhost:8000", "nothing can be reached"),
            ("nowhere", "10.42.0.11:8000", "0.0.0.0:8000", "nothing can be reached"),
            ("multicast", "10.42.0.11:8000", "224.0.0.1:8000", "nothing can be reached"),
            ("broadcast", "10.42.0.11:8000", "255.255.255.255:8000", "nothing can be reached"),
            ("IPv6 multicast", "fd00::1", "ff02::1", "nothing can be reached"),
            ("an absurd owner", #""ip":"10.42.1.7""#, #""ip":"10.42.1""#, "nothing can be reached"),
            ("two ports", #""portName":"http""#, #""portName":"http","portNumber":1"#, "has no port, or two"),
            ("no port", #""portName":"http","#, "", "has no port, or two"),
            ("a port too large", #""portNumber":80"#, #""portNumber":80000"#, "it is not what is written there"),
        ]
        let text = String(decoding: try LastKnownGood.encode(.sample), as: UTF8.self)
        for test in cases {
            let changed = text.replacingOccurrences(of: test.from, with: test.to)
            #expect(changed != text, "\(test.name)")
            let rest = Array(changed.utf8)[77...]
            let digest = Digest.sha256(Array(rest)).map { String(format: "%02x", $0) }.joined()
            let bytes = Array(#"{"sha256":"\#(digest)","#.utf8) + rest
            guard case .refused(let reason) = LastKnownGood.decode(bytes) else {
                Issue.record("\(test.name) was read")
                continue
            }
            #expect(reason.contains(test.reason), "\(test.name): \(reason)")
        }
    }

    @Test("what is no file, too large or not readable is refused, and waited for by nobody")
    func otherThanFiles() throws {
        let folder = try Folder()
        try FileManager.default.createDirectory(atPath: folder.file, withIntermediateDirectories: true)
        #expect(LastKnownGood.read(directory: folder.path) == .refused("it is not a file"))
        try FileManager.default.removeItem(atPath: folder.file)
        // Safety: a NUL-terminated path.
        #expect(unsafe mkfifo(folder.file, 0o600) == 0)
        #expect(LastKnownGood.read(directory: folder.path) == .refused("it is not a file"))
        try FileManager.default.removeItem(atPath: folder.file)
        try Data().write(to: URL(fileURLWithPath: folder.file))
        // Safety: a NUL-terminated path. The file has a size and no bytes on the disk.
        #expect(unsafe truncate(folder.file, LastKnownGood.bytesMax + 1) == 0)
        #expect(LastKnownGood.read(directory: folder.path) == .refused("it has \(LastKnownGood.bytesMax + 1) bytes"))
        #expect(LastKnownGood.read(directory: "\(folder.file)/x") == .refused("open: Not a directory"))
        #expect(LastKnownGood.read(directory: "\(folder.path)/none") == .nothing)
    }

    @Test("two processes that write to one directory overwrite each other and never mix")
    func twoWriters() throws {
        let folder = try Folder()
        let directory = folder.path
        var second = KeptState.sample
        second.services = Array(repeating: second.services[0], count: 300)
        let files = [try LastKnownGood.encode(.sample), try LastKnownGood.encode(second)]
        let isDone = Mutex(0)
        let shared = Shared(isDone)
        for bytes in files {
            _ = try Thread(name: "writer") {
                for _ in 0..<100 { try? LastKnownGood.write(bytes, directory: directory) }
                shared.done()
            }
        }
        var readings = 0
        while shared.count < 2 {
            switch LastKnownGood.read(directory: directory) {
            case .nothing: #expect(readings == 0)
            case .known(let state):
                #expect(state == .sample || state == second)
                readings += 1
            case .refused(let reason): Issue.record("\(reason)")
            }
        }
        #expect(readings > 0)
        #expect(folder.names == ["endpoints.json"])
    }

    /// Counts threads that are through.
    private final class Shared: Sendable {
        private let number: Mutex<Int>
        init(_ number: consuming Mutex<Int>) { self.number = number }
        var count: Int { number.withLock { $0 } }
        func done() { number.withLock { $0 += 1 } }
    }

    @Test("files that were left half written are removed after an hour")
    func leftovers() throws {
        let folder = try Folder()
        for name in [".endpoints.json.1", ".endpoints.json.2", "other"] {
            try Data().write(to: URL(fileURLWithPath: "\(folder.path)/\(name)"))
        }
        for name in [".endpoints.json.1", "other"] {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -4000)], ofItemAtPath: "\(folder.path)/\(name)")
        }
        LastKnownGood.removeLeftovers(directory: folder.path)
        #expect(folder.names == [".endpoints.json.2", "other"])
    }
}

@Suite("Last known good: the thread that writes")
struct StateKeeperTests {
    /// Notices of a keeper's thread, to be waited for.
    private final class Notices: Sendable {
        private let list = Mutex<[Notice]>([])
        let wake: WakeHandle
        init() throws { wake = try WakeHandle() }
        func add(_ notice: Notice) {
            list.withLock { $0.append(notice) }
            wake.wake()
        }
        var events: [String] { list.withLock { $0.map(\.event) } }
    }

    /// Waits until `condition` holds, for ten seconds at most.
    private func settle(_ condition: () -> Bool) {
        let end = Clock.now() + .milliseconds(10_000)
        while !condition(), Clock.now() < end { usleep(2000) }
    }

    @Test("the latest state is written, and what is waiting at the end too")
    func latest() throws {
        let folder = try Folder()
        let keeper = try StateKeeper(directory: "\(folder.path)/new") { _ in }
        var state = KeptState.sample
        for number in 1...500 {
            state.writtenMicroseconds = Int64(number)
            let present = state
            keeper.keep(present)
        }
        keeper.end()
        settle { LastKnownGood.read(directory: "\(folder.path)/new") == .known(state) }
        #expect(LastKnownGood.read(directory: "\(folder.path)/new") == .known(state))
        #expect(keeper.writes < 500)
    }

    @Test("a write that fails is noticed once, counted, and tried again")
    func failing() throws {
        let folder = try Folder()
        // A directory in the place of the file, with something in it: rename fails.
        try FileManager.default.createDirectory(
            atPath: "\(folder.file)/x", withIntermediateDirectories: true)
        let notices = try Notices()
        let keeper = try StateKeeper(directory: folder.path, retryMilliseconds: 10) { notices.add($0) }
        keeper.keep(.sample)
        settle { keeper.failures >= 3 }
        #expect(keeper.failures >= 3)
        #expect(notices.events == ["state_not_kept"])
        #expect(folder.names == ["endpoints.json"], "what was written beside it is removed")
        try FileManager.default.removeItem(atPath: folder.file)
        settle { keeper.writes == 1 && notices.events.count == 2 }
        #expect(notices.events == ["state_not_kept", "state_kept_again"])
        #expect(LastKnownGood.read(directory: folder.path) == .known(.sample))
        keeper.end()
    }
}
