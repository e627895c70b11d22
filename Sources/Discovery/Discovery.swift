// Where does each service live right now? The face that discovery shows to the rest of the process: it has the witnesses
// run, gives what they say to the reconciler, tells what has changed, and keeps it for the next start. It decides
// nothing itself.
//
//     KubernetesSource ─┐ Testimony                usable
//     DNSSource ────────┼───────────► Reconciler ──────────► Caretaker ──┬─► changed: to the workers
//     last known good ──┘                 │             ▲ ▲              └─► note: to the log
//                     StateKeeper ◄───────┘      Prober ┘ └ Sightings of the workers

import ProxyCore

/// Discovery of all services of one process.
@ControlThread
public final class Discovery {
    /// How soon after a change the state is kept. Changes that follow meanwhile are kept with it.
    static let keepingTakes = Instant.Span.milliseconds(500)

    private var settings: DiscoverySettings
    private(set) var services: [ServiceSpec] { didSet { probedServices = Self.probed(services) } }
    /// Those of them whose endpoints are probed, by name.
    private var probedServices: [String: ServiceSpec]
    private let makers: SourceMakers
    private let changed: @ControlThread ([EndpointsChange]) -> Void
    private let note: @ControlThread (Notice) -> Void

    private(set) var reconciler: Reconciler
    var caretaker: Caretaker
    private(set) lazy var prober = Prober(
        version: version, changed: { [weak self] in self?.probed($0) }, ghost: { [weak self] in self?.probeMet($0) })
    private let version: String
    private var kubernetes: Running?
    private var dns: Running?
    private var keeper: StateKeeper?

    private var isRunning = false
    private var alarm: (at: Instant, task: Task<Void, Never>)?
    private var keepingDue: Instant?
    private var naps: [Task<Void, Never>] = []

    /// A witness, and the task that asks it while discovery runs.
    private struct Running {
        var source: any EndpointSource
        /// Tells its words from those of one that it has replaced.
        var number: UInt64
        var task: Task<Void, Never>?
    }
    private var lastNumber: UInt64 = 0
    /// The witness that is being made: it may tell something at once.
    private var making: UInt64?

    /// Discovery of `services`. Reads what an earlier process knew from the state directory, which blocks for as long as
    /// the disk takes, and asks nobody before ``run()``. `changed` hears which services are answered by others from then
    /// on, `note` what is worth a line in the log; both are called within the turn in which it was heard.
    /// `place` is where this process runs, `version` what probes say of it.
    public init(
        settings: DiscoverySettings, services: [ServiceSpec], place: Place = Place(), version: String = "0",
        changed: @escaping @ControlThread ([EndpointsChange]) -> Void,
        note: @escaping @ControlThread (Notice) -> Void, makers: SourceMakers = .real
    ) {
        self.settings = settings
        self.services = services
        probedServices = Self.probed(services)
        self.makers = makers
        self.changed = changed
        self.note = note
        let kept = settings.stateDirectory.flatMap { Self.read($0, note: note) }
        self.version = version
        let now = Clock.now()
        reconciler = Reconciler(
            services: services, staleAfter: settings.staleAfter, kept: kept, place: place, now: now,
            wallMicroseconds: Clock.wallMicroseconds())
        caretaker = Caretaker(services)
        var turn = Caretaker.Turn()
        for service in services {
            let endpoints = reconciler.endpoints(of: service.name)
            caretaker.take(
                EndpointsChange(service: service.name, endpoints: endpoints), known: [], now: now, &turn)
        }
    }

    private static func probed(_ services: [ServiceSpec]) -> [String: ServiceSpec] {
        Dictionary(services.lazy.filter { $0.care.health != nil }.map { ($0.name, $0) }) { first, _ in first }
    }

    private static func read(_ directory: String, note: @ControlThread (Notice) -> Void) -> KeptState? {
        let file = "\(directory)/\(LastKnownGood.fileName)"
        switch LastKnownGood.read(directory: directory) {
        case .nothing: return nil
        case .refused(let reason):
            note(Notice(.error, "state_refused", ["file": file, "reason": reason]))
            return nil
        case .known(let state):
            let written = CivilTime.timestamp(wallMicroseconds: state.writtenMicroseconds)
            note(Notice(.info, "state_read", ["file": file, "written": written]))
            return state
        }
    }

    // MARK: What is known

    /// Who can answer for `service` now, those that are held back marked; before any answer of the network, its configured
    /// addresses or the last known good ones.
    public func endpoints(of service: String) -> [Endpoint] { caretaker.endpoints(of: service) }

