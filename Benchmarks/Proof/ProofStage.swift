// Where does it happen? A cluster whose API server this process plays, pods as processes of their own on loopback
// addresses, and the real proxy, which learns of them as in a real cluster and tells what it does.

import FakeCluster
import Glibc
import ProxyCore

/// A pod at work.
final class ProofPod {
    /// What slices tell of it, and where it listens.
    var told: FakePod
    let address: String
    let service: String
    let ledger: PodLedger
    let process: Child
    /// Notes that were read already.
    var notesRead = 0
    /// Told to end by the harness.
    var isEnded = false

    init(_ told: FakePod, _ address: String, _ service: String, _ ledger: PodLedger, _ process: Child) {
        self.told = told
        self.address = address
        self.service = service
        self.ledger = ledger
        self.process = process
    }

    /// The kernel ends it at once, as the program's own exit would: all its sockets close.
    func end(_ signal: Int32) {
        isEnded = true
        kill(process.pid, signal)
        process.wait(milliseconds: 5000)
    }
}

/// What the proxy is told.
struct ProofSettings {
    /// The program.
    var program: String
    var workers = 2
    /// The keys of the service `api`, behind its reference.
    var service = ""
    /// `X-Service` of right answers.
    static let identity = "honeydue-api"
    /// The namespace of it all.
    static let namespace = "honeydue"
}

/// The stage of one run.
final class ProofStage {
    let cluster = FakeCluster()
    let server: FakeAPIServer
    let folder: TemporaryFolder
    let port: UInt16
    let adminPort: UInt16
    let podPort: UInt16
    let log: ProxyLog
    let settings: ProofSettings
    private(set) var proxy: Child?
    /// All pods so far, those that are gone included.
    private(set) var pods: [ProofPod] = []
    /// Who was ill, and when.
    var illnesses: [Illness] = []
    private var seen: [Int: String] = [:]
    private var carriedOut: [Int: Int] = [:]
    private var nextPod = 0
    private var isLedgerFull = false

    init(_ settings: ProofSettings, _ folder: TemporaryFolder) throws {
        self.settings = settings
        self.folder = folder
        port = try freePort()
        adminPort = try freePort()
        podPort = try freePort()
        server = try FakeAPIServer(cluster)
        log = try ProxyLog(in: folder)
        for service in ["api", "dozzle", "nine"] {
            cluster.setService(
                ProofSettings.namespace, service, ports: [FakePort("http", port: 80, targetPort: podPort)])
        }
    }

    /// Ends all of it.
    func stop() {
        proxy?.stop()
        for pod in pods where !pod.isEnded {
            kill(pod.process.pid, SIGCONT)
            pod.end(SIGKILL)
        }
        server.stop()
    }

    // MARK: Pods

    /// Number `number` of the addresses for pods.
    func ip(_ number: Int) -> String { "127.\(80 + Int(getpid()) % 100).\(1 + number / 200).\(1 + number % 200)" }

    /// A pod that listens at `ip`.
    func startPod(at ip: String, service: String = ProofSettings.identity, options: [String] = []) throws -> ProofPod {
        nextPod += 1
        let told = FakePod(ip: ip, name: "\(service)-\(nextPod)", node: "node\(nextPod % 3)", ready: false)
        return try startProcess(told, service, options)
    }

    /// The same pod again, as a container is started anew in it.
    func restart(_ pod: ProofPod) throws -> ProofPod { try startProcess(pod.told, pod.service, []) }

    private func startProcess(_ told: FakePod, _ service: String, _ options: [String]) throws -> ProofPod {
        if options == ["--node"] { return try startNode(told, service) }
        let ledger = try PodLedger("\(folder.path)/ledger.\(pods.count)", isNew: true)
        let process = try Child(
            "pod\(pods.count)", ownExecutable(),
            [
                "pod", "--parent", "\(getpid())", "--address", told.ip, "--port", "\(podPort)", "--service", service,
                "--pod", told.name, "--ledger", ledger.path,
            ] + options, cpu: nil, folder: folder)
        let pod = ProofPod(told, "\(told.ip):\(podPort)", service, ledger, process)
        pods.append(pod)
        try awaitReady(pod)
        return pod
    }

    /// A pod whose server is Node.js as it comes. It notes nothing.
    private func startNode(_ told: FakePod, _ service: String) throws -> ProofPod {
        let node = findProgram("node") ?? findProgram("nodejs")
        guard let node else { throw Failure("there is no node in PATH: apt-get install nodejs") }
        let script = "\(folder.path)/pod.js"
        try writeFile(script, nodePod)
        let ledger = try PodLedger("\(folder.path)/ledger.\(pods.count)", isNew: true)
        let process = try Child(
            "pod\(pods.count)", node, [script, told.ip, "\(podPort)", service, told.name], cpu: nil, folder: folder)
        let pod = ProofPod(told, "\(told.ip):\(podPort)", service, ledger, process)
        pods.append(pod)
        let giveUpAt = monotonicNow() + 20_000_000_000
        while !process.output.contains("ready") {
            guard process.isRunning, monotonicNow() < giveUpAt else { throw Failure("node: \(process.output)") }
            pause(milliseconds: 5)
        }
        return pod
    }

