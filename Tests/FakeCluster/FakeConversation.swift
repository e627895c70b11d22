// What does one client hear? A connection's life from top to bottom: requests one after the other, each answered as the
// real server answers it, or as a test wants it spoilt.

import Glibc
import ProxyCore

/// One client's conversation with the server, on a thread of its own.
struct FakeConversation: ~Copyable {
    private let server: FakeAPIServer
    private let connection: Int
    private var wire: Wire

    /// Serves a connection until it ends.
    static func run(_ socket: consuming Socket, _ connection: Int, _ server: FakeAPIServer) {
        var conversation = FakeConversation(
            server: server, connection: connection, wire: Wire(socket, bell: server.cluster.bell))
        var reset = false
        do throws(WireEnd) {
            try conversation.serve()
        } catch {
            switch error {
            case .gone: break
            case .killed(let byReset): reset = byReset
            }
        }
        conversation.end(reset: reset)
    }

    private consuming func end(reset: Bool) { wire.close(reset: reset) }

    private mutating func serve() throws(WireEnd) {
        try passPause()
        if let context = server.control.withLock({ $0.context }) {
            let (server, connection) = (server, connection)
            try wire.secure(context) { () throws(WireEnd) in try Self.checkAlive(server, connection) }
        }
        while let head = try readHead() {
            guard let request = FakeRequest(head, connection: connection) else { throw .gone }
            let index = server.control.withLock { control in
                control.observed.requests.append(request)
                return control.observed.requests.count - 1
            }
            server.cluster.bell.ring()
            try passPause()
            if let answer = spoilt(request) {
                try send(answer, to: request, index)
            } else {
                do {
                    try answer(request, index)
                } catch let error as FakeRefusal {
                    try refuse(error.answer, index)
                } catch let error as WireEnd {
                    throw error
                } catch {
                    throw .gone
                }
            }
        }
    }

    // MARK: Answering

    private mutating func answer(_ request: FakeRequest, _ index: Int) throws {
        let (tokens, slicesServed) = server.control.withLock { ($0.tokens, $0.servesSlices) }
        var user = "system:anonymous"
        var rights = FakeAPIServer.Rights.none
        if let value = request.fields["authorization"] {
            guard value.lowercased().hasPrefix("bearer "), let known = tokens[String(value.dropFirst(7))] else {
                throw FakeRefusal(.unauthorized)
            }
            (user, rights) = known
        } else if server.security == .mutualTLS {
            (user, rights) = ("hdproxy", .reader)
        }
        guard request.method == "GET" else { throw FakeRefusal(.wrongMethod) }
        if ["/version", "/livez", "/readyz", "/healthz"].contains(request.path) {
            return try sendWhole(
                Array((request.path == "/version" ? Self.versionText : "ok").utf8),
                contentType: request.path == "/version" ? "application/json" : "text/plain; charset=utf-8", index)
        }
        let isServed = request.resource != nil && (slicesServed || request.resource != .endpointSlices)
        guard let resource = request.resource, rights != .none, isServed else {
            guard let asked = request.asked else {
                throw FakeRefusal(
                    rights == .admin ? .unknownPath : .forbiddenPath(user: user, path: request.path))
            }
            // What rights speak of need not be served: a reader of slices learns that they are not there.
            if rights == .admin || (rights == .reader && request.resource != nil) {
                throw FakeRefusal(.unknownResource)
            }
            throw FakeRefusal(
                .forbidden(
                    user: user, verb: request.isWatch ? "watch" : request.name == nil ? "list" : "get",
                    group: asked.group, resource: asked.resource, namespace: asked.namespace))
        }
        let selector = try FakeSelector(request.query)
        if let name = request.name {
            try sendObject(resource, FakeCluster.ObjectKey(namespace: request.namespace ?? "", name: name), index)
        } else if request.isWatch {
            try watch(request, resource, selector, index)
        } else {
            try list(request, resource, selector, index)
        }
    }

    private mutating func sendObject(_ resource: FakeResource, _ key: FakeCluster.ObjectKey, _ index: Int) throws {
        guard let object = server.cluster.state.withLock({ $0.objects[resource]?[key] }) else {
            throw FakeRefusal(.notFound(key.name, resource))
        }
        try sendWhole(
            Array((Self.whole(resource, object.text) + "\n").utf8), warns: resource == .endpoints, index)
    }