    /// Whether something is known of each service.
    public var hasFirstAnswer: Bool { reconciler.hasFirstAnswer }

    /// What is missing for that, a line for each service.
    public var missing: [String] { reconciler.missing }

    /// Waits until something is known of each service; false where `deadline` or the end of the task comes first.
    public func firstAnswer(until deadline: Instant = .never) async -> Bool {
        await wait(until: deadline) { hasFirstAnswer }
    }

    /// Waits until `condition` holds, which is asked again whenever something was told.
    func wait(until deadline: Instant, _ condition: @ControlThread () -> Bool) async -> Bool {
        while !condition() {
            if Task.isCancelled || Clock.now() >= deadline { return false }
            let nap = ControlThread.spawn { _ = await ControlThread.sleep(until: deadline) }
            naps.append(nap)
            await Self.value(of: nap)
            naps.removeAll { $0 == nap }
        }
        return true
    }

    /// Has all who wait look again.
    func endNaps() {
        for nap in naps { nap.cancel() }
        naps = []
    }

    private static func value(of task: Task<Void, Never>) async {
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }

    /// Everything that is known, for people.
    public var view: [ServiceView] {
        reconciler.view(now: Clock.now(), wallMicroseconds: Clock.wallMicroseconds()).map(withCare)
    }

    /// Everything that is known of `service`; nil where there is no such service.
    public func view(of service: String) -> ServiceView? {
        reconciler.view(of: service, now: Clock.now(), wallMicroseconds: Clock.wallMicroseconds()).map(withCare)
    }

    /// About how many addresses of each service witnesses disagree now.
    public var disagreementCounts: [(service: String, count: Int)] { reconciler.disagreementCounts }

    /// How each witness that is used is doing: `static`, `kubernetes`, `dns`.
    public var sources: [SourceStatus] {
        var all: [SourceStatus] = []
        if services.contains(where: { !$0.addresses.isEmpty }) {
            var status = SourceStatus(name: "static")
            status.synced = true
            all.append(status)
        }
        if let kubernetes {
            var status = kubernetes.source.status
            status.stale = status.stale || reconciler.isKubernetesStale(now: Clock.now())
            all.append(status)
        }
        if let dns {
            var status = dns.source.status
            status.stale = status.stale || reconciler.isDNSStale
            all.append(status)
        }
        return all
    }

    /// How often what is known could not be written to the state directory.
    public var keepingFailures: Int { keeper?.failures ?? 0 }

    // MARK: Running

    /// Asks and tells until it is cancelled.
    public func run() async {
        precondition(!isRunning, "discovery runs once at a time")
        isRunning = true
        startKeeper()
        startSources(anew: false)
        for service in probedServices.values { probeEndpoints(of: service) }
        let probing = ControlThread.spawn { [prober] in await prober.run() }
        setAlarm()
        while await ControlThread.sleep(until: .never) != .cancelled {}
        isRunning = false
        alarm?.task.cancel()
        alarm = nil
        let tasks = [kubernetes?.task, dns?.task, probing].compactMap { $0 }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        kubernetes?.task = nil
        dns?.task = nil
        keepTheLast()
    }

    /// Keeps what was not written yet, as the process ends. Waits for the disk, for a second at most.
    public func keepTheLast(within milliseconds: Int32 = 1000) {
        if keepingDue != nil { keepNow() }
        keeper?.end(within: milliseconds)
        keeper = nil
    }

    /// The configuration has changed. What is known stays wherever it is about the same reference; the witnesses are
    /// asked anew where the `discovery` section differs. Tells what has changed before it returns.
    public func update(settings next: DiscoverySettings, services: [ServiceSpec]) {
        let before = settings
        settings = next
        self.services = services
        let now = Clock.now()
        let turn = reconciler.update(
            services, staleAfter: next.staleAfter, now: now, wallMicroseconds: Clock.wallMicroseconds())
        let care = caretaker.update(services, now: now)
        if isRunning {
            if next.stateDirectory != before.stateDirectory {
                keeper?.end()
                startKeeper()
            }
            let isOtherCluster = next.cluster != before.cluster
            startSources(anew: isOtherCluster || next.dnsServers != before.dnsServers, isOtherCluster: isOtherCluster)
        }
        prober.update(services.flatMap(probeTargets))
        tell(turn, care)
    }

