// How are the applications' own rollouts going? Discovery says who comes and goes, the workers what they have counted, and
// `RolloutLedger` what belongs together. Workers are asked often only while a rollout is under way.

import Discovery
import ProxyCore

extension ControlLoop {
    /// How often workers are asked while a rollout is under way, and otherwise: what was counted before a rollout is
    /// not counted to it.
    private static let askingWhileRunning = Duration.seconds(1)
    private static let askingElse = Duration.seconds(30)

    /// Follows endpoints that come and go, and has each rollout leave its report.
    func followRollouts() async {
        let ticks = ControlThread.spawn { [self] in
            while await ControlThread.sleep(for: .seconds(1)) == .timedOut {
                // Fixed addresses are nobody's rollout, and a small process stays small.
                guard rollouts.isRunning || isDiscovering else { continue }
                ticksLeft -= 1
                if rollouts.isRunning || ticksLeft <= 0 { endpointsChanged.open() }
            }
        }
        while !Task.isCancelled {
            await endpointsChanged.passed()
            endpointsChanged.close()
            rollouts.observe(discovery.view, now: Clock.now(), wallMicroseconds: Clock.wallMicroseconds())
            ticksLeft = Int(Self.askingElse.components.seconds)
            rollouts.note(ServiceFigures.all(WorkerTelemetry.merged(await telemetry())), now: Clock.now())
            for report in rollouts.settle(now: Clock.now(), wallMicroseconds: Clock.wallMicroseconds()) {
                log.write(report)
            }
        }
        ticks.cancel()
    }

    /// Whether any service lives where a witness says.
    private var isDiscovering: Bool { settings.services.contains { $0.kubernetes != nil || $0.dns != nil } }
}

extension ServiceFigures {
    /// What the workers have counted, by service.
    static func all(_ telemetry: WorkerTelemetry) -> [String: ServiceFigures] {
        var all: [String: ServiceFigures] = [:]
        for service in telemetry.services {
            all[service.service, default: ServiceFigures()].unanswered = service.unanswered
        }
        for attempts in telemetry.attempts {
            var figures = EndpointFigures(address: attempts.address, id: attempts.id)
            figures.moved = attempts.moved
            figures.retried = attempts.retried
            let failures = Outcome.Kind.allCases.reduce(0) { $1.isUpstreamFailure ? $0 &+ attempts.outcomes[$1] : $0 }
            figures.failed = failures - min(failures, attempts.retried)
            figures.firstRequest = attempts.firstRequest
            figures.lastRequest = attempts.lastRequest
            figures.firstByte = attempts.firstByte
            all[attempts.service, default: ServiceFigures()].endpoints[attempts.address] = figures
        }
        for endpoint in telemetry.endpoints {
            guard all[endpoint.service]?.endpoints[endpoint.address]?.id == endpoint.id else { continue }
            all[endpoint.service]?.endpoints[endpoint.address]?.inFlight += endpoint.inFlight
        }
        return all
    }
}

extension EventLog {
    /// Writes what a rollout was like.
    fileprivate func write(_ report: RolloutReport) {
        write(
            .info, "rollout",
            [
                "service": .text(report.service), "in": .count(report.came.count), "out": .count(report.went.count),
                "duration_ms": .count(Int(clamping: (report.endedMicroseconds - report.beganMicroseconds) / 1000)),
                "moved": .count(Int(clamping: report.moved)), "retried": .count(Int(clamping: report.retried)),
                "failed": .count(Int(clamping: report.failed)), "in_flight": .count(report.stillInFlight),
                "summary": .text(RolloutText.summary(of: report)),
            ])
    }
}
