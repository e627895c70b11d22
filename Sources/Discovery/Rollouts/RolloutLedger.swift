// Which comings and goings belong together, and what came of them? A rollout of a service begins when its first endpoint
// comes or goes, and is over when nothing has changed for a while, no pod is under way any more, and those who went have
// nothing left to answer. Pure: it is told what is there and what was counted, and when.

import ProxyCore

/// What workers have counted at one address of a service.
public struct EndpointFigures: Sendable {
    /// Where.
    public var address: NetworkAddress
    /// Who has, or had, the address last; nil where no worker knows.
    public var id: EndpointID?
    /// Requests and tunnels under way.
    public var inFlight = 0
    /// Requests that waited there and went elsewhere, unseen.
    public var moved: UInt64 = 0
    /// Tries that failed and were followed by another one.
    public var retried: UInt64 = 0
    /// Requests that failed there.
    public var failed: UInt64 = 0
    /// When the first request was sent to whoever is ``id`` that was answered.
    public var firstRequest: Instant?
    /// When the last request was sent to whoever is ``id`` that was answered or failed.
    public var lastRequest: Instant?
    /// How long the first bytes of its answers took.
    public var firstByte = Histogram()

    /// Nothing counted yet.
    public init(address: NetworkAddress, id: EndpointID?) {
        self.address = address
        self.id = id
    }
}

/// What workers have counted of one service.
public struct ServiceFigures: Sendable {
    /// By address.
    public var endpoints: [NetworkAddress: EndpointFigures] = [:]
    /// Requests for which there was no endpoint.
    public var unanswered: UInt64 = 0

    /// Nothing counted yet.
    public init() {}
}

/// All rollouts: those under way and the latest ones that are over.
public struct RolloutLedger: Sendable {
    /// For how long nothing may have changed when a rollout is called over.
    public static let stableTime = Instant.Span.milliseconds(10_000)
    /// For how long those who went must have had nothing to answer.
    public static let quietTime = Instant.Span.milliseconds(3_000)
    /// After so long without a change it is over, whatever is still under way: a tunnel may stay for hours, and a pod
    /// that never becomes ready for ever.
    public static let stableTimeMax = Instant.Span.milliseconds(120_000)
    /// Reports that are kept.
    public static let reportsMax = 32

    fileprivate struct Who: Hashable {
        var id: EndpointID
        var address: NetworkAddress
    }

    fileprivate struct Rollout {
        let began: Instant
        let beganMicroseconds: Int64
        let former: ServiceFigures
        var changed: Instant
        var changedMicroseconds: Int64
        var came: [Who: RolloutReport.Pod] = [:]
        var went: [Who: RolloutReport.Pod] = [:]
        /// When somebody who went was last seen to have something to answer.
        var busy: Instant
    }

    fileprivate struct Service {
        var members: [Who: EndpointView] = [:]
        /// Whether a pod is starting or on its way out.
        var isMoving = false
        var figures = ServiceFigures()
        var rollout: Rollout?
    }

    private var services: [String: Service] = [:]
    /// The latest reports, the last one first.
    public private(set) var reports: [RolloutReport] = []

    /// Nothing has happened yet.
    public init() {}

    /// Whether a rollout is under way.
    public var isRunning: Bool { services.values.contains { $0.rollout != nil } }

    /// All services as they are now. The first word about a service is no rollout.
    public mutating func observe(_ views: [ServiceView], now: Instant, wallMicroseconds: Int64) {
        let names = Set(views.map(\.name))
        services = services.filter { names.contains($0.key) }
        for view in views {
            var members: [Who: EndpointView] = [:]
            for endpoint in view.endpoints where endpoint.isUsable {
                members[Who(id: endpoint.id, address: endpoint.address)] = endpoint
            }
            // As long as nothing is known of it there is nothing that could change.
            if services[view.name] == nil, view.truth == .none { continue }
            var service = services[view.name] ?? Service(members: members)
            service.isMoving = view.endpoints.contains { $0.terminating || $0.verdict == .notReady }
            service.change(to: members, now: now, wallMicroseconds: wallMicroseconds)
            services[view.name] = service
        }
    }

    /// What the workers have counted so far, by service.
    public mutating func note(_ figures: [String: ServiceFigures], now: Instant) {
        for name in services.keys {
            guard let told = figures[name] else { continue }
            services[name]?.figures = told
            if services[name]?.inFlightElsewhere ?? 0 > 0 { services[name]?.rollout?.busy = now }
        }
    }

