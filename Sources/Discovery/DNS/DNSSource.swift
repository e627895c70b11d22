// What does DNS say of the services? The witness that asks again and again, also while others are believed, because it
// is their cross-check: each question runs in a task of its own, at the pace of its answers (`AskingPace`), and what
// comes of them is one word for each service (`DNSWitness`).
//
// Both families are asked of every name. IPv6 addresses to which this machine has no route are left out: they are true,
// but nobody here could use them.

import Glibc
import ProxyCore

/// DNS as a witness of where services live.
@ControlThread
public final class DNSSource: EndpointSource {
    /// `dns`.
    public let name = "dns"

    private let resolver: Resolver
    private let heard: @ControlThread (Testimony) -> Void
    private let note: @ControlThread (Notice) -> Void
    private var services: [String: Asked] = [:]
    private var isRunning = false
    private var counts: [String: Int] = [:]
    private var lastEventMicroseconds: Int64?
    private var lastAnswer: Instant?

    /// A service that is asked for.
    private struct Asked {
        var reference: DNSReference
        var witness: DNSWitness
        var tasks: [Task<Void, Never>] = []
        /// Whether DNS could tell at least once.
        var wasAnswered = false
        /// What is wrong now; nil: nothing.
        var failure: String?
    }

    /// Asks `resolver` for those of `services` that have a DNS name, once it runs. Each answer is told to `heard`, each
    /// change from answers to failures and back to `note`.
    public init(
        resolver: Resolver, services: [ServiceSpec], heard: @escaping @ControlThread (Testimony) -> Void,
        note: @escaping @ControlThread (Notice) -> Void
    ) {
        self.resolver = resolver
        self.heard = heard
        self.note = note
        update(services)
    }

    /// How it is doing. It is synced once each service was answered, and until none of them is; it is stale when
    /// nothing was answered for a minute. Its error is that of the first service, by name, that has one.
    public var status: SourceStatus {
        var status = SourceStatus(name: name)
        let failing = services.values.filter { $0.failure != nil }
        status.synced =
            services.values.allSatisfy(\.wasAnswered) && (services.isEmpty || failing.count < services.count)
        status.stale = lastAnswer.map { Clock.now() - $0 > Self.staleAfter && !services.isEmpty } ?? false
        status.lastEventMicroseconds = lastEventMicroseconds
        status.errorCounts = counts
        let first = services.filter { $0.value.failure != nil }.min { $0.key < $1.key }
        status.error = first.map { "\($0.key): \($0.value.failure ?? "")" }
        return status
    }

    /// Asks from now on for these services. What is known of one whose DNS name stays is kept.
    public func update(_ specs: [ServiceSpec]) {
        var wanted: [String: DNSReference] = [:]
        for spec in specs { wanted[spec.name] = spec.dns }
        for (name, asked) in services where wanted[name] != asked.reference {
            for task in asked.tasks { task.cancel() }
            services[name] = nil
        }
        for (name, reference) in wanted where services[name] == nil {
            services[name] = Asked(reference: reference, witness: DNSWitness(Self.parts(of: reference)))
            if isRunning { begin(name) }
        }
    }

    /// Asks until it is cancelled.
    public func run() async {
        isRunning = true
        for name in services.keys { begin(name) }
        while await ControlThread.sleep(until: .never) != .cancelled {}
        isRunning = false
        let tasks = services.values.flatMap(\.tasks)
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        for name in Array(services.keys) { services[name]?.tasks = [] }
    }

    // MARK: Asking

    private static func parts(of reference: DNSReference) -> [DNSWitness.Part] {
        reference.port == nil ? [.services] : [.v4, .v6]
    }

    private func begin(_ name: String) {
        guard let reference = services[name]?.reference else { return }
        services[name]?.tasks = Self.parts(of: reference).map { part in
            ControlThread.spawn { await self.ask(part, of: name, reference) }
        }
    }

