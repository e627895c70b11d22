// `hdproxy demo --cluster`: what does a rolling update look like from the proxy? Backends that play pods come and go on
// loopback addresses, a fake API server tells of them as a real one would, and not one request must fail.

import FakeCluster
import Glibc
import ProxyCore
import Synchronization

/// Starts a cluster of one Service, prints what to try, rolls its pods over again and again, and serves until `serve`
/// returns; its exit status is ours. `serve` gets the configuration's text and runs the proxy with it in this process.
func runClusterDemo(serve: (_ configuration: String) -> Int32) -> Int32 {
    do {
        let cluster = try ClusterDemo()
        writeFully(cluster.greeting, to: 1)
        let story = DemoThread.start { cluster.rollOverUntilStopped() }
        let status = serve(cluster.configuration)
        cluster.stop(after: story)
        return status
    } catch {
        writeFully("hdproxy demo: \(error)\n", to: 2)
        return 1
    }
}

/// The demo's cluster: an API server, a folder with its CA and a token, and the pods.
final class ClusterDemo: Sendable {
    /// Where the API server's CA, the token and the last known good endpoints lie; gone with the demo.
    private let folder: String
    private let server: FakeAPIServer
    private let cluster = FakeCluster()
    private let pods = Mutex<[String: RunningBackend]>([:])
    private let born = Mutex(0)
    /// Its reading end says when the story is over.
    private let ending: ProxyCore.Pipe

    /// Starts the API server and the first three pods. When that fails, nothing is left behind.
    init() throws {
        guard let ending = ProxyCore.Pipe(capacity: 4096) else {
            throw SystemError("pipe2", doing: "starting the demo's cluster")
        }
        let folder = try Self.makeFolder()
        let server: FakeAPIServer
        do {
            server = try FakeAPIServer(cluster)
        } catch {
            Self.remove(folder)
            throw error
        }
        self.ending = ending
        self.folder = folder
        self.server = server
        do {
            try server.writeFiles(caFile: "\(folder)/ca.crt", tokenFile: "\(folder)/token")
            cluster.setService(
                Self.namespace, Self.service,
                ports: [FakePort("http", port: 80, targetPort: Self.podPort, targetName: "http")],
                labels: ["app": Self.service])
            var first: [FakePod] = []
            for _ in 0..<Self.replicas {
                let pod = newPod()
                try start(pod)
                first.append(pod)
            }
            cluster.setEndpoints(Self.namespace, Self.service, first)
        } catch {
            stop(after: nil)
            throw error
        }
    }

    /// Ends the story, the pods and the API server, and removes the folder.
    func stop(after story: DemoThread?) {
        var byte: UInt8 = 0
        // Safety: one byte is read.
        _ = unsafe write(ending.writeEnd.number, &byte, 1)
        story?.join()
        for backend in pods.withLock({ $0.values.map { $0 } }) { backend.stop() }
        server.stop()
        Self.remove(folder)
    }

    // MARK: The story

    /// One rolling update after the other.
    func rollOverUntilStopped() {
        var round = 0
        while wait(milliseconds: round == 0 ? 8000 : 5000) {
            round += 1
            say("rolling update \(round) begins: \(Self.replicas) new pods, one at a time")
            let new = (0..<Self.replicas).map { _ in newPod() }
            let steps = FakeRollout(from: cluster.endpoints(Self.namespace, Self.service), to: new).steps
            for step in steps {
                guard act(step) else { return }
            }
            say("rolling update \(round) is complete")
        }
    }

    /// What a kubelet and the controllers do in a step. False where the story is over.
    private func act(_ step: FakeRollout.Step) -> Bool {
        let pod = step.happening.pod
        let name = "\(pod.name) at \(pod.ip)"
        switch step.happening {
        case .started:
            // The process is there before the pod is ready, as a readiness probe demands.
            do {
                try start(pod)
            } catch {
                say("\(name) cannot start: \(error)")
                return false
            }
            say("  \(name): started, not ready")
        case .ready: say("  \(name): ready")
        case .terminating: say("  \(name): told to stop; finishes what it has")
        case .stopped: say("  \(name): answers its probe no longer")
        case .gone:
            // A kubelet reports the end of a pod after the end of its process.
            pods.withLock { $0.removeValue(forKey: pod.uid) }?.stop()
            say("  \(name): its process has exited, it is gone")
        }
        cluster.setEndpoints(Self.namespace, Self.service, step.pods)
        return wait(milliseconds: Self.stepMilliseconds)
    }

