// One run: a backend, one proxy after another, the load before them, and what became of all of it.

import Glibc
import ProxyCore

/// A run of `hdproxy-bench upgrade`.
struct UpgradeRun {
    private let plan: UpgradePlan
    private let folder: TemporaryFolder

    /// A run of `plan`, with its files in `folder`.
    init(_ plan: UpgradePlan, _ folder: TemporaryFolder) {
        self.plan = plan
        self.folder = folder
    }

    /// Does it.
    func run() throws -> UpgradeFigures {
        let backend = try Child("backend", ownExecutable(), ["backend"], cpu: nil, folder: folder)
        defer { backend.stop() }
        let backendPort = try awaitPort(backend)
        let port = try freePort()
        var proxies: [Child] = []
        defer { for proxy in proxies { proxy.stop(signal: SIGKILL) } }
        var serving = try start(0, port, backendPort)
        proxies.append(serving)
        try awaitLine("\"listening\"", of: serving)

        let stage = UpgradeStage()
        for thread in 0..<plan.threads {
            let (kept, sockets) = (share(of: plan.kept, thread), share(of: plan.sockets, thread))
            let (rate, interval) = (plan.rate / Double(plan.threads), plan.interval)
            _ = try Thread(name: "load-\(thread)") {
                do {
                    var clients = try UpgradeClients(
                        port: port, stage: stage, rate: rate, kept: kept, interval: interval,
                        sockets: sockets)
                    clients.run()
                } catch {
                    printError("hdproxy-bench: \(error)")
                    exit(1)
                }
            }
        }
        for _ in 0..<plan.busy {
            _ = try Thread(name: "busy") {
                var work: UInt64 = 0
                while !stage.isOver { for _ in 0..<100_000 { work = work &* 6_364_136_223_846_793_005 &+ 1 } }
                blackHole(work)
            }
        }
        pause(milliseconds: 1000)
        var figures = UpgradeFigures(plan)
        var leaving: [(child: Child, told: UInt64)] = []
        for number in 1...plan.upgrades {
            if stopWasAsked { break }
            let begin = monotonicNow()
            switch plan.mode {
            case .reload:
                try writeFile(configurationPath(0), configuration(0, port, backendPort, headers: 100 + number % 2))
                kill(serving.pid, SIGHUP)
            case .drain:
                kill(serving.pid, SIGTERM)
                leaving.append((serving, begin))
            case .handoff, .reuseport:
                let next = try start(number, port, backendPort)
                proxies.append(next)
                try awaitLine(plan.mode == .handoff ? "\"taken_over\"" : "\"listening\"", of: next)
                figures.tookOver.append(monotonicNow() - begin)
                if plan.killEvery > 0, number % plan.killEvery == 0 {
                    stage.noteKill()
                    let killed = monotonicNow()
                    kill(next.pid, SIGKILL)
                    // Asked on a new connection at once: it waits in the queue until somebody accepts it.
                    let reply = fetch(port: port, host: "a.test", path: "/bytes/3")
                    figures.takenBack.append(monotonicNow() - killed)
                    if reply?.status != 200 { figures.unansweredAfterKill += 1 }
                    next.wait(milliseconds: 2000)
                } else {
                    kill(serving.pid, SIGTERM)
                    leaving.append((serving, monotonicNow()))
                    serving = next
                }
            }
            figures.upgrades += 1
            if plan.mode == .drain { break }
            let spent = monotonicNow() - begin
            if spent < plan.pause { pause(milliseconds: Int((plan.pause - spent) / 1_000_000)) }
        }
        let limit = (nanoseconds(plan.confirm) ?? 0) + (nanoseconds(plan.drain) ?? 0) + 1_500_000_000
        for (child, told) in leaving {
            let left = Int64(told + limit) - Int64(monotonicNow())
            child.wait(milliseconds: max(Int(left / 1_000_000), 10))
            let ending = child.ending ?? "still there"
            if ending != "exit status 0" { figures.endings[ending, default: 0] += 1 }
        }
        pause(milliseconds: 300)
        stage.end()
        while stage.threadsDone < plan.threads { pause(milliseconds: 2) }
        figures.tally = stage.tally
        figures.told = leaving.map(\.told)
        figures.reloads = serving.output.split(separator: "\n").count { $0.contains("\"outcome\":\"applied\"") }
        return figures
    }

    /// How many of `all` one thread of the load has.
    private func share(of all: Int, _ thread: Int) -> Int {
        all / plan.threads + (thread < all % plan.threads ? 1 : 0)
    }

    private func configurationPath(_ number: Int) -> String { "\(folder.path)/proxy-\(number).json5" }

    private func configuration(_ number: Int, _ port: UInt16, _ backend: UInt16, headers: Int = 200) -> String {
        """
        {
          workers: \(plan.workers[number % plan.workers.count]),
          listeners: [ { name: "http", address: "127.0.0.1:\(port)" } ],
          admin: { address: "", socket: "" },
          services: { a: { endpoints: [ "127.0.0.1:\(backend)" ] } },
          routes: [ { host: "*", service: "a" } ],
          limits: { headers: \(headers) },
          drain: { timeout: "\(plan.drain)" },
          handoff: { socket: "\(plan.mode == .reuseport ? "" : "@hdproxy-bench/\(getpid())")", confirm: "\(plan.confirm)" },
          log: { access: false },
        }

        """
    }

    private func start(_ number: Int, _ port: UInt16, _ backend: UInt16) throws -> Child {
        let path = configurationPath(number)
        try writeFile(path, configuration(number, port, backend))
        return try Child("proxy-\(number)", plan.program, ["run", "--config", path], cpu: nil, folder: folder)
    }

    private func awaitPort(_ backend: Child) throws -> UInt16 {
        try awaitLine("listening", of: backend)
        let digits = backend.output.split(separator: ":").last?.prefix { $0.isNumber } ?? ""
        guard let port = UInt16(digits) else { throw Failure("the backend does not tell its port: \(backend.output)") }
        return port
    }

    private func awaitLine(_ text: String, of child: Child) throws {
        let giveUpAt = monotonicNow() + 20_000_000_000
        while !child.output.contains(text) {
            guard child.isRunning, monotonicNow() < giveUpAt, !stopWasAsked else {
                throw Failure(
                    "\(child.name) (\(child.ending ?? "running")) does not say \(text): \(child.output.suffix(800))")
            }
            pause(milliseconds: 1)
        }
    }
}
