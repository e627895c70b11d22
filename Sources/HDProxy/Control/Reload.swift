// What if the configuration changes? It is read whole; a valid one becomes the next generation, without touching a
// connection; an invalid one is refused, logged and counted, and the old one stays.

import Discovery
import ProxyCore

/// How often each outcome came, for `hdproxy_config_reloads_total{outcome}`.
struct ReloadCounts: Equatable, Sendable {
    var applied = 0
    var unchanged = 0
    var refused = 0
}

extension ControlLoop {
    /// For how long a service that a reload brings may be looked for before the reload goes on without it.
    private static let patience = Instant.Span.milliseconds(1000)

    /// Reads the configuration again and acts on it. Where nobody asked for it (`isAsked`), because the folder has
    /// other files that change, an unchanged one is no event.
    @discardableResult
    func reload(isAsked: Bool) async -> ReloadOutcome {
        guard case .file(let path) = source else { return .unchanged(generation: generation) }
        switch loadConfiguration(path: path) {
        case .failure(let problems): return refuse(problems.lines)
        case .success(let new) where new == settings:
            if isAsked {
                reloads.unchanged += 1
                log.write(.info, "reload", ["outcome": .text("unchanged"), "generation": .count(Int(generation))])
            }
            return .unchanged(generation: generation)
        case .success(let new): return await adopt(new)
        }
    }

    private func adopt(_ new: Settings) async -> ReloadOutcome {
        let fixed = whatCannotChange(new)
        guard fixed.isEmpty else { return refuse(fixed) }
        let added = new.listeners.filter { !settings.listeners.contains($0) }
        let removed = settings.listeners.filter { !new.listeners.contains($0) }
        let opened: Listening.Opened
        do throws(SystemError) {
            opened = try Listening.bind(added, workers: workers.count)
            if isListening { try Listening.listen(opened) }
        } catch {
            return refuse([error.description])
        }
        do throws(Refusal) {
            try adopt(admin: new.admin)
        } catch {
            Listening.close(opened.sockets)
            return refuse([error.text])
        }
        // A service that is new should not begin with a 503 that a few milliseconds of patience would save.
        discovery.update(settings: new.discovery, services: new.serviceSpecs)
        _ = await discovery.firstAnswer(until: Clock.now() + Self.patience)

        generation += 1
        reloads.applied += 1
        settings = new
        let snapshot = new.snapshot(generation: generation) { discovery.endpoints(of: $0) }
        workers.adopt(snapshot, added: isListening ? opened.sockets : [], removed: removed)
        if !isListening { hold(opened, without: removed) }
        log.level = new.log.level
        tell(added, opened.addresses)
        log.write(
            .info, "reload",
            [
                "outcome": .text("applied"), "generation": .count(Int(generation)),
                "applied": .count(reloads.applied), "refused": .count(reloads.refused),
            ])
        return .applied(generation: generation)
    }

    private func whatCannotChange(_ new: Settings) -> [String] {
        var fixed: [String] = []
        if new.workers != settings.workers {
            fixed.append("workers: the number of workers cannot change while they run")
        }
        if new.log.file != settings.log.file {
            fixed.append("log.file: the log's file cannot change while it is written")
        }
        return fixed
    }

    private func refuse(_ lines: [String]) -> ReloadOutcome {
        reloads.refused += 1
        for line in lines { log.write(.error, "reload_problem", ["problem": .text(line)]) }
        log.write(
            .error, "reload",
            [
                "outcome": .text("refused"), "generation": .count(Int(generation)),
                "applied": .count(reloads.applied), "refused": .count(reloads.refused),
            ])
        return .refused(lines)
    }
}
