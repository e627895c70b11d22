// What keeps the proxy running from its first configuration to its last connection: tasks on the control thread, one
// for each thing that can happen. Signals come in, the file changes, a worker has left; each is straight-line code.

import Discovery
import Glibc
import ProxyCore

/// Serves what `settings` say until a signal ends it. `configurationPath` is read again on SIGHUP and when it changes.
func runProxy(configurationPath: String, settings: Settings) -> Int32 {
    runProxy(source: .file(configurationPath), settings: settings)
}

/// Serves a configuration that is part of the program: the demo's.
func serveDemo(_ text: String) -> Int32 {
    switch SettingsReader.read(Array(text.utf8), file: "demo.json5") {
    case .success(let settings): return runProxy(source: .text, settings: settings)
    case .failure(let problems):
        for line in problems.lines { writeFully(line + "\n", to: STDERR_FILENO) }
        return 2
    }
}

/// Where a configuration comes from.
enum ConfigurationSource: Sendable {
    /// A file, which may change.
    case file(String)
    /// Text that is part of the program.
    case text
}

private func runProxy(source: ConfigurationSource, settings: Settings) -> Int32 {
    ControlThread.run {
        do throws(SystemError) {
            return try await ControlLoop(source: source, settings: settings).run()
        } catch {
            writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
            return 1
        }
    }
}

/// The tasks of the control thread, and what they share.
@ControlThread
final class ControlLoop {
    /// For how long changes are gathered before the file is read.
    private static let gathering = Instant.Span.milliseconds(100)
    /// For how long a start waits for discovery before it listens all the same: services that are known are served,
    /// whatever keeps another one's witnesses.
    private static let patience = Instant.Span.milliseconds(5000)
    /// How often it is looked whether a predecessor is there that serves meanwhile.
    private static let askAgain = Instant.Span.milliseconds(1000)

    /// Where the process is in its life.
    enum Phase: String {
        case starting, serving, handedOver, draining
    }

    let source: ConfigurationSource
    let workers: WorkerPool
    let discovery: Discovery
    let log: EventLog
    /// What is served.
    var settings: Settings
    /// How many configurations have been served.
    var generation: UInt64 = 1
    var reloads = ReloadCounts()
    /// On what terms TLS is spoken.
    let tls = TLSKeeper()
    /// The rollouts of the services.
    var rollouts = RolloutLedger()
    /// Open when endpoints have changed, or it is time to look at them again.
    let endpointsChanged: Gate
    /// Seconds until they are looked at again in any case.
    var ticksLeft = 1
    /// What each worker has told last.
    var lastTold: [WorkerTelemetry]
    var phase = Phase.starting
    /// The address that each listener has got, by its name.
    private(set) var addresses: [String: NetworkAddress] = [:]
    /// The sockets of the listeners: bound from the start, listening once this process serves.
    var stock = ListeningStock()
    /// Whether the listeners accept, or did until a successor took them.
    private(set) var isListening = false
    /// Listeners of which a successor had no use; they are opened anew if this process takes back.
    var forgone: [ListenerSpec] = []
    private(set) var handoff: HandoffServer?
    var handoffs = HandoffCounts()
    /// The connection on which our predecessor watches us; nil where there is none any more.
    var predecessor: HandoffConnection?
    /// What earlier processes counted.
    var inherited = InheritedCounters()
    /// Whether the workers were told to leave.
    private(set) var isLeaving = false
    /// When the process began, in microseconds since 1970.
    let startedMicroseconds = Clock.wallMicroseconds()
    private let signals: Signals
    private var watch: FileWatch?
    let writer: LogWriter
    private(set) var admin: AdminServer?
    /// Closed while the listeners are opened at the start.
    let opening = Gate()
    private let reloadAsked = Gate()
    /// Open once the file has been read again after the start.
    private let fileChecked = Gate()
    /// The reload that was asked for last: the next one begins when it is over.
    var lastReload: Reloading?
    /// Whether another configuration is just taking effect.
    var isReloading = false
    /// Whether something was known of every service once. A service that a reload brings, and of which nobody can tell
    /// anything, is no reason to send the others' clients away.
    private(set) var wasDiscovered = false
    private var isReloadBySignal = false
    /// When the process is gone, once that has a deadline.
    private var leavesBy = Instant.never
    /// What the process was told to leave by, for the log.
    var leavingBecause = "admin"
    /// Whether one of them was a signal.
    private var wasSignalled = false
    private let end = Gate()
    private var status: Int32 = 0