    /// An object as it stands alone or in an event.
    private static func whole(_ resource: FakeResource, _ text: JSONText) -> JSONText {
        "{\"kind\":\"\(resource.kind)\",\"apiVersion\":\"\(resource.apiVersion)\",\(text)"
    }

    // MARK: Lists

    private mutating func list(
        _ request: FakeRequest, _ resource: FakeResource, _ selector: FakeSelector, _ index: Int
    ) throws {
        let query = request.query
        var asked: Int?
        if let text = query["resourceVersion"], !text.isEmpty {
            guard let number = Int(text), number >= 0 else { throw FakeRefusal(.badVersion(text)) }
            asked = number
        }
        if let asked { try waitForVersion(asked) }
        let state = server.cluster.state.withLock { state in
            (
                version: state.version, compacted: state.compacted,
                objects: state.objects[resource, default: [:]].filter {
                    request.namespace == nil || $0.key.namespace == request.namespace
                }.sorted { $0.key < $1.key }.map(\.value)
            )
        }
        if query["resourceVersionMatch"] == "Exact", let asked, asked < state.compacted {
            throw FakeRefusal(.listTooOld)
        }
        var version = state.version
        var objects = state.objects.filter { selector.matches($0.labels, $0.name) }
        if let text = query["continue"], !text.isEmpty {
            guard let token = ContinueToken(text) else { throw FakeRefusal(.badContinue) }
            if token.version >= 0, token.version < state.compacted {
                throw FakeRefusal(
                    .continueTooOld(ContinueToken(version: -1, start: String(token.start.dropFirst())).text))
            }
            if token.version >= 0 { version = token.version }
            let start = token.start.hasPrefix("/") ? String(token.start.dropFirst()) : token.start
            objects.removeAll { Self.position($0, in: request) < start }
        }
        var metadata = [("resourceVersion", "\"\(version)\"")]
        // Without a version of its own, a list from the cache takes no notice of a limit.
        if let limit = query["limit"].flatMap({ Int($0) }), limit > 0, objects.count > limit, asked != 0 {
            let left = objects.count - limit
            objects = Array(objects.prefix(limit))
            let start = "/" + Self.position(objects[limit - 1], in: request) + "\u{0}"
            metadata.append(("continue", JSON.string(ContinueToken(version: version, start: start).text)))
            if selector.isEmpty { metadata.append(("remainingItemCount", "\(left)")) }
        }
        var writer = BodyWriter()
        writer.write(
            Array(
                ("{\"kind\":\"\(resource.listKind)\",\"apiVersion\":\"\(resource.apiVersion)\","
                    + "\"metadata\":\(JSON.object(metadata)),\"items\":[").utf8))
        for (number, object) in objects.enumerated() {
            if number > 0 { writer.write(Array(",".utf8)) }
            writer.write(Array("{\(object.text)".utf8))
        }
        writer.write(Array("]}\n".utf8))
        if let whole = writer.unflushed { return try sendWhole(whole, warns: resource == .endpoints, index) }
        writer.flush()
        note(200, index)
        try send(Array(head(warns: resource == .endpoints).utf8) + writer.take() + BodyWriter.end)
    }

    /// Where an object stands in a list of what was asked for.
    private static func position(_ object: StoredObject, in request: FakeRequest) -> String {
        request.namespace == nil ? "\(object.namespace)/\(object.name)" : object.name
    }

    private mutating func waitForVersion(_ version: Int) throws {
        let deadline = Clock.now() + server.control.withLock { $0.tooLargeAfter }
        while true {
            let current = server.cluster.resourceVersion
            if version <= current { return }
            if wire.listening.wait(until: deadline) == .timedOut {
                throw FakeRefusal(.tooLarge(version, current: current))
            }
            try Self.checkAlive(server, connection)
        }
    }

    // MARK: Watches

