// Tells one play in one way: a single thread holds the client's and the upstream's ends, line after line.

/// A play, the way it is told, and the address that its upstream has for itself.
struct Performance: Sendable {
    var play: Play
    var way: Way
    /// Which of all; makes host, service and address its own.
    var number: Int
    var upstream: LoopbackAddress
    /// Where the proxy listens.
    var proxy: LoopbackAddress

    /// Always of the same length, so that plays can count bytes.
    var host: String { "p" + String(number + 10_000) + ".test" }
    var service: String { "s\(number)" }
    var text: PlayText { PlayText(host: host, variant: play.variant) }

    /// This play's part of the proxy's configuration.
    func configuration() throws -> (service: String, routes: [String]) {
        var endpoints = ["\"\(upstream)\""]
        let refused = "\"\(upstream.neighbour)\""
        var settings: [String] = []
        var routes: [String] = []
        for raw in play.given {
            let line = try text.expand(raw)
            if line == "endpoint refused" {
                endpoints.append(refused)
            } else if line == "endpoints refused" {
                endpoints = [refused]
            } else if line.hasPrefix("service ") {
                settings.append(String(line.dropFirst(8)))
            } else if line.hasPrefix("route ") {
                var parts = [String(line.dropFirst(6))]
                if !parts[0].contains("host:") { parts.append("host: \"\(host)\"") }
                if !parts[0].contains("redirect:") { parts.append("service: \"\(service)\"") }
                routes.append("{ " + parts.joined(separator: ", ") + " }")
            } else {
                throw StageError("\(play.title): given what? \(raw)")
            }
        }
        if routes.isEmpty { routes = ["{ host: \"\(host)\", service: \"\(service)\" }"] }
        if !settings.contains(where: { $0.hasPrefix("timeouts") }) {
            settings.append("timeouts: { connect: \"1s\", response: \"5s\", idle: \"5s\" }")
        }
        let body = ["endpoints: [ \(endpoints.joined(separator: ", ")) ]"] + settings
        return ("\(service): { \(body.joined(separator: ", ")) }", routes)
    }
}

/// A line that was not fulfilled.
struct PlayFailure: Error {
    var step: Step?
    var reasons: [String]
}

/// Tells a play.
final class PlayRunner {
    private let performance: Performance
    private let text: PlayText
    private let listener: LoopbackListener
    private var clients: [Int: Peer] = [:]
    private var upstreams: [Peer] = []
    /// The upstream connection that spoke last.
    private var current: Peer?
    /// Complaints that do not stop the play.
    private var complaints: [String] = []
    private let patience: Duration = .seconds(6)

    init(_ performance: Performance) throws {
        self.performance = performance
        text = performance.text
        listener = try LoopbackListener(on: performance.upstream)
    }

    /// Tells the play to its end; what was not as it should be, one sentence a line, empty when all was well.
    static func tell(_ performance: Performance) -> String {
        var failures: [String] = []
        do {
            let runner = try PlayRunner(performance)
            var step: Step?
            do {
                for next in performance.play.steps {
                    step = next
                    try runner.perform(next)
                }
                step = nil
                try runner.lookForLeftovers()
            } catch let failure as PlayFailure {
                failures += failure.reasons
            }
            failures += runner.complaints
            if failures.isEmpty { return "" }
            let place = step.map { "line \($0.line), \($0.verb) \($0.object.prefix(80))" } ?? "at the end"
            return "\(performance.play.title) (\(performance.way.rawValue), \(performance.host)), \(place)\n  "
                + failures.joined(separator: "\n  ")
        } catch {
            return "\(performance.play.title) (\(performance.way.rawValue)): \(error)"
        }
    }

    // MARK: Steps

    private func perform(_ step: Step) throws {
        switch step.actor {
        case .client(let number): try performClient(step, number)
        case .upstream(let number): try performUpstream(step, number)
        }
    }

    private func performClient(_ step: Step, _ number: Int) throws {
        // Long bytes take a while to make: before the connection, whose patience is limited.
        var bytes = step.verb == "sends" ? try text.bytes(step.object + step.details.joined()) : []
        let peer = try clients[number] ?? Peer(LoopbackSocket.connect(to: performance.proxy))
        clients[number] = peer
        switch step.verb {
        case "connects": break
        case "sends":
            if performance.way == .followed { bytes += try text.bytes(Self.followUp) }
            peer.socket.send(bytes, byteByByte: performance.way == .bytes)
        case "reads", "reads head": try readAnswer(step, peer)
        case "is refused", "is answered": try readOwnAnswer(step, peer)
        case "is kept": try proveKept(peer)
        default: try performEither(step, peer, byteByByte: performance.way == .bytes)
        }
    }

