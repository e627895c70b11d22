// What does a handoff mean for this process? As a successor it takes over sockets at its start; as a predecessor it has its
// workers stop, waits whether the successor lives, and goes on or finishes. When, is decided in `Giving` and `Taking`.

import Discovery
import Glibc
import ProxyCore

/// How often each outcome came, for `hdproxy_handoff_total{outcome}`.
struct HandoffCounts: Equatable, Sendable {
    /// A successor was given everything, and was told to accept.
    var given = 0
    /// A predecessor's place was taken.
    var taken = 0
    /// A successor failed, and this process accepted again.
    var takenBack = 0
    /// There was a predecessor, and this process had to start without its sockets.
    var failed = 0
    /// Somebody asked who could not be given anything, or said nothing of use.
    var refused = 0
}

/// What a takeover has brought beside listeners.
@ControlThread
final class TakenOver {
    /// The connection on which the predecessor watches.
    let predecessor: HandoffConnection
    /// The admin listener; nil: none that the configuration has a use for.
    let admin: HeldDescriptor?
    /// The handoff socket.
    let handoff: HeldDescriptor?
    /// Listeners that the configuration does not have: who waits there is served, nobody else.
    var dropped: ListeningStock

    init(
        predecessor: HandoffConnection, admin: HeldDescriptor?, handoff: HeldDescriptor?, dropped: ListeningStock
    ) {
        self.predecessor = predecessor
        self.admin = admin
        self.handoff = handoff
        self.dropped = dropped
    }
}

extension ControlLoop {
    /// Whether another process has our place.
    var isHandedOver: Bool { handoff?.giving.isHandedOver ?? false }

    /// Follows another name, or watches successors for another time, from now on.
    func adopt(handoff settings: HandoffSettings) {
        handoff?.adopt(confirm: settings.confirm)
        handoff?.listen(settings.socket)
    }

    // MARK: Following

    /// Takes the place of a process that serves, where there is one; nil: there is none, or it does not give.
    func takeOver() async -> TakenOver? {
        let path = settings.handoff.socket
        if path.isEmpty { return nil }
        var sorted: Sorted?
        var process = 0
        var client = HandoffClient(path)
        let takeover = await client.takeOver(
            isWanted: { phase == .starting },
            prepare: { gift in
                process = gift.process
                sorted = sort(gift)
                return sorted?.dropped.entries.map(\.address.description)
            })
        switch takeover {
        case .taken(let connection, let counters, let ticketKeys):
            guard let sorted, phase == .starting else {
                // The predecessor sees the end, and goes on.
                connection.close()
                return nil
            }
            stock = sorted.kept
            handoffs.taken += 1
            inherited = counters
            tls.inherit(ticketKeys)
            workers.secure(tls.provision)
            log.write(.info, "taken_over", ["pid": .count(process)])
            return TakenOver(
                predecessor: connection, admin: sorted.admin, handoff: sorted.handoff, dropped: sorted.dropped)
        case .alone(.nobody): return nil
        case .alone(let ending):
            handoffs.failed += 1
            log.write(.error, "handoff_failed", ["socket": .text(path), "reason": .text(ending.text)])
            return nil
        }
    }

    /// What came, sorted by what the configuration has a use for.
    private struct Sorted {
        var kept = ListeningStock()
        var dropped = ListeningStock()
        var admin: HeldDescriptor?
        var handoff: HeldDescriptor?
    }

    /// Sorts a gift and binds what it lacks; nil where something is no listening socket, or cannot be bound.
    private func sort(_ gift: HandoffGift) -> Sorted? {
        var sorted = Sorted()
        var given = ListeningStock()
        for (place, descriptor) in gift.descriptors {
            guard descriptor.isListening else { return nil }
            switch place.kind {
            case .handoff: sorted.handoff = descriptor
            case .admin: if place.configured == settings.admin.address?.description { sorted.admin = descriptor }
            case .listener:
                guard let address = descriptor.address, let configured = NetworkAddress(place.configured) else {
                    return nil
                }
                let spec = ListenerSpec(name: place.name, address: configured)
                if let at = given.entries.firstIndex(where: { $0.spec == spec && $0.address == address }) {
                    given.entries[at].sockets.append(descriptor)
                } else {
                    given.entries.append(.init(spec: spec, address: address, sockets: [descriptor]))
                }
            }
        }
        for spec in settings.listeners {
            let found = given.entries.firstIndex {
                $0.address == spec.address || (spec.address.port == 0 && $0.spec == spec)
            }
            guard let found else { continue }
            var entry = given.entries.remove(at: found)
            entry.spec = spec
            sorted.kept.entries.append(entry)
        }
        sorted.dropped = given
        do throws(SystemError) {
            try bindMissing(in: &sorted.kept)
        } catch {
            log.write(.error, "handoff_failed", ["reason": .text(error.description)])
            return nil
        }
        return sorted
    }

    /// Binds the listeners that there are no sockets for yet.
    func bindMissing() throws(SystemError) {
        var all = stock
        try bindMissing(in: &all)
        stock = all
    }

    private func bindMissing(in kept: inout ListeningStock) throws(SystemError) {
        for spec in settings.listeners where !kept.entries.contains(where: { $0.spec == spec }) {
            if let bound = stock.entries.first(where: { $0.spec == spec }) {
                kept.entries.append(bound)
            } else {
                kept.entries += try ListeningStock.bind([spec], workers: workers.count).entries
            }
        }
    }