    /// Ends what is over by `now`, and returns its reports.
    public mutating func settle(now: Instant, wallMicroseconds: Int64) -> [RolloutReport] {
        var ended: [RolloutReport] = []
        for (name, service) in services {
            guard let rollout = service.rollout else { continue }
            let isStable = !service.isMoving && now - rollout.changed >= Self.stableTime
            let isOver = isStable && now - rollout.busy >= Self.quietTime
            guard isOver || now - rollout.changed >= Self.stableTimeMax else { continue }
            services[name]?.rollout = nil
            // Whoever was away is back: nothing has changed.
            if rollout.came.isEmpty, rollout.went.isEmpty { continue }
            ended.append(service.report(name, rollout) { wallMicroseconds - (now - $0).nanoseconds / 1000 })
        }
        ended.sort { ($0.beganMicroseconds, $0.service) < ($1.beganMicroseconds, $1.service) }
        reports = Array((ended.reversed() + reports).prefix(Self.reportsMax))
        return ended
    }
}

extension RolloutLedger.Service {
    fileprivate init(members: [RolloutLedger.Who: EndpointView]) { self.members = members }

    fileprivate mutating func change(
        to next: [RolloutLedger.Who: EndpointView], now: Instant, wallMicroseconds: Int64
    ) {
        let came = next.filter { members[$0.key] == nil }
        let went = members.filter { next[$0.key] == nil }
        members = next
        if came.isEmpty, went.isEmpty { return }
        var current =
            rollout
            ?? RolloutLedger.Rollout(
                began: now, beganMicroseconds: wallMicroseconds, former: figures, changed: now,
                changedMicroseconds: wallMicroseconds, busy: now)
        current.changed = now
        current.changedMicroseconds = wallMicroseconds
        func pod(_ view: EndpointView) -> RolloutReport.Pod {
            RolloutReport.Pod(name: view.pod, id: view.id, address: view.address, atMicroseconds: wallMicroseconds)
        }
        for (who, view) in came {
            // One that was away for a moment has not changed.
            if current.went.removeValue(forKey: who) == nil { current.came[who] = pod(view) }
        }
        for (who, view) in went {
            current.came[who] = nil
            current.went[who] = pod(view)
        }
        rollout = current
    }

    /// What those who went still have to answer.
    fileprivate var inFlightElsewhere: Int {
        guard let rollout else { return 0 }
        return rollout.went.keys.reduce(0) { sum, who in
            let figures = figures.endpoints[who.address]
            return sum + (figures?.id == who.id ? figures?.inFlight ?? 0 : 0)
        }
    }

    fileprivate func report(
        _ name: String, _ rollout: RolloutLedger.Rollout, wall: (Instant) -> Int64
    ) -> RolloutReport {
        var report = RolloutReport(
            service: name, beganMicroseconds: rollout.beganMicroseconds,
            endedMicroseconds: rollout.changedMicroseconds)
        var before = Histogram()
        var now = Histogram()
        report.came = pods(rollout.came, &now, wall)
        report.went = pods(rollout.went, &before, wall)
        report.latencyBefore = RolloutReport.Latency(before)
        report.latencyNow = RolloutReport.Latency(now)
        report.stillInFlight = inFlightElsewhere
        // Of all who are there: who is asked again is not the one who failed.
        func since(_ count: UInt64, _ former: UInt64?) -> UInt64 { count - min(count, former ?? 0) }
        for (address, figures) in figures.endpoints {
            let former = rollout.former.endpoints[address]
            report.moved += since(figures.moved, former?.moved)
            report.retried += since(figures.retried, former?.retried)
            report.failed += since(figures.failed, former?.failed)
        }
        report.failed += since(figures.unanswered, rollout.former.unanswered)
        return report
    }

    private func pods(
        _ pods: [RolloutLedger.Who: RolloutReport.Pod], _ firstByte: inout Histogram, _ wall: (Instant) -> Int64
    ) -> [RolloutReport.Pod] {
        var told: [RolloutReport.Pod] = []
        for (who, pod) in pods {
            var pod = pod
            if let figures = figures.endpoints[who.address], figures.id == who.id {
                pod.firstRequestMicroseconds = figures.firstRequest.map(wall)
                pod.lastRequestMicroseconds = figures.lastRequest.map(wall)
                pod.answered = figures.firstByte.count
                firstByte.add(figures.firstByte)
            }
            told.append(pod)
        }
        return told.sorted { ($0.atMicroseconds, $0.address.description) < ($1.atMicroseconds, $1.address.description) }
    }
}