    private func performUpstream(_ step: Step, _ number: Int?) throws {
        if step.verb == "hears nothing" {
            // The request behind the first may be on its way already.
            if performance.way == .followed && performance.play.steps.contains(where: { $0.verb == "is kept" }) {
                return
            }
            if let who = firstReadable(upstreams.map(\.socket), or: listener, until: .after(.milliseconds(60))) {
                let isOver = who >= 0 && upstreams[who].socket.receive(until: .now) != .bytes
                let isIdle = who == -1 && !acceptHasBytes()
                if !isOver && !isIdle { throw PlayFailure(reasons: ["the upstream heard something"]) }
            }
            return
        }
        if step.verb == "hears no end" { return try hearNoEnd() }
        let peer = try upstream(number, mustSpeak: step.verb.hasPrefix("reads") && step.verb.isStart)
        switch step.verb {
        case "accepts": break
        case "sends":
            let bytes = try text.bytes(step.object + step.details.joined())
            peer.socket.send(bytes, byteByByte: performance.way == .upstreamBytes)
        case "reads", "reads head": try readRequest(step, peer)
        default: try performEither(step, peer, byteByByte: performance.way == .upstreamBytes)
        }
    }

    /// What clients and upstreams do alike.
    private func performEither(_ step: Step, _ peer: Peer, byteByByte: Bool) throws {
        let deadline = Deadline.after(patience)
        switch step.verb {
        case "drips":
            for byte in try text.bytes(step.object + step.details.joined()) {
                // The pause is what this is about: a peer that is never quite silent.
                guard !peer.socket.isReadable(until: .after(.milliseconds(150))), peer.socket.send([byte]) else {
                    break
                }
            }
        case "finishes": peer.socket.finish()
        case "resets": peer.socket.reset()
        case "closes": peer.socket.close()
        case "reads bytes":
            let wanted = try text.bytes(step.object + step.details.joined())
            while peer.socket.unread.count < wanted.count, peer.socket.receive(until: deadline) == .bytes {}
            let got = Array(peer.socket.unread.prefix(wanted.count))
            peer.socket.unread.removeFirst(got.count)
            if got != wanted {
                throw PlayFailure(reasons: ["expected \(wanted.latin1.escaped)", "got \(got.latin1.escaped)"])
            }
        case "reads body":
            let wanted = try text.bytes(step.object)
            let got = peer.reader.body(atLeast: wanted.count, until: deadline).bytes
            if got != wanted {
                throw PlayFailure(reasons: [
                    "expected body bytes \(wanted.latin1.escaped)", "got \(got.latin1.escaped)",
                ])
            }
        case "reads end":
            let rest = peer.reader.rest(until: deadline)
            let message = WireMessage(
                head: WireHead(startLine: "", fields: []), framing: peer.reader.framing, body: rest.bytes,
                trailers: peer.reader.trailers, isComplete: rest.isComplete)
            let lines = step.object.isEmpty ? step.details : [step.object] + step.details
            try check(lines, of: message, faults: peer.reader.faults)
        case "is closed":
            let arrival = peer.socket.unread.isEmpty ? peer.socket.receive(until: deadline) : .bytes
            switch arrival {
            case .end, .reset: break
            case .bytes: throw PlayFailure(reasons: ["expected the end, got \(peer.socket.unread.latin1.escaped)"])
            case .nothingInTime: throw PlayFailure(reasons: ["expected the end, the connection stayed open"])
            }
        case "hears nothing":
            if !peer.socket.unread.isEmpty || peer.socket.isReadable(until: .after(.milliseconds(60))) {
                let arrival = peer.socket.receive(until: .now)
                let heard = arrival == .bytes ? peer.socket.unread.latin1.escaped : "\(arrival)"
                throw PlayFailure(reasons: ["expected nothing, got \(heard)"])
            }
        default: throw PlayFailure(reasons: ["\(step.verb) is not for this actor"])
        }
    }

    // MARK: The client's side

    private func readAnswer(_ step: Step, _ peer: Peer) throws {
        var wanted = try text.expand(step.object)
        var method = "GET"
        if let range = wanted.range(of: " to ") {
            method = String(wanted[range.upperBound...])
            wanted = String(wanted[..<range.lowerBound])
        }
        let choices = wanted.components(separatedBy: " or ")
        let deadline = Deadline.after(patience)
        let head: WireHead
        switch peer.reader.head(answering: method, until: deadline) {
        case .success(let read): head = read
        case .failure(let failure):
            if choices.contains("closed"), case .ended(let how, after: "") = failure, how != .nothingInTime { return }
            throw PlayFailure(reasons: ["expected \(wanted)", "got \(failure)"])
        }
        complaints += HouseRules.complaints(aboutResponse: head)
        var message = WireMessage(
            head: head, framing: peer.reader.framing, body: [], trailers: [], isComplete: true)
        if step.verb == "reads" {
            let rest = peer.reader.rest(until: deadline)
            message.body = rest.bytes
            message.isComplete = rest.isComplete
            message.trailers = peer.reader.trailers
        }
        if !choices.contains(String(head.status)) {
            throw PlayFailure(reasons: ["expected \(wanted)", "got \(head.described) \(message.body.latin1.escaped)"])
        }
        try check(step.details, of: message, faults: peer.reader.faults)
    }

