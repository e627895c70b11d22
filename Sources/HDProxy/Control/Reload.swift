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

    private static let handedOver = "the process has handed over to another one"

    /// Reads the configuration again and acts on it. Where nobody asked for it (`isAsked`), because the folder has
    /// other files that change, an unchanged one is no event.
    @discardableResult
    func reload(isAsked: Bool) async -> ReloadOutcome {
        // One at a time: a signal, the file and the admin listener may ask while another reload waits for discovery, and
        // each has to compare the file with what the one before it has left.
        let reload = Reloading(after: lastReload) { [self] in await reloadNow(isAsked: isAsked) }
        lastReload = reload
        return await reload.outcome()
    }

    private func reloadNow(isAsked: Bool) async -> ReloadOutcome {
        // Listeners that are on their way from one process to another stay what they are.
        await opening.passed()
        await handoff?.settled()
        if phase == .draining { return refuse(["the process is draining"]) }
        if isHandedOver { return isAsked ? refuse([Self.handedOver]) : .unchanged(generation: generation) }
        guard case .file(let path) = source else { return .unchanged(generation: generation) }
        switch loadConfiguration(path: path) {
        // Somebody is in the middle of writing them, as likely as not.
        case .failure(let problems) where problems.areOfNamedFiles && !isAsked:
            return refuseCertificates(problems.lines)
        case .failure(let problems): return refuse(problems.lines)
        case .success(let new) where new == settings:
            if isAsked {
                reloads.unchanged += 1
                log.write(.info, "reload", ["outcome": .text("unchanged"), "generation": .count(Int(generation))])
            }
            return .unchanged(generation: generation)
        case .success(let new) where new.withMaterial(of: settings) == settings: return adoptCertificates(of: new)
        case .success(let new): return await adopt(new)
        }
    }

    private func adopt(_ new: Settings) async -> ReloadOutcome {
        isReloading = true
        defer { isReloading = false }
        let fixed = whatCannotChange(new)
        guard fixed.isEmpty else { return refuse(fixed) }
        let added = new.listeners.filter { !settings.listeners.contains($0) }
        let removed = settings.listeners.filter { !new.listeners.contains($0) }
        let opened: ListeningStock
        let copies: [[ListeningSocket]]
        let wasListening = isListening
        let terms: TLSKeeper.Prepared
        do throws(TLSError) {
            terms = try tls.prepare(new)
        } catch {
            return refuse([error.description])
        }
        do throws(SystemError) {
            let former = stock.entries.filter { removed.contains($0.spec) }
            opened = try ListeningStock.bind(added, workers: workers.count, insteadOf: former)
            if wasListening { try opened.listen() }
            copies = wasListening ? try opened.copies(for: workers.count) : []
        } catch {
            return refuse([error.description])
        }
        do throws(Refusal) {
            try adopt(admin: new.admin)
        } catch {
            ListeningStock.close(copies)
            return refuse([error.text])
        }
        // Before the wait: a start may be over behind it, and listens on what is there by then.
        if !wasListening { replace(removed, with: opened) }
        await discover(new)
        if isHandedOver {
            ListeningStock.close(copies)
            return refuse([Self.handedOver])
        }

        generation += 1
        reloads.applied += 1
        settings = new
        let snapshot = new.snapshot(generation: generation) { discovery.endpoints(of: $0) }
        // Our own descriptors go first: the last one that is closed is a worker's, which has looked who waits.
        if wasListening { replace(removed, with: opened) }
        tls.adopt(terms)
        watchFiles(of: new)
        warnOfExpiry()
        workers.adopt(snapshot, terms: tls.provision, added: copies, removed: removed)
        adopt(handoff: new.handoff)
        log.level = new.log.level
        if wasListening { tell(opened) }
        log.write(
            .info, "reload",
            [
                "outcome": .text("applied"), "generation": .count(Int(generation)),
                "applied": .count(reloads.applied), "refused": .count(reloads.refused),
            ])
        return .applied(generation: generation)
    }

    /// Asks for the services of `new`. One that is new should not begin with a 503 that a few milliseconds of patience
    /// would save; and what is served until then is served as before: services that are dropped are still followed, and
    /// of those that live elsewhere from now on, the old place is not emptied before the new one may be known.
    private func discover(_ new: Settings) async {
        let former = settings.serviceSpecs
        let specs = new.serviceSpecs
        let dropped = former.filter { old in !specs.contains { $0.name == old.name } }
        workers.hold(
            changesOf: Set(former.filter { old in specs.contains { $0.name == old.name && $0 != old } }.map(\.name)))
        discovery.update(settings: new.discovery, services: specs + dropped)
        _ = await discovery.firstAnswer(until: Clock.now() + Self.patience)
        discovery.update(settings: new.discovery, services: specs)
        workers.hold(changesOf: [])
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

/// A reload that waits for the one before it.
@ControlThread
final class Reloading {
    private let over = Gate()
    private var result = ReloadOutcome.refused([])

    /// Has `body` run once `former` is over.
    init(after former: Reloading?, _ body: @escaping @ControlThread () async -> ReloadOutcome) {
        ControlThread.spawn { [self] in
            _ = await former?.outcome()
            result = await body()
            over.open()
        }
    }

    /// Whether it is over.
    var isOver: Bool { over.isOpen }

    /// What became of it, once it is over.
    func outcome() async -> ReloadOutcome {
        await over.passed()
        return result
    }
}