    init(source: ConfigurationSource, settings: Settings) throws(SystemError) {
        // Whatever can fail comes first, so that a half-made loop never has to be taken apart.
        let signals = try Signals()
        let writer = try LogWriter(path: settings.log.file)
        let log = EventLog(writer: writer, level: settings.log.level)
        let workers = try WorkerPool(count: settings.workers > 0 ? settings.workers : usableProcessors())
        let endpointsChanged = Gate()
        // Whoever follows another process gets its sockets; binding more of them beside it would split its clients.
        if !HandoffClient.isSomebody(at: settings.handoff.socket) {
            stock = try ListeningStock.bind(settings.listeners, workers: workers.count)
        }
        let discovery = Discovery(
            settings: settings.discovery, services: settings.serviceSpecs, place: .ofThisProcess,
            version: hdproxyVersion,
            changed: { changes in
                workers.change(changes)
                endpointsChanged.open()
            }, note: { log.write($0) })
        try workers.start(settings.snapshot(generation: 1) { discovery.endpoints(of: $0) }, log: writer)
        self.source = source
        self.signals = signals
        self.writer = writer
        self.log = log
        self.workers = workers
        lastTold = Array(repeating: WorkerTelemetry(), count: workers.count)
        self.discovery = discovery
        self.endpointsChanged = endpointsChanged
        self.settings = settings
        opening.open()
        // Without it SIGHUP still reloads.
        if case .file(let path) = source { watch = try? FileWatch(paths: [path] + settings.materialPaths) }
    }

    /// Serves until the process may end; its exit status.
    func run() async -> Int32 {
        log.write(
            .info, "started",
            [
                "version": .text(hdproxyVersion), "pid": .count(Int(getpid())), "workers": .count(workers.count),
                "generation": .count(1), "kernel_tls": .text(tls.kernelHelps ? "yes" : "no"),
            ])
        guard startTLS() else { return 1 }
        ControlThread.spawn { [self] in await followSignals() }
        ControlThread.spawn { [self] in await followFile() }
        ControlThread.spawn { [self] in await followReloads() }
        ControlThread.spawn { [self] in await followWorkers() }
        ControlThread.spawn { [self] in await discovery.run() }
        ControlThread.spawn { [self] in wasDiscovered = await discovery.firstAnswer() }
        ControlThread.spawn { [self] in await followTurns() }
        ControlThread.spawn { [self] in await followSightings() }
        ControlThread.spawn { [self] in await followRollouts() }
        ControlThread.spawn { [self] in await followTicketKeys() }
        ControlThread.spawn { [self] in await followExpiry() }
        guard startAdmin() else { return 1 }
        ControlThread.spawn { [self] in await serveOnceDiscovered() }
        // The file may have changed since it was read, before anybody watched it.
        reloadAsked.open()
        await end.passed()
        handoff?.stop()
        predecessor?.close()
        await admin?.stop()
        discovery.keepTheLast(within: millisecondsLeft)
        writer.end(within: millisecondsLeft)
        return status
    }

    /// For how long a slow disk or reader of the log is waited for at the end.
    private var millisecondsLeft: Int32 {
        Int32(clamping: max(20, min(1000, (leavesBy - Clock.now()).nanoseconds / 1_000_000)))
    }

    func finish(_ status: Int32) {
        if end.isOpen { return }
        self.status = status
        end.open()
    }

    // MARK: Beginning

    /// Opens the admin listener and socket; false where one that the file names cannot be had, which was said.
    private func startAdmin() -> Bool {
        let server = AdminServer(state: self, report: { [log] in log.write($0) })
        do throws(Refusal) {
            try server.adopt(settings.admin)
        } catch {
            log.write(.error, "exit", ["reason": .text(error.text)])
            writeFully("hdproxy: \(error.text)\n", to: STDERR_FILENO)
            writer.end()
            return false
        }
        admin = server
        return true
    }

