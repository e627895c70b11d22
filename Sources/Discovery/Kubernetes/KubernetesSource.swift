// Where does the cluster say that each service lives? The witness that lists and watches slices and Services of the
// namespaces in use, keeps what it hears over everything that may happen to the API server, and tells what changes.

import FoundationEssentials
import ProxyCore

/// The Kubernetes API as a witness.
@ControlThread
public final class KubernetesSource: EndpointSource {
    /// What differs in tests.
    struct Options: Sendable {
        var timing = APIConnection.Timing()
        var slices = Watch<SliceObject>.Manner()
        var endpoints = Watch<EndpointsObject>.Manner()
        var services = Watch<ServiceObject>.Manner()
        var serviceAccount = ClusterAccess.serviceAccountDirectory
        /// Where the API server is, instead of what the settings say.
        var access: ClusterAccess?
    }

    /// `kubernetes`.
    public let name = "kubernetes"
    /// How it is doing.
    public private(set) var status = SourceStatus(name: "kubernetes")

    private let settings: DiscoverySettings.Cluster
    private let environment: [String: String]
    private let options: Options
    private let addresses: APIClient.NameLookup
    private let heard: @ControlThread (Testimony) -> Void
    private let note: @ControlThread (Notice) -> Void

    private var store: SliceStore
    private var credentials: Credentials?
    private var tasks: [String: Task<Void, Never>] = [:]
    private var isComplete = false
    /// Which watches do not get through now, and why.
    private var troubles: [String: Trouble] = [:]
    /// Namespaces whose slices the server does not have.
    private var withoutSlices: Set<String> = []
    private var notedUnreadable: Set<String> = []
    private var lastHeard: Instant?

    private struct Trouble {
        /// What was noted, so that it is noted once and not with every try.
        var reason: APIFailure.Reason
        var text: String
        /// Whether endpoints may be out of date for it.
        var matters: Bool
    }

    /// How often it is worth telling that the server was heard.
    private static let heardEvery = Instant.Span.milliseconds(1000)
    /// Objects that could not be read whose names are kept.
    private static let unreadableMax = 100

    /// A witness of the cluster that `settings` names, asked for `services`. What it hears goes to `heard`, what people
    /// should know to `note`. `addresses` looks up the API server where it is given by name, and is not asked for an
    /// address. Nothing is asked before ``run()``.
    public convenience init(
        _ settings: DiscoverySettings.Cluster, services: [ServiceSpec],
        addresses: @escaping @ControlThread (String) async -> [IPAddress] = { _ in [] },
        heard: @escaping @ControlThread (Testimony) -> Void, note: @escaping @ControlThread (Notice) -> Void
    ) {
        self.init(
            settings, services: services, environment: ProcessInfo.processInfo.environment, options: Options(),
            addresses: addresses, heard: heard, note: note)
    }

    init(
        _ settings: DiscoverySettings.Cluster, services: [ServiceSpec], environment: [String: String], options: Options,
        addresses: @escaping @ControlThread (String) async -> [IPAddress] = { _ in [] },
        heard: @escaping @ControlThread (Testimony) -> Void, note: @escaping @ControlThread (Notice) -> Void
    ) {
        self.settings = settings
        self.environment = environment
        self.options = options
        self.addresses = addresses
        self.heard = heard
        self.note = note
        let node = environment["NODE_NAME"].flatMap { $0.isEmpty ? nil : $0 }
        store = SliceStore(node: node)
        store.retarget(services)
    }

    /// Asks for these services from now on. What is known of namespaces that stay in use stays, and their watches go on.
    public func update(_ services: [ServiceSpec]) {
        store.retarget(services)
        if credentials != nil { followNamespaces() }
        noteState()
        tell()
    }

    /// Lists and watches until the task is cancelled.
    public func run() async {
        var backoff = Backoff()
        while !Task.isCancelled, credentials == nil {
            do {
                let access =
                    try options.access
                    ?? ClusterAccess.read(
                        settings, environment: environment, serviceAccount: options.serviceAccount)
                credentials = Credentials(access)
            } catch {
                failed(APIFailure(.credentials, "\(error)"), by: "kubernetes", matters: true)
                let chance = Double(systemRandom() >> 11) * 0x1p-53
                let pause = backoff.pause(chance: chance)
                _ = await ControlThread.sleep(until: Clock.now() + pause)
            }
        }
        troubles["kubernetes"] = nil
        if !Task.isCancelled {
            followNamespaces()
            tell()
            _ = await ControlThread.sleep(until: .never)
        }
        let ending = tasks.values
        tasks = [:]
        for task in ending { task.cancel() }
        for task in ending { await task.value }
        credentials = nil
    }

    // MARK: Following

    /// Starts what is missing and stops what is no longer needed.
    private func followNamespaces() {
        let needed = store.neededNamespaces
        for (namespace, task) in tasks where !needed.contains(namespace) {
            task.cancel()
            tasks[namespace] = nil
            for resource in ["slices", "services"] {
                troubles["\(resource) of \(namespace)"] = nil
            }
        }
        for namespace in needed where tasks[namespace] == nil {
            tasks[namespace] = ControlThread.spawn { [weak self] in
                await ControlThread.concurrently([
                    { await self?.followSlices(of: namespace) }, { await self?.followServices(of: namespace) },
                ])
            }
        }
    }

