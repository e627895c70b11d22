import CLinux
import Discovery
import Glibc
import ProxyCore
import Testing

@testable import HDProxy

/// Where the server listens, and what it does when it cannot. The tests block, so they keep off the control thread.
@Suite(.serialized, .timeLimit(.minutes(1))) struct AdminListeningTests {
    /// What became of a server that was told to listen.
    private struct Outcome: Sendable {
        var refusal: String?
        var notices: [Notice]
        var address: NetworkAddress?
        var path: String?
    }

    @ControlThread
    private static func adopt(_ settings: [AdminSettings]) async -> (Outcome, AdminServer) {
        let noted = AdminStage.Noted()
        let server = AdminServer(state: ScriptedState()) { noted.add($0) }
        var refusal: String?
        for each in settings {
            do throws(Refusal) { try server.adopt(each) } catch { refusal = error.text }
        }
        return (
            Outcome(refusal: refusal, notices: noted.all, address: server.address, path: server.socketPath), server
        )
    }

    @ControlThread private static func stop(_ server: AdminServer) async { await server.stop() }

    private static func settings(_ address: String?, _ socket: String?, isWritten: Bool = true) -> AdminSettings {
        AdminSettings(
            address: address.flatMap { NetworkAddress($0) }, socket: socket, isAddressWritten: isWritten,
            isSocketWritten: isWritten)
    }

    private static func mode(_ path: String) -> UInt32? {
        var status = stat()
        // Safety: room for one stat, and a NUL-terminated copy of the path for the length of the call.
        return unsafe lstat(path, &status) == 0 ? UInt32(status.st_mode) : nil
    }

    private static func answers(_ address: AdminAddress) -> Bool {
        (try? AdminClient.ask("/healthz", at: address, within: .seconds(5)))?.status == 200
    }

    @Test @concurrent func theSocketIsForThisUserAndItsGroupAndGoesWithTheServer() async throws {
        ControlThread.start()
        let folder = try #require(AdminStage.folder())
        let path = "\(folder)/a-%p.sock"
        let own = "\(folder)/a-\(getpid()).sock"
        let (outcome, server) = await Self.adopt([Self.settings(nil, path)])
        #expect(outcome.refusal == nil && outcome.path == own && outcome.address == nil)
        #expect(outcome.notices == [Notice(.info, "admin_listening", ["address": own])])
        #expect(Self.mode(own) == 0o140660)
        #expect(Self.answers(.unix(own)))
        await Self.stop(server)
        #expect(Self.mode(own) == nil)
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0, "nothing is left behind")
    }

    @Test @concurrent func aDeadProcessIsReplacedAndALivingOneIsNot() async throws {
        ControlThread.start()
        let folder = try #require(AdminStage.folder())
        let path = "\(folder)/admin.sock"
        // What a process leaves behind that was killed: a socket that is bound, and closed without its file's removal.
        Self.leaveBehind(path)
        #expect(Self.mode(path) != nil)
        let (first, living) = await Self.adopt([Self.settings(nil, path)])
        #expect(first.refusal == nil && Self.answers(.unix(path)))

        let (second, other) = await Self.adopt([Self.settings(nil, path)])
        let reason = "another process listens on \(path); with %p in it each process has a socket of its own"
        #expect(second.refusal == "admin.socket: \(reason)" && second.path == nil)
        #expect(Self.answers(.unix(path)), "the first one still answers")
        // Where the file does not name it, the process starts without.
        let (third, third_) = await Self.adopt([Self.settings(nil, path, isWritten: false)])
        #expect(third.refusal == nil)
        #expect(third.notices == [Notice(.warn, "admin_unavailable", ["address": path, "reason": reason])])
        for server in [other, third_] { await Self.stop(server) }
        #expect(Self.answers(.unix(path)), "and its file is there when the others have gone")

        // A file that somebody else has put there is not removed.
        // Safety: NUL-terminated copies of the paths for the length of the call, here and below.
        _ = unsafe rename(path, path + ".old")
        let (fourth, fourth_) = await Self.adopt([Self.settings(nil, path)])
        #expect(fourth.refusal == nil)
        await Self.stop(living)
        #expect(Self.answers(.unix(path)))
        await Self.stop(fourth_)
        _ = unsafe unlink(path + ".old")
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0)
    }

    private static func leaveBehind(_ path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // Safety: a test's path is far shorter than sun_path.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
        let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        // Safety: a sockaddr_un with its own length.
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(bound == 0, "the folder is new")
        close(number)
    }

    @Test @concurrent func whyThereIsNoSocketIsTold() async throws {
        ControlThread.start()
        let folder = try #require(AdminStage.folder())
        let file = "\(folder)/file"
        // Safety: a NUL-terminated copy of the path for the length of the call, here and below.
        let descriptor = unsafe creat(file, 0o600)
        close(descriptor)
        let cases: [(path: String, reason: String)] = [
            ("\(folder)/no/admin.sock", "admin.socket: \(folder)/no/admin.sock: the folder for it does not exist"),
            (file, "admin.socket: \(file) is there already, and is no socket"),
            (file + "/x", "admin.socket: listening on \(file)/x: bind: Not a directory"),
        ]
        for (path, reason) in cases {
            let (outcome, server) = await Self.adopt([Self.settings(nil, path)])
            #expect(outcome.refusal == reason)
            await Self.stop(server)
        }
        _ = unsafe unlink(file)
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0)
    }

    @Test @concurrent func aSocketThatTheFileDoesNotNameIsTakenOverWhenItsProcessLeaves() async throws {
        ControlThread.start()
        let folder = try #require(AdminStage.folder())
        let path = "\(folder)/admin.sock"
        let (first, holder) = await Self.adopt([Self.settings(nil, path)])
        let (second, heir) = await Self.adopt([Self.settings(nil, path, isWritten: false)])
        #expect(first.path == path && second.refusal == nil && second.path == nil)
        await Self.stop(holder)
        var isThere = false
        for _ in 0..<100 where !isThere {
            _ = await Self.pause()
            isThere = await Self.socketPath(of: heir) == path
        }
        #expect(isThere && Self.answers(.unix(path)))
        await Self.stop(heir)
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0)
    }

    @ControlThread private static func socketPath(of server: AdminServer) -> String? { server.socketPath }

    @Test @concurrent func anAddressThatIsTakenIsTriedAgain() async throws {
        ControlThread.start()
        let (first, holder) = await Self.adopt([Self.settings("127.0.0.1:0", nil)])
        let address = try #require(first.address)
        let (second, heir) = await Self.adopt([Self.settings(address.description, nil)])
        #expect(second.refusal == nil && second.address == nil)
        let reason = "another process listens there; trying again"
        #expect(
            second.notices == [Notice(.warn, "admin_unavailable", ["address": address.description, "reason": reason])])
        await Self.stop(holder)
        var isThere = false
        for _ in 0..<100 where !isThere {
            _ = await Self.pause()
            isThere = Self.answers(.tcp(address, host: address.description))
        }
        #expect(isThere)
        await Self.stop(heir)

        let (third, nowhere) = await Self.adopt([Self.settings("192.0.2.1:9090", nil)])
        #expect(
            third.refusal
                == "admin.address: listening on 192.0.2.1:9090: bind: Cannot assign requested address")
        await Self.stop(nowhere)
    }

    @ControlThread private static func pause() async -> Wakeup { await ControlThread.sleep(for: .milliseconds(50)) }

    @Test @concurrent func aChangeOfTheConfigurationMovesIt() async throws {
        ControlThread.start()
        let folder = try #require(AdminStage.folder())
        let (outcome, server) = await Self.adopt([
            Self.settings("127.0.0.1:0", "\(folder)/a"), Self.settings("127.0.0.1:0", "\(folder)/a"),
            Self.settings(nil, "\(folder)/b"), Self.settings("127.0.0.1:0", "\(folder)/no/c"),
        ])
        // Port 0 twice is no change; the last one was refused, and changed nothing.
        #expect(outcome.refusal == "admin.socket: \(folder)/no/c: the folder for it does not exist")
        #expect(outcome.address == nil && outcome.path == "\(folder)/b")
        #expect(outcome.notices.count == 3 && outcome.notices.last?.details.first?.value == "\(folder)/b")
        #expect(Self.answers(.unix("\(folder)/b")))
        for _ in 0..<100 where Self.mode("\(folder)/a") != nil { _ = await Self.pause() }
        #expect(Self.mode("\(folder)/a") == nil)
        await Self.stop(server)
        // Safety: a NUL-terminated copy of the path for the length of the call.
        #expect(unsafe rmdir(folder) == 0)
    }
}
