// What keeps the proxy running from its first configuration to its last connection: one thread that waits for
// signals, changes of the file, and workers that have left.

import Glibc
import ProxyCore

/// Serves what `settings` say until a signal ends it. `configurationPath` is read again on SIGHUP and when it changes.
func runProxy(configurationPath: String, settings: Settings) -> Int32 {
    runProxy(source: .file(configurationPath), settings: settings)
}

/// Serves the demo's configuration.
func serveDemo(_ text: String) -> Int32 {
    switch SettingsReader.read(Array(text.utf8), file: "demo.json5") {
    case .success(let settings): return runProxy(source: .text, settings: settings)
    case .failure(let problems):
        for line in problems.lines { writeFully(line + "\n", to: STDERR_FILENO) }
        return 2
    }
}

/// Where a configuration comes from.
enum ConfigurationSource {
    /// A file, which may change.
    case file(String)
    /// Text that is part of the program.
    case text
}

private func runProxy(source: ConfigurationSource, settings: Settings) -> Int32 {
    do throws(SystemError) {
        var loop = try ControlLoop(source: source, settings: settings)
        return loop.run()
    } catch {
        writeFully("hdproxy: \(error)\n", to: STDERR_FILENO)
        return 1
    }
}

/// The control thread's loop.
struct ControlLoop: ~Copyable {
    /// For how long changes are gathered before the file is read.
    private static let gathering = Instant.Span.milliseconds(100)

    private let signals: Signals
    private var watch: FileWatch?
    private let workers: WorkerPool
    private let writer: LogWriter
    private var log: EventLog
    private var reload: Reload
    private var reloadAt = Instant.never
    private var isReloadAsked = false
    private var isLeaving = false

    init(source: ConfigurationSource, settings: Settings) throws(SystemError) {
        // Whatever can fail comes first, so that a half-made loop never has to be taken apart.
        let signals = try Signals()
        let writer = try LogWriter(path: settings.log.file)
        let count = settings.workers > 0 ? settings.workers : usableProcessors()
        let opened = try Listening.open(settings.listeners, workers: count)
        workers = try WorkerPool(
            count: count, settings.snapshot(generation: 1), sockets: opened.sockets, log: writer)
        self.signals = signals
        self.writer = writer
        log = EventLog(writer: writer, level: settings.log.level)
        reload = Reload(source: source, settings: settings)
        watch = Self.watch(source)
        // The file may have changed since it was read, before anybody watched it.
        reloadAt = Clock.now() + Self.gathering
        for (listener, address) in zip(settings.listeners, opened.addresses) {
            log.write(.info, "listening", ["listener": .text(listener.name), "address": .text(address.description)])
        }
        log.write(
            .info, "started",
            [
                "version": .text(hdproxyVersion), "pid": .count(Int(getpid())), "workers": .count(count),
                "generation": .count(1),
            ])
    }

    private static func watch(_ source: ConfigurationSource) -> FileWatch? {
        guard case .file(let path) = source else { return nil }
        // Without it SIGHUP still reloads.
        return try? FileWatch(path: path)
    }

    /// Waits and acts until the process may end; its exit status.
    mutating func run() -> Int32 {
        releaseStartupPages()
        while true {
            waitForSomething()
            while let signal = signals.next() {
                if let status = act(on: signal) { return status }
            }
            if reloadAt <= Clock.now() {
                reloadAt = .never
                reload.run(workers, &log, isAsked: isReloadAsked)
                isReloadAsked = false
            }
            if let report = workers.finalReport() { return leave(report) }
        }
    }

    private mutating func waitForSomething() {
        let ready = Int16(POLLIN)
        var waits = [
            pollfd(fd: signals.number, events: ready, revents: 0),
            pollfd(fd: workers.left.number, events: ready, revents: 0),
            pollfd(fd: watch?.number ?? -1, events: ready, revents: 0),
        ]
        var timeout: Int32 = -1
        if reloadAt != .never {
            timeout = Int32(max(0, (reloadAt - Clock.now()).nanoseconds / 1_000_000 + 1))
        }
        // Safety: as many as are said.
        _ = unsafe poll(&waits, nfds_t(waits.count), timeout)
        if waits[2].revents != 0 {
            watch?.clear()
            if !isLeaving { scheduleReload() }
        }
    }

    /// Changes and signals that come close together are one reload.
    private mutating func scheduleReload() {
        if reloadAt == .never { reloadAt = Clock.now() + Self.gathering }
    }

    private mutating func act(on signal: Int32) -> Int32? {
        switch signal {
        case SIGHUP:
            if isLeaving { break }
            isReloadAsked = true
            scheduleReload()
        case SIGUSR1: writer.reopen()
        default:
            if isLeaving {
                log.write(.warn, "exit", ["reason": .text("second signal")])
                writer.end()
                return 1
            }
            isLeaving = true
            reloadAt = .never
            let drain = reload.settings.drain
            log.write(
                .info, "draining",
                ["signal": .text(signal == SIGINT ? "SIGINT" : "SIGTERM"), "timeout": .text("\(drain.timeout)")])
            workers.drain(drain)
        }
        return nil
    }

    /// All workers have left.
    private func leave(_ report: WorkerReport) -> Int32 {
        let counters = report.counters
        log.write(
            report.cutExchanges > 0 ? .warn : .info, "stopped",
            [
                "requests": .count(Int(clamping: counters.requests)),
                "connections": .count(Int(clamping: counters.acceptedConnections)),
                "rejected": .count(Int(clamping: counters.rejected)),
                "cut_requests": .count(report.cutExchanges), "cut_tunnels": .count(report.cutTunnels),
            ])
        writer.end()
        return report.cutExchanges > 0 ? 1 : 0
    }
}