    /// Slices where the server has them, Endpoints where it has not. Whether it has them is asked again each time that
    /// a watch of Endpoints ends, for a server may be replaced by a newer one; and where Endpoints cannot be had either,
    /// for then the 404 may have been a gateway's word while its server was away.
    private func followSlices(of namespace: String) async {
        let follower = "slices of \(namespace)"
        var backoff = Backoff()
        while !Task.isCancelled {
            guard let client = client(), let prober = self.client() else { return }
            let slices = Watch<SliceObject>(
                .endpointSlices, in: namespace, client, probing: prober, manner: options.slices,
                reports(follower, matters: true) { [weak self] in
                    self?.store.replaceSlices(of: namespace, $0)
                } _: { [weak self] change in
                    switch change {
                    case .present(let slice): self?.store.keep(slice)
                    case .gone(let key): self?.store.removeSlice(key)
                    }
                })
            guard await slices.run() == .notServed else { return }
            if withoutSlices.insert(namespace).inserted {
                note(
                    Notice(
                        .warn, "kubernetes_without_slices",
                        [
                            "namespace": namespace,
                            "text": "the server has no EndpointSlices; Endpoints are asked instead",
                        ]))
            }
            let endpoints = Watch<EndpointsObject>(
                .endpoints, in: namespace, client, probing: prober, manner: options.endpoints,
                reports(follower, matters: true) { [weak self] listing in
                    self?.store.replaceSlices(
                        of: namespace,
                        SliceStore.Listing(
                            objects: listing.objects.map(\.slice), unreadable: listing.unreadable))
                } _: { [weak self] change in
                    switch change {
                    case .present(let object): self?.store.keep(object.slice)
                    case .gone(let key): self?.store.removeSlice(key)
                    }
                })
            let begin = Clock.now()
            guard await endpoints.run(once: true) == .onceOver else { return }
            let end = Clock.now()
            if Backoff.steady <= end - begin {
                backoff = Backoff()
            } else {
                let chance = Double(systemRandom() >> 11) * 0x1p-53
                _ = await ControlThread.sleep(until: end + backoff.pause(chance: chance))
            }
        }
    }

    private func followServices(of namespace: String) async {
        let follower = "services of \(namespace)"
        guard let client = client() else { return }
        var failures = 0
        var reports: WatchReports<ServiceObject> = reports(follower, matters: false) { [weak self] in
            self?.store.replaceServices(of: namespace, $0)
        } _: { [weak self] change in
            switch change {
            case .present(let service): self?.store.keep(service)
            case .gone(let key): self?.store.removeService(key)
            }
        }
        let failed = reports.failed
        reports.failed = { [weak self] failure in
            failures += 1
            failed(failure)
            // Names of ports need no Service, and are not kept waiting for what may not be had at all.
            if failure.reason == .forbidden || failures > 1 {
                self?.store.servicesAreMissing(in: namespace)
                self?.tell()
            }
        }
        let services = Watch<ServiceObject>(.services, in: namespace, client, manner: options.services, reports)
        _ = await services.run()
    }

    private func client() -> APIClient? {
        credentials.map { APIClient($0, timing: options.timing, addresses: addresses) }
    }

    private func reports<Object>(
        _ follower: String, matters: Bool, _ listed: @escaping @ControlThread (SliceStore.Listing<Object>) -> Void,
        _ changed: @escaping @ControlThread (ObjectChange<Object>) -> Void
    ) -> WatchReports<Object> {
        WatchReports(
            listed: { [weak self] listing in
                listed(listing)
                self?.tell()
            },
            changed: { [weak self] changes in
                for change in changes { changed(change) }
                self?.tell()
            },
            heard: { [weak self] in self?.answered(follower, matters: matters) },
            failed: { [weak self] in self?.failed($0, by: follower, matters: matters) },
            unreadable: { [weak self] key, reason in self?.couldNotRead(key, follower, reason) })
    }

    // MARK: Telling

    private func tell() {
        guard let update = store.takeUpdate() else { return }
        isComplete = update.isComplete
        noteState()
        heard(.kubernetes(update))
    }

    private func answered(_ follower: String, matters: Bool) {
        status.lastEventMicroseconds = Clock.wallMicroseconds()
        let trouble = troubles.removeValue(forKey: follower)
        if trouble != nil {
            note(Notice(.info, "kubernetes_back", ["of": follower]))
            noteState()
        }
        guard matters, !isOutOfTouch else { return }
        let now = Clock.now()
        if trouble == nil, let lastHeard, now - lastHeard < Self.heardEvery { return }
        lastHeard = now
        heard(.kubernetesHeard)
    }

    private func failed(_ failure: APIFailure, by follower: String, matters: Bool) {
        let text = "\(follower): \(failure)"
        status.errorCounts[failure.reason.rawValue, default: 0] += 1
        // A version that is gone is asked for anew at once: the server is in touch all the same.
        if failure.isAnswer {
            note(Notice(.info, "kubernetes_relist", ["of": follower, "text": failure.description]))
            return
        }
        if troubles[follower]?.reason != failure.reason {
            note(
                Notice(
                    .warn, "kubernetes_trouble",
                    ["of": follower, "reason": failure.reason.rawValue, "text": failure.description]))
        }
        troubles[follower] = Trouble(reason: failure.reason, text: text, matters: matters)
        noteState()
        if matters { heard(.kubernetesLost(reason: text)) }
    }

    private func couldNotRead(_ key: ObjectKey?, _ follower: String, _ reason: String) {
        let text = "\(key.map { "\($0)" } ?? "an object") among \(follower) cannot be read: \(reason)"
        status.errorCounts[APIFailure.Reason.malformed.rawValue, default: 0] += 1
        guard notedUnreadable.count < Self.unreadableMax, notedUnreadable.insert(text).inserted else { return }
        note(Notice(.warn, "kubernetes_unreadable", ["text": text]))
    }

    private var isOutOfTouch: Bool { troubles.values.contains(where: \.matters) }

    private func noteState() {
        status.synced = isComplete && !isOutOfTouch
        status.error = troubles.min { $0.key < $1.key }?.value.text
    }
}
