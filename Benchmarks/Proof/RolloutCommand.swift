// The command `rollout`: what do clients lose while an application is updated, again and again?

import FakeCluster
import Glibc
import ProxyCore

func rolloutCommand() -> Command {
    Command(
        name: "rollout", summary: "rolling updates under load: what is lost, done twice or answered by strangers?",
        help: """
            usage: hdproxy-bench rollout [OPTIONS]

            A Deployment of pods, each a process at an address of its own, is updated again and again, as the real
            controllers do it with maxSurge 1 and maxUnavailable 0: a new pod is ready, an old one is terminating, gets
            SIGTERM and exits at once, without a preStop hook. Its address goes to a stranger at once, and later to
            another pod of the service. Under it GETs and POSTs with bodies are asked through hdproxy. Every answer says
            from which service it is, which request it answers and what body came; pods note what they carry out.

            --single has one pod: the old one goes on serving while it is terminating and the new one is not ready.

            With --strict exit status 1 when a target is missed.
            """,
        options: [
            OptionSpec("--updates", "N", "rolling updates (100)"),
            OptionSpec("--pods", "N", "pods of the Deployment (3)"),
            OptionSpec("--rate", "N", "requests a second (2000)"),
            OptionSpec("--connections", "N", "connections of clients (64)"),
            OptionSpec("--work", "TIME", "how long a pod takes for an answer, and ten times that for a few (2ms)"),
            OptionSpec("--signal-after", "TIME", "SIGTERM comes so much after the event, at random up to it (5ms)"),
            OptionSpec("--event-after", "TIME", "or the event so much after SIGTERM, at random up to it"),
            OptionSpec("--pause", "TIME", "between two pods (100ms)"),
            OptionSpec("--single", nil, "one pod, which is terminating and serves before the next one is ready"),
        ] + ProofReport.options,
        run: runRollout)
}

/// What happens.
struct RolloutPlan {
    var updates = 100
    var pods = 3
    var rate = 2000.0
    var connections = 64
    var work: UInt64 = 2_000_000
    var signalAfter: UInt64 = 5_000_000
    var eventAfter: UInt64?
    var pause: UInt64 = 100_000_000
    var isSingle = false
}

private func runRollout(_ arguments: Arguments) throws -> Int32 {
    var plan = RolloutPlan()
    plan.isSingle = arguments.has("--single")
    plan.updates = try arguments.number("--updates", plan.isSingle ? 20 : plan.updates, in: 1...100_000)
    plan.pods = try arguments.number("--pods", plan.isSingle ? 1 : plan.pods, in: 1...50)
    plan.rate = try arguments.rate("--rate") ?? (plan.isSingle ? 500 : plan.rate)
    plan.connections = try arguments.number("--connections", plan.connections, in: 1...5000)
    plan.work = try arguments.time("--work", plan.work)
    plan.signalAfter = try arguments.time("--signal-after", plan.signalAfter)
    if arguments.has("--event-after") { plan.eventAfter = try arguments.time("--event-after", 1) }
    plan.pause = try arguments.time("--pause", plan.pause)
    _ = signal(SIGPIPE, SIG_IGN)
    catchStopSignals()
    raiseDescriptorLimit()
    let folder = try TemporaryFolder()
    defer { folder.remove() }
    let keys = ProofSettings.identityKeys + "retry: { attempts: 2, budgetPercent: 20 },"
    let stage = try ProofStage(try ProofSettings(arguments, keys: keys), folder)
    defer { stage.stop() }
    var progress = Progress()
    let report = try RolloutRun(plan, stage).run(&progress)
    progress.clear()
    return try report.show(arguments)
}

/// One run.
final class RolloutRun {
    private let plan: RolloutPlan
    private let stage: ProofStage
    /// The pods of the service, in the order in which they came.
    private var pods: [ProofPod] = []
    private var strangers: [String: ProofPod] = [:]
    private var freeIPs: [String]
    private var strangersStarted = 0

    init(_ plan: RolloutPlan, _ stage: ProofStage) {
        self.plan = plan
        self.stage = stage
        // Hardly more addresses than pods, so that each is used again soon.
        freeIPs = (0..<plan.pods + 3).map(stage.ip)
    }