    /// An answer of the proxy's own; a refusal also says `Connection: close`, and the end follows.
    private func readOwnAnswer(_ step: Step, _ peer: Peer) throws {
        var wanted = try text.expand(step.object)
        var method = "GET"
        if let range = wanted.range(of: " to ") {
            method = String(wanted[range.upperBound...])
            wanted = String(wanted[..<range.lowerBound])
        }
        var read = peer.reader.message(answering: method, until: .after(patience))
        while case .success(let interim) = read, interim.head.status / 100 == 1, interim.head.status != 101 {
            read = peer.reader.message(answering: method, until: .after(patience))
        }
        switch read {
        case .failure(let failure): throw PlayFailure(reasons: ["expected \(wanted)", "got \(failure)"])
        case .success(let message):
            guard wanted.components(separatedBy: " or ").contains(String(message.head.status)) else {
                throw PlayFailure(reasons: ["expected \(wanted)", "got \(message.head.described)"])
            }
            complaints += HouseRules.complaints(aboutResponse: message.head)
            if method != "HEAD" { complaints += HouseRules.complaints(aboutOwnAnswer: message) }
            try check(step.details, of: message, faults: peer.reader.faults)
            guard step.verb == "is refused" else { return }
            if !message.head.members("Connection").contains("close") { complaints.append("no Connection: close") }
            let end = Step(actor: .client(1), verb: "is closed", object: "", details: [], line: step.line)
            try performEither(end, peer, byteByByte: false)
        }
    }

    private static let followUp = "GET /kept HTTP/1.1\\r\\nHost: $host\\r\\n\\r\\n"

    /// A further request on the same connection is answered: what came before has ended where both sides think.
    private func proveKept(_ peer: Peer) throws {
        if performance.way != .followed {
            peer.socket.send(try text.bytes(Self.followUp), byteByByte: performance.way == .bytes)
        }
        let server = try upstream(nil, mustSpeak: true)
        let deadline = Deadline.after(patience)
        switch server.reader.message(answering: nil, until: deadline) {
        case .failure(let failure): throw PlayFailure(reasons: ["the request that follows: \(failure)"])
        case .success(let message):
            guard message.head.parts.prefix(2) == ["GET", "/kept"] else {
                throw PlayFailure(reasons: ["the request that follows reads \(message.head.described)"])
            }
        }
        server.socket.send(try text.bytes("HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nkept"))
        switch peer.reader.message(answering: "GET", until: deadline) {
        case .failure(let failure): throw PlayFailure(reasons: ["the answer that follows: \(failure)"])
        case .success(let message):
            guard message.head.status == 200, message.body.latin1 == "kept" else {
                throw PlayFailure(reasons: [
                    "the answer that follows is \(message.head.described) \(message.body.latin1.escaped)"
                ])
            }
        }
    }

    // MARK: The upstream's side

    /// The upstream connection numbered `number`, or the one that speaks, or the one that spoke last.
    private func upstream(_ number: Int?, mustSpeak: Bool) throws -> Peer {
        let deadline = Deadline.after(patience)
        if let number {
            while upstreams.count < number { upstreams.append(try accept(until: deadline)) }
            current = upstreams[number - 1]
        } else if mustSpeak || current == nil {
            current = try speakingUpstream(until: deadline)
        }
        return current!
    }

    private func accept(until deadline: Deadline) throws -> Peer {
        guard let socket = listener.accept(until: deadline) else {
            throw PlayFailure(reasons: ["no connection has come to the upstream"])
        }
        return Peer(socket)
    }

    private func speakingUpstream(until deadline: Deadline) throws -> Peer {
        while true {
            let open = upstreams.filter { $0.socket.ending == nil || !$0.socket.unread.isEmpty }
            guard let index = firstReadable(open.map(\.socket), or: listener, until: deadline) else {
                throw PlayFailure(reasons: ["no request has come to the upstream"])
            }
            if index == -1 {
                upstreams.append(try accept(until: deadline))
                if current == nil { return upstreams[upstreams.count - 1] }
                continue
            }
            let peer = open[index]
            if !peer.socket.unread.isEmpty || peer.socket.receive(until: deadline) == .bytes { return peer }
        }
    }

