// Does anybody behind the proxy see a request that it did not mean? The wire corpus, with a request hidden behind each
// message, goes through the real program to real servers, which note what they see. Where two readers of the same bytes
// disagree, one client's request is smuggled past what guards another's.

import Foundation
import ProxyCore
import TestTools
import Testing

/// A server, the proxy before it, and the notes of the server.
private final class DifferentialScene: Sendable {
    let parser: RealParser
    let proxy: ProxyProcess
    let port: UInt16
    private let folder: URL
    private let pid: pid_t

    static let limits = HeadLimits(headerBytes: 8192, requestTargetBytes: 2048)
    static let linesMax = 64

    init(_ parser: RealParser) throws {
        self.parser = parser
        folder = FileManager.default.temporaryDirectory.appending(path: "\(parser)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let server = try freePort()
        let command = try parser.command(in: folder, port: server, other: try freePort())
        do {
            pid = try spawn(
                command, input: nil, output: folder.appending(path: "output").path, environment: parser.environment)
        } catch {
            throw StageError("\(command[0]) is missing: `.ci/install test` installs what the tests need (\(error))")
        }
        let deadline = Deadline.after(.seconds(30))
        while (try? Peer(connectedTo: server)) == nil {
            guard deadline > .now else {
                throw StageError("\(parser) does not listen:\n\(Self.text(folder, "output"))")
            }
            usleep(10_000)  // Nothing tells that a port has begun to listen.
        }
        port = try freePort()
        proxy = try ProxyProcess(
            configuration: """
                {
                  workers: 1,
                  listeners: [ { address: "127.0.0.1:\(port)" } ],
                  services: { real: { endpoints: [ "127.0.0.1:\(server)" ] } },
                  routes: [ { host: "*", service: "real" } ],
                  limits: { headerBytes: "8KiB", headers: 64, requestTarget: "2KiB" },
                  log: { access: false },
                  admin: { address: "", socket: "" },
                }
                """, awaiting: [port])
    }

    deinit {
        kill(pid, SIGKILL)
        // The status of a killed child is of no interest.
        waitpid(pid, nil, 0)
        try? FileManager.default.removeItem(at: folder)
    }

    private static func text(_ folder: URL, _ name: String) -> String {
        (try? Data(contentsOf: folder.appending(path: name))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// All notes so far.
    private func lines() -> [String] {
        let text = Self.text(folder, parser == .haproxy ? "output" : "seen")
        return text.split(separator: "\n").map(String.init)
    }

    /// Sends `bytes` on a connection of their own, says that this was all, and reads until the end.
    func send(_ bytes: [UInt8]) throws {
        let socket = try LoopbackSocket.connect(to: LoopbackAddress(port: port))
        defer { socket.close() }
        _ = socket.send(bytes)
        socket.finish()
        let deadline = Deadline.after(.seconds(20))
        while case .bytes = socket.receive(until: deadline) {}
    }

    /// What the server noted for each of `cases`: after each one a request is sent that is known, over another connection,
    /// and waited for, so that what lies between two of those belongs to one case.
    func notes(_ cases: [[UInt8]]) throws -> [[Note]] {
        for (index, bytes) in cases.enumerated() {
            try send(bytes)
            try send(Array("GET /known-\(index) HTTP/1.1\r\nHost: known\r\n\r\n".utf8))
        }
        let last = "/known-\(cases.count - 1) "
        let deadline = Deadline.after(.seconds(10))
        while !lines().contains(where: { $0.contains(last) }) {
            guard deadline > .now else { throw StageError("\(parser) noted nothing of the last request") }
            usleep(10_000)  // The notes are a file: nothing tells that a line has come.
        }
        var notes: [[Note]] = [[]]
        for line in lines() {
            guard let note = parser.note(line) else { continue }
            if case .seen(let request) = note, request.host == "known", request.target.hasPrefix("/known-") {
                notes.append([])
            } else {
                notes[notes.count - 1].append(note)
            }
        }
        return notes
    }
}

@Suite("Real parsers")
struct DifferentialTests {
    /// Bytes with their origin.
    struct Case: Sendable {
        var title: String
        var bytes: [UInt8]
    }

    private static let hidden = Array("GET /hidden HTTP/1.1\r\nHost: hidden\r\n\r\n".utf8)

    /// The wire corpus, chunks as somebody's body; a whole message has another request behind it, a refused one too.
    private static func cases() throws -> [Case] {
        try WirePage.all().flatMap(\.cases).compactMap { wire in
            let head: [UInt8]
            switch wire.kind {
            case .request: head = []
            case .chunks: head = Array("POST /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".utf8)
            case .response: return nil
            }
            if case .needsMore? = wire.verdict { return Case(title: wire.title, bytes: head + wire.bytes) }
            return Case(title: wire.title, bytes: head + wire.bytes + hidden)
        }
    }

    @Test("no server sees a request that the proxy did not mean", arguments: RealParser.allCases)
    func differential(_ parser: RealParser) async throws {
        let cases = try Self.cases()
        #expect(cases.count > 500)
        let notes = try await onThread {
            let scene = try DifferentialScene(parser)
            return try scene.notes(cases.map(\.bytes))
        }
        #expect(notes.count == cases.count + 1, "\(notes.count - 1) of \(cases.count) known requests arrived")
        var meantCount = 0
        var seenCount = 0
        // A server that notes a request at its end may note one that was broken off, or its repetition, behind later ones.
        var owed: [SeenRequest] = []
        for (one, notes) in zip(cases, notes) {
            let meant = meantRequests(
                one.bytes, limits: DifferentialScene.limits, lines: DifferentialScene.linesMax)
            meantCount += meant.whole.count
            var next = 0
            for note in notes {
                switch note {
                case .seen(let request):
                    if let index = meant.whole[next...].firstIndex(where: { parser.isSame(request, $0) }) {
                        next = index + 1
                        seenCount += 1
                    } else if next > 0, parser.isSame(request, meant.whole[next - 1]), request.mayComeAgain {
                        continue
                    } else if let begun = meant.begun, parser.isBeginning(request, of: begun) {
                        next = meant.whole.count
                    } else if let index = owed.firstIndex(where: { parser.isBeginning(request, of: $0) }) {
                        owed.remove(at: index)
                    } else {
                        let text = "\(parser) sees \(request)\nmeant: \(meant.whole)"
                        Issue.record("\(one.title):\n\(one.bytes.escaped)\n\(text)")
                    }
                case .refused(let line):
                    // What it refuses is one of those that were meant: it is stricter, or does not know the method.
                    let isMeant = next < meant.whole.count + (meant.begun == nil ? 0 : 1)
                    if !isMeant { Issue.record("\(one.title):\n\(one.bytes.escaped)\n\(parser) refuses more: \(line)") }
                }
            }
            if let begun = meant.begun { owed.append(begun) }
        }
        // Whoever sees nothing finds nothing.
        #expect(seenCount * 10 >= meantCount * 8, "\(parser) saw \(seenCount) of \(meantCount) requests")
    }
}

extension SeenRequest {
    /// Whether the proxy tries it a second time where a connection ends without an answer (RFC 9110 §9.2.2).
    fileprivate var mayComeAgain: Bool { ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method) }
}

extension RealParser {
    /// Whether `seen` is what was meant, as far as this server tells.
    fileprivate func isSame(_ seen: SeenRequest, _ meant: SeenRequest) -> Bool {
        // Servers of Python make capitals of every method (RFC 9110 §9.1 says that they are others), whatever comes. To us
        // `get` is no GET: it is not tried again, and no rule takes it for one.
        let method = self == .gunicorn || self == .hypercorn ? meant.method.uppercased() : meant.method
        guard seen.method == method, seen.host == meant.host, seen.body == meant.body else { return false }
        return hasTarget(seen, meant)
    }

    /// Whether `seen` is a part of `begun`: HAProxy answers by itself and does not wait for the end of a body.
    fileprivate func isBeginning(_ seen: SeenRequest, of begun: SeenRequest) -> Bool {
        self == .haproxy && seen.method == begun.method && seen.host == begun.host && hasTarget(seen, begun)
            && begun.body.starts(with: seen.body)
    }

    private func hasTarget(_ seen: SeenRequest, _ meant: SeenRequest) -> Bool {
        if seen.target == meant.target { return true }
        // ASGI hands over path and query without the mark between them.
        return self == .hypercorn && seen.target + "?" == meant.target
    }
}