    func run(_ progress: inout Progress) throws -> ProofReport {
        progress.show("starting \(plan.pods) pods", isStep: false)
        for _ in 0..<plan.pods { pods.append(try nextPod()) }
        for pod in pods { pod.told = pod.told.with(ready: true, serving: true, terminating: false) }
        stage.publish(pods)
        try stage.startProxy()
        let board = try Asker.start(
            AskingPlan(
                port: stage.port, hosts: ["api.test"], service: ProofSettings.identity,
                connections: plan.connections, pace: .open(rate: plan.rate)))
        guard board.awaitAnswers(200) else { throw Failure("no answers: \(board.figures.losses.prefix(3))") }
        let began = monotonicNow()
        for update in 0..<plan.updates {
            progress.show("update \(update + 1) of \(plan.updates), \(board.figures.losses.count) lost", isStep: false)
            for _ in 0..<plan.pods {
                try stage.checkProxy()
                if plan.isSingle { try replaceOnly() } else { try replaceOldest() }
                stage.gatherNotes()
            }
        }
        let seconds = Double(monotonicNow() - began) / 1e9
        guard board.awaitAnswers(200) else { throw Failure("no answers in the end") }
        let figures = board.stopAndWait()
        let what = plan.isSingle ? "One pod, terminating and serving, replaced" : "\(plan.pods) pods replaced"
        var report = ProofReport(
            title:
                "\(what) \(plan.updates) times in \(fixed(seconds, 0)) s, \(figure(plan.rate)) requests a second over "
                + "\(plan.connections) connections, \(strangersStarted) addresses taken by strangers",
            version: HDProxyContender(program: stage.settings.program).version)
        try report.take(figures, stage)
        if let latency = figures.latencies.first {
            report.tell("latency, p50", "p50_ms", latency.p50 / 1e6, duration(ns: latency.p50))
            report.tell("latency, p99", "p99_ms", latency.p99 / 1e6, duration(ns: latency.p99))
            report.tell(
                "the longest", "longest_ms", Double(latency.longest) / 1e6, duration(ns: Double(latency.longest)))
        }
        return report
    }

    private func nextPod() throws -> ProofPod {
        let ip = freeIPs.removeFirst()
        // Whoever had the address meanwhile leaves it now.
        strangers.removeValue(forKey: ip)?.end(SIGKILL)
        let pod = try stage.startPod(at: ip)
        pod.ledger.work = plan.work
        pod.ledger.hasTail = true
        return pod
    }

    private func changed(_ pod: ProofPod, ready: Bool, serving: Bool, terminating: Bool) {
        pod.told = pod.told.with(ready: ready, serving: serving, terminating: terminating)
        stage.publish(pods)
    }

    /// One step of a Deployment.
    private func replaceOldest() throws {
        let old = pods[0]
        let new = try nextPod()
        pods.append(new)
        changed(new, ready: false, serving: false, terminating: false)
        changed(new, ready: true, serving: true, terminating: false)
        wait(UInt64.random(in: 0...plan.pause))
        if let late = plan.eventAfter {
            end(old, "exits")
            takeOver(old)
            wait(UInt64.random(in: 0...late))
            changed(old, ready: false, serving: true, terminating: true)
            // As long as nobody was told, requests go to a pod that is gone.
            stage.illnesses[stage.illnesses.count - 1].until = monotonicNow() + 300_000_000
        } else {
            changed(old, ready: false, serving: true, terminating: true)
            wait(UInt64.random(in: 0...plan.signalAfter))
            end(old, "exits")
            takeOver(old)
        }
        wait(UInt64.random(in: 0...plan.pause))
        remove(old)
    }

    /// One pod, told to leave before another one is ready.
    private func replaceOnly() throws {
        let old = pods[0]
        changed(old, ready: false, serving: true, terminating: true)
        wait(2 * plan.pause)
        let new = try nextPod()
        pods.append(new)
        changed(new, ready: false, serving: false, terminating: false)
        wait(plan.pause)
        changed(new, ready: true, serving: true, terminating: false)
        wait(plan.pause)
        changed(old, ready: false, serving: false, terminating: true)
        wait(plan.pause)
        end(old, "exits")
        remove(old)
    }

    private func end(_ pod: ProofPod, _ name: String) {
        stage.illnesses.append(Illness(address: pod.address, name: name, from: monotonicNow()))
        pod.end(SIGTERM)
        // What was on its way when it ended comes back as lost within a moment.
        stage.illnesses[stage.illnesses.count - 1].until = monotonicNow() + 300_000_000
    }

    /// A stranger gets the address of a pod that is gone: every second one is told of in a slice of its own.
    private func takeOver(_ pod: ProofPod) {
        guard strangersStarted < 1 << 20,
            let stranger = try? stage.startPod(at: pod.told.ip, service: "dozzle")
        else { return }
        strangers[pod.told.ip] = stranger
        strangersStarted += 1
        let known = strangersStarted % 2 == 0
        stranger.told = stranger.told.with(ready: true, serving: true, terminating: false)
        stage.publishForeign(known ? [stranger] : [])
    }

    private func remove(_ pod: ProofPod) {
        changed(pod, ready: false, serving: false, terminating: true)
        pods.removeAll { $0 === pod }
        stage.publish(pods)
        freeIPs.append(pod.told.ip)
    }

    private func wait(_ nanoseconds: UInt64) { usleep(UInt32(nanoseconds / 1000)) }
}