    private mutating func watch(
        _ request: FakeRequest, _ resource: FakeResource, _ selector: FakeSelector, _ index: Int
    ) throws {
        let query = request.query
        let options = server.control.withLock { $0 }
        let wantsInitial = query["sendInitialEvents"] == "true" || query["sendInitialEvents"] == "1"
        if query["sendInitialEvents"] != nil, !options.servesWatchList {
            throw FakeRefusal(
                .invalidOptions(
                    field: "sendInitialEvents",
                    "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"))
        }
        if query["sendInitialEvents"] != nil, query["resourceVersionMatch"] != "NotOlderThan" {
            throw FakeRefusal(
                .invalidOptions(
                    field: "resourceVersionMatch",
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        }
        let text = query["resourceVersion"] ?? ""
        guard let from = text.isEmpty ? 0 : Int(text), from >= 0 else { throw FakeRefusal(.badVersion(text)) }
        var follower = Follower(
            resource: resource, namespace: request.namespace, selector: selector,
            position: from, sendsBookmarks: ["true", "1"].contains(query["allowWatchBookmarks"] ?? ""))
        let oldest = server.cluster.state.withLock { state in
            follower.bookmarksSeen = state.bookmarks
            return state.compacted
        }
        let isInitial = wantsInitial || from == 0
        let warns = resource == .endpoints
        if !isInitial, from < oldest {
            if options.saysGoneByStatus {
                throw FakeRefusal(.status(410, "Expired", "too old resource version: \(from) (\(oldest))"))
            }
            note(200, index)
            var writer = BodyWriter()
            writer.write(
                Array("{\"type\":\"ERROR\",\"object\":\(Refusal.watchTooOld(from, oldest: oldest))}\n".utf8))
            writer.flush()
            return try send(Array(head(warns: warns).utf8) + writer.take() + BodyWriter.end)
        }
        note(200, index)
        try send(Array(head(warns: warns).utf8))
        if isInitial {
            try send(follower.initialEvents(server.cluster))
        }
        let (watched, namespace, initial) = (resource, request.namespace, follower.sent)
        let connection = connection
        server.change { control in
            control.watches[connection] = FakeAPIServer.OpenWatch(
                resource: watched, namespace: namespace, events: initial, isCaughtUp: true)
            control.observed.events += initial
        }
        defer { server.change { $0.watches[connection] = nil } }
        let seconds = query["timeoutSeconds"].flatMap { Int64($0) } ?? 1800
        try follow(&follower, until: Clock.now() + .milliseconds(seconds &* 1000), seconds)
        try send(BodyWriter.end)
    }

    /// Sends what happens until `deadline`.
    private mutating func follow(_ follower: inout Follower, until deadline: Instant, _ seconds: Int64) throws {
        var nextBookmark = Instant.never
        if follower.sendsBookmarks, server.control.withLock({ $0.automaticBookmarks }), seconds >= 8 {
            nextBookmark = min(Clock.now() + .milliseconds(60_000), deadline + .milliseconds(-2000))
        }
        while true {
            try Self.checkAlive(server, connection)
            try passPause()
            let before = follower.sent
            let delays = server.control.withLock { $0.delays }
            guard let due = follower.collect(server.cluster, delays) else { return }
            if Clock.now() >= nextBookmark, follower.writeBookmark() {
                let last = deadline + .milliseconds(-2000)
                nextBookmark = nextBookmark < last ? min(nextBookmark + .milliseconds(60_000), last) : .never
            }
            let bytes = follower.take()
            if !bytes.isEmpty {
                try send(bytes)
                let (count, connection) = (follower.sent - before, connection)
                server.change { control in
                    control.watches[connection]?.events += count
                    control.observed.events += count
                }
            }
            if Clock.now() >= deadline { return }
            if wire.isGone() { throw WireEnd.gone }
            let until = min(deadline, min(due, nextBookmark))
            _ = wire.listening.wait(for: POLLIN, on: wire.socket.number, until: until)
        }
    }

    // MARK: Spoilt answers

    private func spoilt(_ request: FakeRequest) -> FakeAPIServer.Answer? {
        server.control.withLock { control in
            guard let index = control.answers.firstIndex(where: { $0.left > 0 && $0.filter.matches(request) }) else {
                return nil
            }
            control.answers[index].left -= 1
            return control.answers[index].answer
        }
    }

    private mutating func send(_ answer: FakeAPIServer.Answer, to request: FakeRequest, _ index: Int) throws(WireEnd) {
        let object = "{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{\"resou"
        switch answer {
        case .status(429, let retryAfter):
            var refusal = Refusal.tooManyRequests
            refusal.retryAfter = retryAfter ?? 1
            try refuse(refusal, index)
        case .status(401, _): try refuse(.unauthorized, index)
        case .status(404, _): try refuse(.unknownResource, index)
        case .status(403, _):
            let asked = request.asked ?? ("", request.path, nil)
            try refuse(
                .forbidden(
                    user: FakeAPIServer.defaultUser, verb: request.isWatch ? "watch" : "list", group: asked.0,
                    resource: asked.1, namespace: asked.2), index)
        case .status(410, _): try refuse(.listTooOld, index)
        case .status(let status, let retryAfter):
            var refusal = Refusal.status(
                status, status >= 500 ? "InternalError" : "Unknown", "an error on the server: \(status)")
            refusal.retryAfter = retryAfter
            try refuse(refusal, index)
        case .html:
            try sendWhole(
                Array("<html><body><h1>It works!</h1></body></html>\n".utf8), contentType: "text/html; charset=utf-8",
                index)
        case .notJSON: try sendWhole(Array("\u{0}\u{1}}{ not JSON ][\n".utf8), index)
        case .cutJSON: try sendWhole(Array(object.utf8), index)
        case .wrongChunkSize:
            note(200, index)
            try send(Array((head() + "fff\r\n\(object)").utf8))
            throw .gone
        case .badChunkSize:
            note(200, index)
            try send(Array((head() + "zz\r\n\(object)\r\n0\r\n\r\n").utf8))
            throw .gone
        case .silence:
            while true {
                try Self.checkAlive(server, connection)
                if wire.isGone() { throw .gone }
                _ = wire.listening.wait(for: POLLIN, on: wire.socket.number)
            }
        case .close: throw .gone
        case .bytes(let bytes):
            try send(bytes)
            throw .gone
        }
    }

    // MARK: Sending

    private func head(warns: Bool = false) -> String {
        Heads.text(status: 200, warns: warns, flow: server.flow, length: nil)
    }

    private mutating func sendWhole(
        _ body: [UInt8], contentType: String = "application/json", warns: Bool = false, _ index: Int
    ) throws(WireEnd) {
        note(200, index)
        let head = Heads.text(
            status: 200, contentType: contentType, warns: warns, flow: server.flow, length: body.count)
        try send(Array(head.utf8) + body)
    }

    private mutating func refuse(_ answer: Refusal, _ index: Int) throws(WireEnd) {
        note(answer.status, index)
        let head = Heads.text(
            status: answer.status, contentType: answer.isText ? "text/plain; charset=utf-8" : "application/json",
            retryAfter: answer.retryAfter, noSniff: answer.noSniff,
            flow: answer.wasClassified ? server.flow : nil, length: answer.body.utf8.count)
        try send(Array((head + answer.body).utf8))
    }

    private func note(_ status: Int, _ index: Int) {
        server.change { $0.observed.requests[index].status = status }
    }

    private mutating func send(_ bytes: [UInt8]) throws(WireEnd) {
        let (server, connection) = (server, connection)
        try wire.send(bytes) { () throws(WireEnd) in try Self.checkAlive(server, connection) }
    }

    private mutating func readHead() throws(WireEnd) -> String? {
        let (server, connection) = (server, connection)
        return try wire.readHead { () throws(WireEnd) in try Self.checkAlive(server, connection) }
    }

    /// Waits while the server is paused.
    private mutating func passPause() throws(WireEnd) {
        while server.control.withLock({ $0.isPaused }) {
            try Self.checkAlive(server, connection)
            _ = wire.listening.wait()
        }
    }

    private static func checkAlive(_ server: FakeAPIServer, _ connection: Int) throws(WireEnd) {
        let (killed, reset, isStopped) = server.control.withLock { ($0.killed, $0.killsByReset, $0.isStopped) }
        if isStopped || killed >= connection { throw .killed(reset: reset) }
    }

    private static let versionText = """
        {
          "major": "1",
          "minor": "36",
          "emulationMajor": "1",
          "emulationMinor": "36",
          "minCompatibilityMajor": "1",
          "minCompatibilityMinor": "35",
          "gitVersion": "v1.36.2",
          "gitCommit": "0000000000000000000000000000000000000000",
          "gitTreeState": "archive",
          "buildDate": "2026-11-24T00:00:00Z",
          "goVersion": "go1.27.3",
          "compiler": "gc",
          "platform": "linux/amd64"
        }
        """
}