    /// Uses what a takeover brought, or begins to be found by a successor without it.
    func use(_ taken: TakenOver?, _ server: HandoffServer) {
        guard let taken else { return server.listen(settings.handoff.socket) }
        if let copies = try? taken.dropped.copies(for: 1), let sockets = copies.first, !sockets.isEmpty {
            let specs = taken.dropped.entries.map(\.spec)
            // Our own descriptors go first: the last one that is closed is the worker's, which has looked who waits.
            taken.dropped = ListeningStock()
            let snapshot = settings.snapshot(generation: generation) { discovery.endpoints(of: $0) }
            workers.adopt(snapshot, added: [sockets], removed: specs)
        }
        if let admin = try? taken.admin?.copy() { self.admin?.take(admin) }
        if let handoff = try? taken.handoff?.copy() {
            server.take(handoff, settings.handoff.socket)
        } else {
            server.listen(settings.handoff.socket)
        }
        predecessor = taken.predecessor
        let connection = taken.predecessor
        ControlThread.spawn { [weak self] in
            // It says nothing more: its end tells that it does not watch any longer.
            _ = await connection.receive(until: .never)
            connection.close()
            if self?.predecessor === connection { self?.predecessor = nil }
        }
    }
}

extension ControlLoop: HandoffOwner {
    var handoffPlaces: [(place: HandoffPlace, number: Int32)] {
        var places: [(place: HandoffPlace, number: Int32)] = []
        for entry in stock.entries {
            let place = HandoffPlace(
                kind: .listener, name: entry.spec.name, configured: entry.spec.address.description,
                address: entry.address.description)
            places += entry.sockets.map { (place, $0.number) }
        }
        if let number = admin?.number {
            let configured = settings.admin.address?.description ?? ""
            places.append((HandoffPlace(kind: .admin, configured: configured), number))
        }
        if let number = handoff?.number { places.append((HandoffPlace(kind: .handoff), number)) }
        return places
    }

    func stopAccepting() async -> Bool {
        admin?.pauseAddress()
        workers.letGo()
        let gate = Gate()
        let reply = TelemetryReply(workers.count) { _ in ControlThread.spawn { gate.open() } }
        workers.report(to: reply)
        let limit = ControlThread.spawn {
            if await ControlThread.sleep(until: Clock.now() + Giving.stoppingTakes) == .timedOut { reply.finish() }
        }
        await gate.passed()
        limit.cancel()
        for (worker, told) in reply.arrived { lastTold[worker] = told }
        return reply.isComplete
    }

    func countersToPassOn() async -> InheritedCounters { MetricsText.counters(figures(of: lastTold)).bounded }

    func drop(addresses: [String]) {
        let unused = stock.entries.filter { addresses.contains($0.address.description) }.map(\.spec)
        forgone = unused
        stock.remove(unused)
    }

    func handedOver(to process: Int, version: String) {
        phase = .handedOver
        handoffs.given += 1
        predecessor?.sendNow(.passedOn)
        predecessor = nil
        log.write(
            .info, "handed_over",
            [
                "pid": .count(process), "version": .text(version),
                "confirm": .text(DurationText.write(settings.handoff.confirm)),
            ])
    }

    func turnedAway(_ reason: String) {
        handoffs.refused += 1
        log.write(.warn, "handoff_refused", ["reason": .text(reason)])
    }

    func act(_ action: Giving.Action) {
        switch action {
        case .takeBack(let failure): takeBack(because: failure)
        case .closeCopies:
            stock.entries = []
            admin?.closeAddress()
        case .finish:
            log.write(.info, "handoff_over", [:])
            finishWhatIsLeft()
        case .drain: drain(because: leavingBecause)
        case .exit: exitNow()
        case .refuse, .offer, .stopAccepting, .confirm, .drop: break
        }
    }

    /// Accepts again: nobody else does.
    private func takeBack(because failure: Giving.Failure) {
        handoffs.takenBack += 1
        do throws(SystemError) {
            let anew = try ListeningStock.bind(forgone, workers: workers.count)
            try anew.listen()
            stock.entries += anew.entries
        } catch {
            log.write(.error, "listener_lost", ["reason": .text(error.description)])
        }
        forgone = []
        do throws(SystemError) {
            let snapshot = settings.snapshot(generation: generation) { discovery.endpoints(of: $0) }
            workers.adopt(snapshot, added: try stock.copies(for: workers.count))
        } catch {
            // Without descriptors to copy there is nothing to accept with; whoever starts next finds nobody.
            log.write(.error, "exit", ["reason": .text(error.description)])
            return finish(1)
        }
        admin?.resumeAddress()
        phase = .serving
        log.write(.error, "taken_back", ["reason": .text(failure.rawValue)])
        readAgain()
    }
}

extension Taking.Ending {
    /// It, for the log.
    var text: String {
        switch self {
        case .nobody: "nobody is there"
        case .stranger: "another user's process has the socket"
        case .refused(let reason): "refused: \(reason)"
        case .silent: "the predecessor does not answer"
        case .strange: "the predecessor says what has no meaning here"
        case .unprepared: "what is needed besides cannot be had"
        }
    }
}
