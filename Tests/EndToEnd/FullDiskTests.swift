// A disk without room, in the two ways in which one can be had anywhere: files that may not become any longer, and, where
// this process may mount, a real file system of a few kilobytes. Service goes on, and what could not be kept is kept later.

import Foundation
import TestTools
import Testing

/// How the disk is full.
private enum FullDisk: String, CaseIterable, Sendable {
    /// RLIMIT_FSIZE: the kernel refuses each write to a file.
    case lengthLimit
    /// A file system in a mount namespace of its own, which something else has filled.
    case fileSystem

    /// Those that can be had here.
    static let available: [FullDisk] = {
        let mounts = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
        let isAllowed = (try? runTool(mounts).status) == 0
        return isAllowed ? allCases : [.lengthLimit]
    }()

    func circumstances(_ directory: String) -> ProxyProcess.Circumstances {
        switch self {
        case .lengthLimit: ProxyProcess.Circumstances(shell: "ulimit -S -f 0")
        case .fileSystem:
            ProxyProcess.Circumstances(
                wrapper: ["unshare", "-Urm"],
                shell: "mount -t tmpfs -o size=64k none '\(directory)'; "
                    + "dd if=/dev/zero of='\(directory)/filler' bs=4k 2> /dev/null")
        }
    }

    /// The directory as the process `pid` sees it.
    func seen(_ directory: String, by pid: pid_t) -> String {
        self == .fileSystem ? "/proc/\(pid)/root\(directory)" : directory
    }

    /// There is room from now on.
    func makeRoom(_ directory: String, for pid: pid_t) throws {
        switch self {
        case .lengthLimit: try limit(pid, "unlimited")
        case .fileSystem: try FileManager.default.removeItem(atPath: "\(seen(directory, by: pid))/filler")
        }
    }

    /// There is none again.
    func fill(_ directory: String, for pid: pid_t) throws {
        switch self {
        case .lengthLimit: try limit(pid, "0")
        case .fileSystem:
            _ = try runTool(["dd", "if=/dev/zero", "of=\(seen(directory, by: pid))/filler", "bs=4k"])
        }
    }

    private func limit(_ pid: pid_t, _ bytes: String) throws {
        let (status, output) = try runTool(["prlimit", "--pid", "\(pid)", "--fsize=\(bytes):"])
        if status != 0 { throw StageError("prlimit: \(output)") }
    }
}

@Suite("A full disk")
struct FullDiskTests {
    @Test("for its state costs no request; it is told and counted, and made up for", arguments: FullDisk.available)
    fileprivate func state(_ disk: FullDisk) async throws {
        try await onThread {
            let stage = try ClusterStage()
            let directory = stage.stateFile.deletingLastPathComponent().path
            let first = try stage.startPod(of: "api")
            try stage.publish("api", [first])
            try stage.start(within: disk.circumstances(directory))
            let file = disk.seen(stage.stateFile.path, by: stage.proxy.pid)
            let failures = "hdproxy_discovery_errors_total{source=\"state\",reason=\"write\"}"
            let load = Load(on: stage.port, host: "api.test")
            try stage.await("a failure") { try stage.metric(failures) ?? 0 >= 1 ? true : nil }
            #expect(!FileManager.default.fileExists(atPath: file))

            // Whatever changes meanwhile is served as ever.
            let second = try stage.startPod(of: "api")
            try stage.publish("api", [first, second])
            try stage.awaitDialled(second, in: "api")
            try stage.awaitAsked(second)
            #expect(try stage.admin("/healthz").status == 200 && stage.admin("/readyz").status == 200)

            try disk.makeRoom(directory, for: stage.proxy.pid)
            let third = try stage.startPod(of: "api")
            try stage.publish("api", [first, second, third])
            let kept = try stage.await("the state on disk") {
                let bytes = try? Data(contentsOf: URL(fileURLWithPath: file))
                return bytes?.range(of: Data(third.address.host.utf8)) == nil ? nil : bytes
            }
            #expect(stage.proxy.awaitOutput("\"event\":\"state_kept_again\""))

            // Full once more: what stands there stays whole, and nothing half written beside it.
            let before = try stage.metric(failures) ?? 0
            try disk.fill(directory, for: stage.proxy.pid)
            try stage.publish("api", [first, third])
            try stage.awaitNotDialled(second, in: "api")
            try stage.await("another failure") { try stage.metric(failures) ?? 0 > before ? true : nil }
            #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == kept)
            let names = try FileManager.default.contentsOfDirectory(
                atPath: URL(fileURLWithPath: file).deletingLastPathComponent().path)
            #expect(Set(names).subtracting(["filler"]) == ["endpoints.json"], "\(names)")
            try load.awaitAnswers(50)
            let report = load.stop()
            #expect(report.failures.isEmpty, "\(report.failures.prefix(3))")
            #expect(stage.proxy.exitStatus() == nil)
        }
    }

    @Test("for what check prints is told by the exit status, whatever the limit on files would do else")
    func print() async throws {
        try await onThread {
            let folder = FileManager.default.temporaryDirectory.appending(path: "print-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let file = folder.appending(path: "c.json5").path
            try configuration(listeners: [1], services: [:], routes: ["{ host: \"*\", redirect: { to: \"/\" } }"])
                .write(toFile: file, atomically: true, encoding: .utf8)
            let script = "ulimit -f 0; exec \"$1\" check --print --config \"$2\" > \"$2.printed\""
            let (status, _) = try runTool(["/bin/sh", "-c", script, "sh", ProxyProcess.program(), file])
            #expect(status == 1)
        }
    }

    @Test("for its log loses lines, which are counted, and no request; later lines are whole")
    func log() async throws {
        try await onThread {
            let ports = try (0..<2).map { _ in try freePort() }
            let upstream = try LoopbackListener()
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [ports[0]], services: ["a": endpoint(upstream)],
                    more: "admin: { address: \"127.0.0.1:\(ports[1])\", socket: \"\" },"
                ).replacing("access: false", with: "access: true"), awaiting: ports,
                // What it says at its start fits, and not much more: the limit falls into the middle of a line.
                within: ProxyProcess.Circumstances(shell: "ulimit -S -f 2"))
            let client = try Peer(connectedTo: ports[0])
            var server: Peer?
            func ask(_ path: String) throws {
                client.says(request(path))
                let peer = try server ?? upstream.accepts()
                server = peer
                _ = try peer.hearsRequest()
                peer.says(answer())
                #expect(try client.hearsAnswer().head.status == 200)
            }
            for number in 0..<50 { try ask("/early-\(number)") }
            func dropped() throws -> Int {
                let metrics = try runTool(["curl", "-sS", "http://127.0.0.1:\(ports[1])/metrics"]).output
                let line = metrics.split(separator: "\n").first { $0.hasPrefix("hdproxy_log_dropped_total ") }
                return line.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
            }
            let deadline = Deadline.after(.seconds(10))
            while try dropped() == 0, deadline > .now { usleep(10_000) }  // A counter has to be asked.
            #expect(try dropped() > 0)
            let (status, output) = try runTool(["prlimit", "--pid", "\(proxy.pid)", "--fsize=unlimited:"])
            try #require(status == 0, "\(output)")
            for number in 0..<5 { try ask("/late-\(number)") }
            #expect(proxy.awaitOutput("/late-4"))
            // One line may be torn; every other one is JSON.
            let torn = proxy.output.split(separator: "\n").filter {
                (try? JSONSerialization.jsonObject(with: Data($0.utf8))) == nil
            }
            #expect(torn.count <= 1 && !torn.contains { $0.contains("/late-") }, "\(torn)")
        }
    }
}