    /// Asks for one part of one service until the task is cancelled.
    private func ask(_ part: DNSWitness.Part, of name: String, _ reference: DNSReference) async {
        var pace = AskingPace()
        while true {
            let began = Clock.now()
            let outcome = await lookup(part, reference, until: began + Self.patience)
            // From here to the sleep nothing is awaited: whoever was cancelled says no more.
            if Task.isCancelled { return }
            let now = Clock.now()
            let chance = Double.random(in: 0...1)
            let pause: Instant.Span
            switch outcome {
            case .success(let answer):
                pause = pace.answered(answer.timeToLive, took: now - began, chance: chance)
                services[name]?.witness.heard(
                    answer.addresses, for: part, until: now + Instant.Span(answer.timeToLive))
                lastAnswer = now
                lastEventMicroseconds = Clock.wallMicroseconds()
            case .failure(let failure):
                pause = pace.failed(chance: chance)
                services[name]?.witness.failed(failure.description, for: part)
                counts[failure.reason.rawValue, default: 0] += 1
            }
            testify(name, now)
            if await ControlThread.sleep(until: now + pause) == .cancelled { return }
        }
    }

    private struct GoodAnswer {
        /// Empty: there are none.
        var addresses: [NetworkAddress] = []
        var timeToLive: Duration
    }

    private func lookup(
        _ part: DNSWitness.Part, _ reference: DNSReference, until deadline: Instant
    ) async -> Result<GoodAnswer, LookupFailure> {
        if part == .services {
            switch await resolver.services(of: reference.name, freshly: true, until: deadline) {
            case .failed(let failure): return .failure(failure)
            case .none(let life): return .success(GoodAnswer(timeToLive: life))
            case .addresses(let all, let life):
                // Higher numbers are for when nobody of the lowest one is there (RFC 2782), which DNS cannot know.
                let lowest = all.first?.priority
                return Self.usable(all.filter { $0.priority == lowest }.map(\.address), life)
            }
        }
        let family = part == .v4 ? Resolver.Family.v4 : .v6
        switch await resolver.addresses(of: reference.name, family: family, freshly: true, until: deadline) {
        case .failed(let failure): return .failure(failure)
        case .none(let life): return .success(GoodAnswer(timeToLive: life))
        case .addresses(let all, let life):
            return Self.usable(all.map { NetworkAddress(ip: $0, port: reference.port ?? 0) }, life)
        }
    }

    /// What of an answer can be connected to. One that has nothing but nonsense (`0.0.0.0`, which would be ourselves) is
    /// no answer; one that has nothing but IPv6 addresses without a route has none for us.
    private static func usable(
        _ addresses: [NetworkAddress], _ timeToLive: Duration
    ) -> Result<GoodAnswer, LookupFailure> {
        let sane = addresses.filter { isHost($0.ip) }
        if sane.isEmpty { return .failure(LookupFailure(.unusable)) }
        return .success(GoodAnswer(addresses: sane.filter { $0.ip.isIPv4 || hasRoute($0) }, timeToLive: timeToLive))
    }

    /// Whether `ip` can be that of one host: neither unspecified nor for a group nor of a link that is not named.
    nonisolated static func isHost(_ ip: IPAddress) -> Bool {
        if ip.isIPv4 {
            let first = ip.v4 >> 24
            return first != 0 && first < 224
        }
        return !ip.isUnspecified && ip.high >> 56 != 0xFF && ip.high >> 54 != 0xFE80 >> 6
    }

    /// Whether this machine has a way to `address`: a connected UDP socket needs one and sends nothing.
    private static func hasRoute(_ address: NetworkAddress) -> Bool {
        do throws(SystemError) {
            _ = try DatagramSocket.connected(to: address)
            return true
        } catch {
            // Without a descriptor nobody knows.
            return error.call.description == "socket" && error.code != EAFNOSUPPORT
        }
    }

    // MARK: Telling

    private func testify(_ name: String, _ now: Instant) {
        guard let service = services[name], let answer = service.witness.answer(now) else { return }
        var failure: String?
        if case .failed(let reason) = answer { failure = reason }
        services[name]?.failure = failure
        if failure == nil { services[name]?.wasAnswered = true }
        if let failure, service.failure == nil {
            note(
                Notice(
                    .warn, "discovery_dns_failing",
                    ["service": name, "name": service.reference.name, "error": failure]))
        } else if failure == nil, service.failure != nil {
            note(Notice(.info, "discovery_dns_answering", ["service": name, "name": service.reference.name]))
        }
        heard(.dns(DNSTestimony(service: name, answer: answer)))
    }

    /// For one answer, all tries included.
    private static let patience = Instant.Span.milliseconds(5000)
    private static let staleAfter = Instant.Span.milliseconds(60_000)
}