    private func start(_ pod: FakePod) throws {
        guard let ip = IPAddress(pod.ip) else { return }
        let backend = try RunningBackend(
            name: pod.name, service: "honeydue-api", address: NetworkAddress(ip: ip, port: Self.podPort))
        pods.withLock { $0[pod.uid] = backend }
    }

    /// The next pod: each has a loopback address of its own, and addresses come back after 200 pods, as a cluster's do.
    private func newPod() -> FakePod {
        let number = born.withLock { born in
            born += 1
            return born
        }
        return FakePod(
            ip: "127.42.0.\(number % 200 + 1)", name: "api-\(FakeNames.suffix())", node: "node\(number % 3 + 1)")
    }

    /// Waits; false where the story is over.
    private func wait(milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: ending.readEnd.number, events: Int16(POLLIN), revents: 0)
        // Safety: one entry.
        return unsafe poll(&entry, 1, milliseconds) == 0
    }

    private func say(_ line: String) { writeFully("cluster: \(line)\n", to: 1) }

    // MARK: What the reader needs

    /// What the proxy runs with.
    var configuration: String {
        """
        {
          listeners: [ { name: "http", address: "127.0.0.1:8080" } ],
          admin: { address: "127.0.0.1:9090", socket: "" },
          discovery: {
            kubernetes: { server: "\(server.url)", caFile: "\(folder)/ca.crt", tokenFile: "\(folder)/token" },
            stateDirectory: "\(folder)",
          },
          services: {
            api: { kubernetes: { namespace: "\(Self.namespace)", service: "\(Self.service)", port: "http" } },
          },
          routes: [ { host: "api.myhoneydue.com", service: "api" } ],
          // The story below is worth more than a line for each request.
          log: { access: false },
          drain: { timeout: "10s" },
        }

        """
    }

    fileprivate var greeting: String {
        """
        A fake Kubernetes API server is at \(server.url), with the Service \(Self.namespace)/\(Self.service) and \
        \(Self.replicas) pods.
        The proxy listens on http://127.0.0.1:8080/. Send requests, in another terminal, while pods come and go:

          while curl -sS -o /dev/null -w '%{http_code} ' -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/; do :; done
              200, whatever happens below
          curl -sI -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/ | grep X-Backend
              which pod answered
          hdproxy status --admin http://127.0.0.1:9090
              which endpoints there are, from which witness, in which state

        Ctrl-C finishes what is in flight and stops.


        """
    }

    // MARK: Files

    private static func makeFolder() throws(SystemError) -> String {
        // Safety: the environment is not changed by anybody in this process.
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/hdproxy-demo-XXXXXX".utf8CString)
        // Safety: mkdtemp changes the last six letters in place.
        guard unsafe mkdtemp(&template) != nil else { throw SystemError("mkdtemp", doing: "making the demo's folder") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Removes the folder and the files in it; it has no folders of its own.
    private static func remove(_ folder: String) {
        // Safety: the directory is read until its end and closed; names are copied before the next read.
        if let directory = unsafe opendir(folder) {
            while let entry = unsafe readdir(directory) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    unsafe String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
                }
                // Safety: paths are NUL-terminated for the length of the call.
                if name != ".", name != ".." { _ = unsafe unlink("\(folder)/\(name)") }
            }
            unsafe closedir(directory)
        }
        _ = unsafe rmdir(folder)
    }

    private static let namespace = "honeydue"
    private static let service = "api"
    private static let replicas = 3
    private static let podPort: UInt16 = 18080
    private static let stepMilliseconds: Int32 = 1500
}