    private func awaitReady(_ pod: ProofPod) throws {
        let (ledger, process) = (pod.ledger, pod.process)
        let giveUpAt = monotonicNow() + 20_000_000_000
        while !ledger.isReady {
            guard process.isRunning, monotonicNow() < giveUpAt else {
                throw Failure("a pod did not start at \(pod.address): \(process.ending ?? "") \(process.output)")
            }
            pause(milliseconds: 1)
        }
    }

    /// The slices of `api` hold `pods`, as each of them is told, from now on.
    func publish(_ pods: [ProofPod]) { cluster.setEndpoints(ProofSettings.namespace, "api", pods.map(\.told)) }

    /// And those of the other service.
    func publishForeign(_ pods: [ProofPod]) {
        cluster.setEndpoints(ProofSettings.namespace, "dozzle", pods.map(\.told))
    }

    /// Reads what pods have noted since the last time, and forgets pods that are gone.
    func gatherNotes() {
        for pod in pods {
            let count = pod.ledger.count
            guard count > pod.notesRead else { continue }
            pod.ledger.forEach(from: pod.notesRead) { note, id, _ in
                switch note {
                case .begun: seen[id] = pod.address
                case .carriedOut: carriedOut[id, default: 0] += 1
                case .answered: break
                }
            }
            pod.notesRead = count
            isLedgerFull = isLedgerFull || pod.ledger.isFull
        }
        for pod in pods where pod.isEnded && pod.notesRead == pod.ledger.count { pod.ledger.remove() }
    }

    /// POSTs that were carried out more than once.
    func doublePosts() throws -> [Int] {
        gatherNotes()
        guard !isLedgerFull else { throw Failure("the pods had more to note than fits: a shorter run is needed") }
        return carriedOut.filter { $0.value > 1 && RequestShape($0.key).isPost }.map(\.key).sorted()
    }

    /// Where the head of a request was read last; nil where no pod has read it.
    func whoSaw(_ id: Int) -> String? { seen[id] }

    // MARK: The proxy

    /// Starts it and waits until it serves.
    func startProxy() throws {
        try server.writeFiles(caFile: "\(folder.path)/ca.crt", tokenFile: "\(folder.path)/token")
        let path = "\(folder.path)/hdproxy.json5"
        try writeFile(path, configuration)
        let child = try Child(
            "hdproxy", settings.program, ["run", "--config", path], cpu: nil, folder: folder, outputPath: log.path)
        proxy = child
        let giveUpAt = monotonicNow() + 60_000_000_000
        while fetch(port: adminPort, host: "localhost", path: "/readyz")?.status != 200
            || fetch(port: port, host: "api.test", path: "/hello")?.status != 200
        {
            guard child.isRunning, monotonicNow() < giveUpAt, !stopWasAsked else {
                throw Failure("hdproxy is not ready: \(child.ending ?? "") \(log.events.suffix(5).map(\.line))")
            }
            pause(milliseconds: 5)
        }
    }

    private var configuration: String {
        """
        {
          workers: \(settings.workers),
          listeners: [ { name: "http", address: "127.0.0.1:\(port)" } ],
          admin: { address: "127.0.0.1:\(adminPort)", socket: "" },
          discovery: {
            kubernetes: { server: "\(server.url)", caFile: "\(folder.path)/ca.crt", tokenFile: "\(folder.path)/token" },
            stateDirectory: "",
          },
          services: {
            api: { kubernetes: { namespace: "\(ProofSettings.namespace)", service: "api", port: "http" },
                   \(settings.service) },
            dozzle: { kubernetes: { namespace: "\(ProofSettings.namespace)", service: "dozzle", port: "http" } },
            nine: { kubernetes: { namespace: "\(ProofSettings.namespace)", service: "nine", port: "http" },
                    \(settings.service) },
          },
          routes: [ { host: "api.test", service: "api" }, { host: "dozzle.test", service: "dozzle" },
                    { host: "nine.test", service: "nine" } ],
          log: { access: true, level: "info" },
        }

        """
    }

    /// What the proxy uses now.
    struct Use {
        var resident = 0
        var descriptors = 0
    }

    var use: Use {
        guard let pid = proxy?.pid else { return Use() }
        return Use(
            resident: ProcessMeter(pid).memory().resident, descriptors: names(in: "/proc/\(pid)/fd").count)
    }

    /// The proxy's status page.
    func status() -> JSON? {
        fetch(port: adminPort, host: "localhost", path: "/api/v1/status").flatMap { try? JSON(parsing: $0.body) }
    }

    /// Throws where the proxy has ended.
    func checkProxy() throws {
        guard let proxy, proxy.isRunning else {
            throw Failure("hdproxy ended: \(proxy?.ending ?? "") \(log.events.suffix(8).map(\.line))")
        }
        if stopWasAsked { throw Failure("stopped") }
    }
}
