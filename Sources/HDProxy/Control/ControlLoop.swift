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

    private let signals: Signals
    private var watch: FileWatch?
    let workers: WorkerPool
    private let writer: LogWriter
    var log: EventLog
    var reload: Reload
    private let reloadAsked = Gate()
    private var isReloadBySignal = false
    private var isLeaving = false
    private let end = Gate()
    private var status: Int32 = 0

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
        // Without it SIGHUP still reloads.
        if case .file(let path) = source { watch = try? FileWatch(path: path) }
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

    /// Serves until the process may end; its exit status.
    func run() async -> Int32 {
        releaseStartupPages()
        ControlThread.spawn { [self] in await followSignals() }
        ControlThread.spawn { [self] in await followFile() }
        ControlThread.spawn { [self] in await followReloads() }
        ControlThread.spawn { [self] in await followWorkers() }
        // The file may have changed since it was read, before anybody watched it.
        reloadAsked.open()
        await end.passed()
        writer.end()
        return status
    }

    private func finish(_ status: Int32) {
        self.status = status
        end.open()
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
            guard !isLeaving else {
                log.write(.warn, "exit", ["reason": .text("second signal")])
                return finish(1)
            }
            drain(because: signal == SIGINT ? "SIGINT" : "SIGTERM")
        }
    }

    private func drain(because reason: String) {
        isLeaving = true
        let drain = reload.settings.drain
        log.write(.info, "draining", ["signal": .text(reason), "timeout": .text("\(drain.timeout)")])
        workers.drain(drain)
    }

    private func followFile() async {
        guard watch != nil else { return }
        while await ControlThread.readable(watch?.number ?? -1) == .ready {
            watch?.clear()
            reloadAsked.open()
        }
    }

    /// Changes and signals that come close together are one reload.
    private func followReloads() async {
        while true {
            await reloadAsked.passed()
            _ = await ControlThread.sleep(until: Clock.now() + Self.gathering)
            reloadAsked.close()
            if isLeaving { return }
            let isAsked = isReloadBySignal
            isReloadBySignal = false
            reload.run(workers, &log, isAsked: isAsked)
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
