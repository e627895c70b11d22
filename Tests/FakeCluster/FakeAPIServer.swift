// Who plays the API server? A server over loopback, its faults, and what it has seen.
//
// A thread accepts, and each connection has a thread of its own, which reads from top to bottom (FakeConversation).
// A test never has to sleep: it waits for what the server has seen.

import Glibc
import ProxyCore
import Synchronization

/// A fake Kubernetes API server for one cluster. May be used from any thread; stops when ``stop()`` is called.
public final class FakeAPIServer: Sendable {
    /// How clients reach it.
    public enum Security: Sendable {
        /// Plain HTTP.
        case plain
        /// TLS, with a certificate for 127.0.0.1 and the usual names of the Service `kubernetes`.
        case tls
        /// TLS, and each client must show a certificate of this authority; see ``clientIdentity(name:)``.
        case mutualTLS
    }

    /// Who may do what.
    public enum Rights: Sendable {
        /// May read what the fake serves; a path or a resource that is not there is forbidden.
        case reader
        /// May not read anything.
        case none
        /// May read everything; what is not there is not found.
        case admin
    }

    /// What the server answers instead of the truth.
    public enum Answer: Sendable {
        /// A status with the Status object that belongs to it; 429, 500, 503 and 504 with this `Retry-After`.
        case status(Int, retryAfter: Int? = nil)
        /// A 200 with HTML, as a gateway in between might send it.
        case html
        /// A 200 whose JSON body is not JSON.
        case notJSON
        /// A 200 whose body of a known length stops in the middle of an object, and is whole as far as HTTP goes.
        case cutJSON
        /// A 200 whose chunk says more bytes than come before the connection ends.
        case wrongChunkSize
        /// A chunk whose size is no number.
        case badChunkSize
        /// Nothing, for ever.
        case silence
        /// The connection ends without an answer.
        case close
        /// These bytes, then the end of the connection.
        case bytes([UInt8])
    }

    /// Which requests or events are meant.
    public struct Filter: Sendable {
        /// The resource; nil for all, paths that the fake does not know included.
        public var resource: FakeResource?
        /// The namespace; nil for all.
        public var namespace: String?
        /// Watches, or everything else; nil for both.
        public var isWatch: Bool?

        /// What meets all that is given.
        public init(_ resource: FakeResource? = nil, namespace: String? = nil, isWatch: Bool? = nil) {
            self.resource = resource
            self.namespace = namespace
            self.isWatch = isWatch
        }

        /// Everything.
        public static var any: Filter { Filter() }

        func matches(_ request: FakeRequest) -> Bool {
            (resource == nil || resource == request.resource)
                && (namespace == nil || namespace == request.namespace)
                && (isWatch == nil || isWatch == request.isWatch)
        }
    }

    /// An open watch.
    public struct OpenWatch: Sendable {
        /// What it watches.
        public var resource: FakeResource
        /// Where; nil for all namespaces.
        public var namespace: String?
        /// How many events were sent, bookmarks included.
        public var events = 0
        /// Whether the initial events, if it asked for any, have been sent.
        public var isCaughtUp = false
    }

    /// What the server has seen.
    public struct Observed: Sendable {
        /// All requests, oldest first.
        public var requests: [FakeRequest] = []
        /// The watches that are open now.
        public var watches: [OpenWatch] = []
        /// How many connections are open.
        public var connections = 0
        /// How many were ever accepted.
        public var accepted = 0
        /// How many events were sent in all watches, bookmarks included.
        public var events = 0

        /// How many watches of `resource` are open, have been answered, and are caught up.
        public func openWatches(_ resource: FakeResource, namespace: String? = nil) -> Int {
            watches.count {
                $0.resource == resource && (namespace == nil || $0.namespace == namespace) && $0.isCaughtUp
            }
        }
    }

    /// What connections and the test share.
    struct Control: Sendable {
        var observed = Observed()
        var watches: [Int: OpenWatch] = [:]
        var openNumbers: Set<Int> = []
        var tokens: [String: (user: String, rights: Rights)] = [:]
        var context: TLSContext?
        var authority: CertificateAuthority?
        var isPaused = false
        var wantsListening = true
        var isListening = false
        var isStopped = false
        /// Connections up to this number are to end.
        var killed = 0
        var killsByReset = true
        var answers: [(filter: Filter, left: Int, answer: Answer)] = []
        var delays: [(filter: Filter, name: String?, by: Instant.Span)] = []
        var servesWatchList = true
        var servesSlices = true
        var saysGoneByStatus = false
        var tooLargeAfter = Instant.Span.milliseconds(3000)
        var automaticBookmarks = true
    }

    /// The cluster that it serves.
    public let cluster: FakeCluster
    /// Where it listens.
    public let address: NetworkAddress
    /// How it is reached.
    public let security: Security
    let control: Mutex<Control>
    let flow = (schema: FakeNames.uid(), level: FakeNames.uid())