    /// Accepts a waiting connection and tells whether bytes have come on it.
    private func acceptHasBytes() -> Bool {
        guard let socket = listener.accept(until: .now) else { return false }
        upstreams.append(Peer(socket))
        return socket.receive(until: .after(.milliseconds(20))) == .bytes
    }

    /// Whatever part of a request has come, it is never a whole one, and its connection is closed.
    private func hearNoEnd() throws {
        while let socket = listener.accept(until: .now) { adopt(socket) }
        for upstream in upstreams {
            let deadline = Deadline.after(patience)
            guard upstream.socket.isReadable(until: .after(.milliseconds(100))) || !upstream.socket.unread.isEmpty
            else {
                continue
            }
            if upstream.reader.isAtEnd, case .failure = upstream.reader.head(answering: nil, until: deadline) {
                continue
            }
            if upstream.reader.rest(until: deadline).isComplete {
                throw PlayFailure(reasons: ["the upstream has got a whole request"])
            }
            if upstream.socket.ending == nil {
                throw PlayFailure(reasons: ["the upstream is left waiting for the rest of a request"])
            }
        }
    }

    private func readRequest(_ step: Step, _ peer: Peer) throws {
        let wanted = try text.text(step.object)
        let deadline = Deadline.after(patience)
        let head: WireHead
        switch peer.reader.head(answering: nil, until: deadline) {
        case .success(let read): head = read
        case .failure(let failure): throw PlayFailure(reasons: ["expected \(wanted.escaped)", "got \(failure)"])
        }
        complaints += HouseRules.complaints(aboutRequest: head).map { "\($0) in \(head.described)" }
        var message = WireMessage(head: head, framing: peer.reader.framing, body: [], trailers: [], isComplete: true)
        if step.verb == "reads" {
            let rest = peer.reader.rest(until: deadline)
            message.body = rest.bytes
            message.isComplete = rest.isComplete
            message.trailers = peer.reader.trailers
        }
        if head.parts.prefix(2).joined(separator: " ") != wanted {
            throw PlayFailure(reasons: ["expected \(wanted.escaped)", "got \(head.described)"])
        }
        try check(step.details, of: message, faults: peer.reader.faults)
    }

    // MARK: Conditions

    private func check(_ conditions: [String], of message: WireMessage, faults: [String]) throws {
        var reasons = faults
        var mayBeCut = false
        for raw in conditions {
            if raw == "cut" {
                mayBeCut = true
                if message.isComplete && message.head.status < 500 {
                    reasons.append("expected a body that is cut, got a complete one")
                }
            } else if let reason = try Condition(try text.text(raw)).complaint(about: message) {
                reasons.append(reason)
            }
        }
        if !message.isComplete && !mayBeCut {
            reasons.append("the body was cut after \(message.body.count) bytes (\(message.framing))")
        }
        if !reasons.isEmpty {
            throw PlayFailure(reasons: reasons + ["in \(message.head.described) \(message.body.latin1.escaped)"])
        }
    }

    /// Nothing may be left when the curtain falls: no answer that nobody asked for, no request that nobody sent.
    private func lookForLeftovers() throws {
        for (number, client) in clients where client.reader.isAtEnd && client.socket.ending == nil {
            if client.socket.unread.isEmpty { _ = client.socket.receive(until: .now) }
            if !client.socket.unread.isEmpty {
                complaints.append("client \(number) has also got \(client.socket.unread.latin1.escaped)")
            }
        }
        // Bytes that should not have travelled would be under way already; a moment shows them.
        if performance.way == .followed { _ = listener.accept(until: .after(.milliseconds(15))).map(adopt) }
        while let socket = listener.accept(until: .now) { adopt(socket) }
        for upstream in upstreams where upstream.reader.isAtEnd {
            if upstream.socket.unread.isEmpty { _ = upstream.socket.receive(until: .now) }
            if !upstream.socket.unread.isEmpty {
                complaints.append("the upstream has also got \(upstream.socket.unread.latin1.escaped)")
            }
        }
        if !complaints.isEmpty { throw PlayFailure(reasons: []) }
    }

    private func adopt(_ socket: LoopbackSocket) { upstreams.append(Peer(socket)) }
}

extension String {
    /// Whether the verb begins to read a message, rather than going on with one.
    fileprivate var isStart: Bool { self == "reads" || self == "reads head" }
}

extension WireHead {
    /// The head on one line, for a failure.
    var described: String {
        ([startLine] + fields.map { "\($0.name): \($0.value)" }).joined(separator: " | ").escaped
    }
}