    /// Starts the witnesses that are needed and not there, ends those that are not needed any more, and tells the others
    /// for what to ask. `anew`: all of them are others now.
    private func startSources(anew: Bool, isOtherCluster: Bool = false) {
        if anew { reconciler.kubernetesStartsAnew(isOtherCluster: isOtherCluster) }
        kubernetes = start(
            kubernetes, anew: anew, isNeeded: services.contains { $0.kubernetes != nil }, maker: makers.kubernetes)
        dns = start(dns, anew: anew, isNeeded: services.contains { $0.dns != nil }, maker: makers.dns)
    }

    private func start(_ old: Running?, anew: Bool, isNeeded: Bool, maker: SourceMakers.Maker) -> Running? {
        if anew || !isNeeded { old?.task?.cancel() }
        guard isNeeded else { return nil }
        if !anew, var running = old {
            running.source.update(services)
            if running.task == nil { running.task = ask(running.source) }
            return running
        }
        lastNumber += 1
        let number = lastNumber
        making = number
        defer { making = nil }
        let source = maker(
            settings, services, { [weak self] in self?.hear($0, from: number) }, { [weak self] in self?.note($0) })
        guard let source else { return nil }
        return Running(source: source, number: number, task: ask(source))
    }

    private func ask(_ source: any EndpointSource) -> Task<Void, Never> {
        ControlThread.spawn {
            // A witness asks until it is cancelled; one that gives up is asked to go on.
            while !Task.isCancelled {
                await source.run()
                _ = await ControlThread.sleep(for: .seconds(1))
            }
        }
    }

    private func hear(_ testimony: Testimony, from number: UInt64) {
        guard number == kubernetes?.number || number == dns?.number || number == making else { return }
        tell(
            reconciler.hear(testimony, now: Clock.now(), wallMicroseconds: Clock.wallMicroseconds()))
    }

    private func tell(_ turn: Reconciler.Turn, _ care: Caretaker.Turn = Caretaker.Turn()) {
        for notice in turn.notices { note(notice) }
        var care = care
        let now = Clock.now()
        for change in turn.changes {
            caretaker.take(change, known: reconciler.known(of: change.service), now: now, &care)
        }
        for change in turn.changes {
            if let service = probedServices[change.service] { probeEndpoints(of: service) }
        }
        tell(care)
        if turn.isWorthKeeping, keeper != nil, keepingDue == nil { keepingDue = Clock.now() + Self.keepingTakes }
        endNaps()
        setAlarm()
    }

    /// Tells what care has changed.
    func tell(_ care: Caretaker.Turn) {
        for event in care.events { note(notice(of: event)) }
        if !care.changes.isEmpty { changed(care.changes) }
    }

    // MARK: Time

    /// Has somebody wake up for the next deadline. One that is set too early only looks and sets the next.
    func setAlarm() {
        guard isRunning else { return }
        let next = min(reconciler.nextDeadline, caretaker.nextDeadline, keepingDue ?? .never)
        if let alarm, alarm.at <= next { return }
        alarm?.task.cancel()
        alarm = nil
        guard next != .never else { return }
        alarm = (
            next,
            ControlThread.spawn { [weak self] in
                if await ControlThread.sleep(until: next) == .timedOut { self?.alarmRang(at: next) }
            }
        )
    }

    private func alarmRang(at time: Instant) {
        guard alarm?.at == time else { return }
        alarm = nil
        let now = Clock.now()
        if let due = keepingDue, due <= now { keepNow() }
        let care = caretaker.advance(now: now)
        tell(reconciler.advance(now: now, wallMicroseconds: Clock.wallMicroseconds()), care)
    }

    // MARK: Keeping

    private func startKeeper() {
        keeper = nil
        keepingDue = nil
        guard let directory = settings.stateDirectory else { return }
        do throws(SystemError) {
            keeper = try StateKeeper(directory: directory) { [note] notice in
                ControlThread.spawn { note(notice) }
            }
            // A directory that is new, or what this process knows better than the file.
            keepingDue = Clock.now() + Self.keepingTakes
        } catch {
            note(Notice(.error, "state_not_kept", ["error": "\(error)"]))
        }
    }

    private func keepNow() {
        keepingDue = nil
        // What an earlier process knew is not overwritten by knowing nothing.
        guard let keeper, reconciler.knowsAnything else { return }
        let (known, wallMicroseconds) = (reconciler, Clock.wallMicroseconds())
        keeper.keep(known.kept(wallMicroseconds: wallMicroseconds))
    }
}