    /// Starts a server on a port of the system's choice. It knows one token, ``defaultToken``, with a reader's rights.
    public init(_ cluster: FakeCluster = FakeCluster(), security: Security = .tls) throws {
        self.cluster = cluster
        self.security = security
        var control = Control()
        control.tokens[Self.defaultToken] = (Self.defaultUser, .reader)
        let listener = try Socket.listening(
            on: NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0), sharesPort: false)
        guard let address = listener.localAddress() else { throw SystemError("getsockname", doing: "starting a fake") }
        self.address = address
        if security != .plain { try Self.renew(&control, security) }
        control.isListening = true
        self.control = Mutex(control)
        let number = listener.release()
        try Self.start("fake-accept") { self.acceptUntilStopped(number) }
    }

    /// The token that is known from the start.
    public static let defaultToken = "fake-token"
    /// Whose it is.
    public static let defaultUser = "system:serviceaccount:honeydue:hdproxy"

    // MARK: Reaching it

    /// As configurations name it: `https://127.0.0.1:PORT`.
    public var url: String { "\(security == .plain ? "http" : "https")://\(address)" }

    /// The certificate of its authority, in PEM form.
    public var certificateAuthority: [UInt8] { control.withLock { $0.authority?.certificate ?? [] } }

    /// Writes the CA to `caFile` and a token to `tokenFile`, both atomically, as a kubelet does.
    public func writeFiles(caFile: String, tokenFile: String, token: String = FakeAPIServer.defaultToken) throws {
        try Self.replace(caFile, certificateAuthority)
        try Self.replace(tokenFile, Array((token + "\n").utf8))
    }

    /// A client's certificate of its authority, for ``Security/mutualTLS``.
    public func clientIdentity(name: String = "hdproxy") throws -> TLSIdentity {
        guard let authority = control.withLock({ $0.authority }) else {
            throw SystemError("clientIdentity", code: EINVAL, doing: "asking a plain server for a certificate")
        }
        return try authority.issue(.client, name: name)
    }

    // MARK: Who may ask

    /// Makes a token known.
    public func addToken(_ token: String, user: String = FakeAPIServer.defaultUser, rights: Rights = .reader) {
        change { $0.tokens[token] = (user, rights) }
    }

    /// Forgets a token: requests with it get 401. Watches that are open live on, as with the real server.
    public func revokeToken(_ token: String = FakeAPIServer.defaultToken) { change { $0.tokens[token] = nil } }

    /// Takes a new authority and a new certificate; connections that are open stay.
    public func rotateAuthority() throws {
        let security = security
        try control.withLock { try Self.renew(&$0, security) }
    }

    // MARK: Faults

    /// Stops answering: connections are accepted, and that is all. Watches go silent.
    public func pause() { change { $0.isPaused = true } }

    /// Goes on after ``pause()``.
    public func resume() { change { $0.isPaused = false } }

    /// Ends every connection, by a reset or cleanly, and returns when they are gone.
    public func killConnections(reset: Bool = true) {
        let last = control.withLock { control in
            control.killed = control.observed.accepted
            control.killsByReset = reset
            return control.killed
        }
        cluster.bell.ring()
        waitUntil { control in control.openNumbers.allSatisfy { $0 > last } }
    }

    /// Closes the listening socket: who connects is refused. Returns when it is closed.
    public func refuse() {
        change { $0.wantsListening = false }
        waitUntil { !$0.isListening || $0.wantsListening }
    }

    /// Listens again, on the same port. Returns when it does.
    public func accept() {
        change { $0.wantsListening = true }
        waitUntil { $0.isListening || !$0.wantsListening || $0.isStopped }
    }

    /// As `kill -9` of the server: nobody listens, and every connection is reset.
    public func crash() {
        refuse()
        killConnections()
    }

    /// Ends everything; the server cannot be used afterwards.
    public func stop() {
        change { control in
            control.isStopped = true
            control.wantsListening = false
        }
        waitUntil { !$0.isListening && $0.openNumbers.isEmpty }
    }

    /// Answers the next `count` requests that `filter` meets with `answer`.
    public func answer(next count: Int = 1, _ filter: Filter = .any, with answer: Answer) {
        change { $0.answers.append((filter, count, answer)) }
    }

    /// Answers as it should again.
    public func answerNormally() { change { $0.answers = [] } }

    /// From now on, events of what `filter` (and `name`, an object's, or its beginning) meets come late by `delay`.
    /// Others overtake them; the order of one object's events stays.
    public func delayEvents(of filter: Filter, name: String? = nil, by delay: Duration) {
        change { $0.delays.append((filter, name, Instant.Span(delay))) }
    }

    /// Events come at once again, also those that were held back.
    public func delayNothing() { change { $0.delays = [] } }

    /// Whether `sendInitialEvents` is served; where not it gets 422.
    public func setServesWatchList(_ serves: Bool) { change { $0.servesWatchList = serves } }

    /// Whether EndpointSlices are served; where not, 404.
    public func setServesSlices(_ serves: Bool) { change { $0.servesSlices = serves } }

    /// Whether a watch from a forgotten version gets the status 410 instead of an ERROR event in a 200.
    public func setSaysGoneByStatus(_ byStatus: Bool) { change { $0.saysGoneByStatus = byStatus } }

    /// How long a list waits for a version that the server does not have, before it is answered 504; 3 s at first.
    public func setTooLargeAfter(_ span: Duration) { change { $0.tooLargeAfter = Instant.Span(span) } }

    /// Whether watches get bookmarks by the clock: every minute, and two seconds before their end.
    public func setAutomaticBookmarks(_ sends: Bool) { change { $0.automaticBookmarks = sends } }

    // MARK: What it has seen

    /// What it has seen up to now.
    public var observed: Observed { control.withLock { $0.snapshot } }

    /// Waits, without blocking its thread, until what the server has seen is as `condition` says; false where that
    /// does not happen in time.
    public func sees(
        within patience: Duration = .seconds(10), _ condition: @escaping @Sendable (Observed) -> Bool
    ) async -> Bool {
        await withCheckedContinuation { continuation in
            let deadline = Clock.now() + Instant.Span(patience)
            let thread: Void? = try? Self.start("fake-wait") {
                continuation.resume(returning: self.waitUntil(deadline) { condition($0.snapshot) })
            }
            if thread == nil { continuation.resume(returning: false) }
        }
    }

    /// Waits until a watch of `resource` is open and caught up, as ``sees(within:_:)``.
    public func watchIsOpen(
        on resource: FakeResource, namespace: String? = nil, within patience: Duration = .seconds(10)
    ) async -> Bool {
        await sees(within: patience) { $0.openWatches(resource, namespace: namespace) > 0 }
    }

    // MARK: Details

    func change(_ body: (inout Control) -> Void) {
        control.withLock { body(&$0) }
        cluster.bell.ring()
    }

    /// Blocks until the control is as `condition` says.
    @discardableResult
    private func waitUntil(_ deadline: Instant = .never, _ condition: (Control) -> Bool) -> Bool {
        let listening = Listening(to: cluster.bell)
        while !control.withLock({ condition($0) }) {
            if listening.wait(until: deadline) == .timedOut { return control.withLock { condition($0) } }
        }
        return true
    }

    private static func renew(_ control: inout Control, _ security: Security) throws {
        let authority = try CertificateAuthority(name: "kubernetes")
        let identity = try authority.issue(
            .server, name: "kube-apiserver",
            dnsNames: ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"],
            addresses: [IPAddress(v4: 0x7F00_0001)])
        control.context = try TLSContext(
            server: identity, clientCA: security == .mutualTLS ? authority.certificate : nil)
        control.authority = authority
    }

    private static func replace(_ path: String, _ bytes: [UInt8]) throws {
        let new = path + ".new"
        // Safety: paths are NUL-terminated for the length of each call, and as many bytes are read as there are.
        let file = unsafe FileDescriptor(owning: creat(new, 0o600))
        guard file.isOpen, unsafe write(file.number, bytes, bytes.count) == bytes.count, unsafe rename(new, path) == 0
        else {
            throw SystemError("write", doing: "writing \(path)")
        }
    }

    private func acceptUntilStopped(_ number: Int32) {
        let listening = Listening(to: cluster.bell)
        var socket = Socket(owning: number)
        while true {
            let (wants, isStopped) = control.withLock { ($0.wantsListening && !$0.isStopped, $0.isStopped) }
            if !wants, socket.isOpen {
                socket = .none()
                change { $0.isListening = false }
            }
            if isStopped { return }
            if wants, !socket.isOpen {
                guard let new = try? Socket.listening(on: address, sharesPort: false) else {
                    // Somebody else's connection may have the port for a moment.
                    _ = listening.wait(until: Clock.now() + .milliseconds(20))
                    continue
                }
                socket = new
                change { $0.isListening = true }
            }
            guard listening.wait(for: POLLIN, on: socket.number) == .ready else { continue }
            guard case .connection(let client, _) = socket.accept() else { continue }
            converse(client.release())
        }
    }

    private func converse(_ number: Int32) {
        let connection = control.withLock { control in
            control.observed.accepted += 1
            control.openNumbers.insert(control.observed.accepted)
            return control.observed.accepted
        }
        cluster.bell.ring()
        let thread: Void? = try? Self.start("fake-client") {
            FakeConversation.run(Socket(owning: number), connection, self)
            self.end(connection)
        }
        if thread == nil {
            _ = close(number)
            end(connection)
        }
    }

    private func end(_ connection: Int) {
        change { control in
            control.openNumbers.remove(connection)
            control.watches[connection] = nil
        }
    }

    /// Starts a thread that nobody joins.
    private static func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        _ = try Thread(name: name) {
            _ = pthread_detach(pthread_self())
            body()
        }
    }
}

extension FakeAPIServer.Control {
    /// What a test may see.
    var snapshot: FakeAPIServer.Observed {
        var copy = observed
        copy.watches = watches.sorted { $0.key < $1.key }.map(\.value)
        copy.connections = openNumbers.count
        return copy
    }
}
