// What if the configuration changes? It is read whole; a valid one becomes the next generation, without touching a
// connection; an invalid one is refused, logged and counted, and the old one stays.

import ProxyCore

/// The configuration that is served, and how it is replaced.
struct Reload {
    private let source: ConfigurationSource
    /// What is served.
    private(set) var settings: Settings
    private var generation: UInt64 = 1
    /// How often each outcome came, for `hdproxy_config_reloads_total{outcome}`.
    private(set) var counts = (applied: 0, unchanged: 0, refused: 0)

    /// Serves `settings`, which came from `source`.
    init(source: ConfigurationSource, settings: Settings) {
        self.source = source
        self.settings = settings
    }

    /// Reads the configuration again and acts on it. Where nobody asked for it (`isAsked`), because the folder has
    /// other files that change, an unchanged one is no event.
    mutating func run(_ workers: WorkerPool, _ log: inout EventLog, isAsked: Bool) {
        guard case .file(let path) = source else { return }
        switch loadConfiguration(path: path) {
        case .failure(let problems): refuse(problems.lines, &log)
        case .success(let new) where new == settings:
            guard isAsked else { return }
            counts.unchanged += 1
            log.write(.info, "reload", ["outcome": .text("unchanged"), "generation": .count(Int(generation))])
        case .success(let new): adopt(new, workers, &log)
        }
    }

    private mutating func adopt(_ new: Settings, _ workers: WorkerPool, _ log: inout EventLog) {
        var fixed: [String] = []
        if new.workers != settings.workers {
            fixed.append("workers: the number of workers cannot change while they run")
        }
        if new.log.file != settings.log.file {
            fixed.append("log.file: the log's file cannot change while it is written")
        }
        guard fixed.isEmpty else { return refuse(fixed, &log) }

        let added = new.listeners.filter { !settings.listeners.contains($0) }
        let removed = settings.listeners.filter { !new.listeners.contains($0) }
        let opened: Listening.Opened
        do throws(SystemError) {
            opened = try Listening.open(added, workers: workers.count)
        } catch {
            return refuse([error.description], &log)
        }
        generation += 1
        counts.applied += 1
        settings = new
        workers.adopt(new.snapshot(generation: generation), added: opened.sockets, removed: removed)
        log.level = new.log.level
        for (listener, address) in zip(added, opened.addresses) {
            log.write(.info, "listening", ["listener": .text(listener.name), "address": .text(address.description)])
        }
        log.write(
            .info, "reload",
            [
                "outcome": .text("applied"), "generation": .count(Int(generation)), "applied": .count(counts.applied),
                "refused": .count(counts.refused),
            ])
    }

    private mutating func refuse(_ lines: [String], _ log: inout EventLog) {
        counts.refused += 1
        for line in lines { log.write(.error, "reload_problem", ["problem": .text(line)]) }
        log.write(
            .error, "reload",
            [
                "outcome": .text("refused"), "generation": .count(Int(generation)), "applied": .count(counts.applied),
                "refused": .count(counts.refused),
            ])
    }
}