    /// Watches the files that `settings` name from now on.
    func watchFiles(of settings: Settings) {
        if case .file(let path) = source { watch?.watch([path] + settings.materialPaths) }
    }

    /// Prepares what listeners that speak TLS need; false where that is not possible, which was said.
    private func startTLS() -> Bool {
        do throws(TLSError) {
            tls.adopt(try tls.prepare(settings))
        } catch {
            log.write(.error, "exit", ["reason": .text(error.description)])
            writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
            writer.end()
            return false
        }
        workers.secure(tls.provision)
        return true
    }

    /// Serves the admin pages where `settings` say from now on.
    func adopt(admin settings: AdminSettings) throws(Refusal) { try admin?.adopt(settings) }

    /// Waits until discovery knows where services live, not longer than ``patience`` where nobody else serves meanwhile. A
    /// predecessor is not followed before: it may know what this process does not, and would be sent away with it.
    private func discovered() async {
        if await discovery.firstAnswer(until: Clock.now() + Self.patience) { return }
        var isTold = false
        while phase == .starting, HandoffClient.isSomebody(at: settings.handoff.socket) {
            if !isTold {
                let missing = discovery.missing.joined(separator: "; ")
                log.write(.warn, "takeover_waits", ["reason": .text(missing)])
                isTold = true
            }
            if await discovery.firstAnswer(until: Clock.now() + Self.askAgain) { return }
        }
    }

    /// Listens when discovery knows where services live. Where a predecessor still listens on the same ports, clients
    /// go to it until then.
    private func serveOnceDiscovered() async {
        await discovered()
        _ = await discovery.firstHealth()
        // Nobody changes the listeners while they are opened.
        while let lastReload, !lastReload.isOver { _ = await lastReload.outcome() }
        opening.close()
        await listen()
        opening.open()
        guard phase == .serving else { return }
        await fileChecked.passed()
        releaseStartupPages()
        // By then witnesses that take their time have been met, too.
        _ = await ControlThread.sleep(for: .seconds(1))
        releaseStartupPages()
    }

    /// Takes a predecessor's place, or opens the listeners where there is none.
    private func listen() async {
        guard phase == .starting else { return }
        let server = HandoffServer(
            owner: self, confirm: settings.handoff.confirm, report: { [log] in log.write($0) })
        let gift = await takeOver()
        guard phase == .starting else { return }
        var copies: [[ListeningSocket]] = []
        do throws(SystemError) {
            try bindMissing()
            try stock.listen()
            copies = try stock.copies(for: workers.count)
        } catch {
            log.write(.error, "exit", ["reason": .text(error.description)])
            writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
            return finish(1)
        }
        isListening = true
        phase = .serving
        handoff = server
        workers.adopt(settings.snapshot(generation: generation) { discovery.endpoints(of: $0) }, added: copies)
        use(gift, server)
        tell(stock)
    }

    /// Has `added` in place of the listeners `removed`.
    func replace(_ removed: [ListenerSpec], with added: ListeningStock) {
        stock.remove(removed)
        stock.entries += added.entries
    }

    /// Says in the log where listeners are.
    func tell(_ opened: ListeningStock) {
        for entry in opened.entries {
            addresses[entry.spec.name] = entry.address
            log.write(
                .info, "listening",
                ["listener": .text(entry.spec.name), "address": .text(entry.address.description)])
        }
    }

    // MARK: What can happen

    private func followSignals() async {
        while await ControlThread.readable(signals.number) == .ready {
            while let signal = signals.next() { act(on: signal) }
        }
    }

    private func act(on signal: Int32) {
        switch signal {
        case SIGHUP:
            isReloadBySignal = true
            reloadAsked.open()
        case SIGUSR1: writer.reopen()
        default:
            let name = signal == SIGINT ? "SIGINT" : "SIGTERM"
            leavingBecause = name
            if let handoff {
                if isHandedOver, !isLeaving {
                    log.write(
                        .info, "leaving_later", ["signal": .text(name), "reason": .text("the successor is watched")])
                }
                ControlThread.spawn { await handoff.toldToLeave(isSignal: true) }
            } else if phase == .draining, wasSignalled {
                exitNow()
            } else {
                drain(because: name)
            }
            wasSignalled = true
        }
    }

    /// Ends without waiting for anything: somebody insists.
    func exitNow() {
        log.write(.warn, "exit", ["reason": .text("second signal")])
        finish(1)
    }

    /// Stops accepting and finishes what is under way.
    func drain(because reason: String) {
        guard phase != .draining else { return }
        // Whoever watches us can accept again at once.
        predecessor?.close()
        predecessor = nil
        if phase != .handedOver { phase = .draining }
        isLeaving = true
        // Our own descriptors go first: the last one that is closed is a worker's, which has looked who waits.
        stock.entries = []
        log.write(.info, "draining", ["signal": .text(reason), "timeout": .text("\(settings.drain.timeout)")])
        workers.drain(settings.drain)
        leavesBy =
            Clock.now() + Instant.Span(settings.drain.delay) + Instant.Span(settings.drain.timeout)
            + .milliseconds(500)
        ControlThread.spawn { [self] in await leaveInTime() }
    }

    /// The workers leave by themselves a moment before; one that is stuck would not.
    private func leaveInTime() async {
        guard await ControlThread.sleep(until: leavesBy + .milliseconds(-100)) == .timedOut, !end.isOpen else { return }
        log.write(.error, "exit", ["reason": .text("a worker does not leave in time")])
        finish(1)
    }

    /// Finishes what is under way, however long it takes: a successor accepts.
    func finishWhatIsLeft() {
        isLeaving = true
        stock.entries = []
        workers.drain(.withoutDeadline)
    }

    /// Asks each worker once a second to say that it turns.
    private func followTurns() async {
        while await ControlThread.sleep(for: .seconds(1)) == .timedOut { workers.ping() }
    }

    /// Hands on what workers have seen of endpoints.
    private func followSightings() async {
        while await ControlThread.readable(workers.outbox.wake.number) == .ready {
            discovery.take(workers.outbox.take())
        }
    }

    private func followFile() async {
        guard watch != nil else { return }
        while await ControlThread.readable(watch?.number ?? -1) == .ready {
            watch?.clear()
            reloadAsked.open()
        }
    }

    /// Reads the file again, in case that it has changed while nobody heeded it.
    func readAgain() { reloadAsked.open() }

    /// Changes and signals that come close together are one reload.
    private func followReloads() async {
        while true {
            await reloadAsked.passed()
            _ = await ControlThread.sleep(until: Clock.now() + Self.gathering)
            reloadAsked.close()
            if isLeaving { return }
            let isAsked = isReloadBySignal
            isReloadBySignal = false
            await reload(isAsked: isAsked)
            fileChecked.open()
        }
    }

    private func followWorkers() async {
        while await ControlThread.readable(workers.left.number) == .ready {
            if let report = workers.finalReport() { return leave(report) }
        }
    }

    /// All workers have left.
    private func leave(_ report: WorkerReport) {
        let counters = report.counters
        log.write(
            report.cutExchanges > 0 ? .warn : .info, "stopped",
            [
                "requests": .count(Int(clamping: counters.requests)),
                "connections": .count(Int(clamping: counters.acceptedConnections)),
                "rejected": .count(Int(clamping: counters.rejected)),
                "cut_requests": .count(report.cutExchanges), "cut_tunnels": .count(report.cutTunnels),
            ])
        finish(report.cutExchanges > 0 ? 1 : 0)
    }
}

extension Place {
    /// Where this process runs, as whoever started it says: `NODE_NAME` and `ZONE` of the environment.
    fileprivate static var ofThisProcess: Place {
        Place(node: environment("NODE_NAME"), zone: environment("ZONE"))
    }

    private static func environment(_ name: String) -> String? {
        // Safety: the text is copied at once, and nothing in this process changes the environment.
        guard let text = unsafe getenv(name) else { return nil }
        let value = unsafe String(cString: text)
        return value.isEmpty ? nil : value
    }
}
