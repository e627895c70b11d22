// Who is besieged? hdproxy, in as many processes as the limit of descriptors asks for, or nginx or HAProxy with time
// limits as their users would set them.

import Glibc
import ProxyCore

/// A proxy that waits for a crowd.
final class HostileTarget {
    /// What it is, in words.
    let text: String
    /// Where it speaks HTTP, and HTTPS.
    let port: UInt16
    let securePort: UInt16
    let children: [Child]
    private let meters: [ProcessMeter]

    /// What it is to serve: the others' backend for a.test, those of the crowd for crowd.test.
    struct Site {
        var port: UInt16
        var securePort: UInt16
        var backend: UInt16
        var crowdBackends: [UInt16]
        var folder: TemporaryFolder
        var stage: HostileStage

        /// A time limit: an hour where nobody is to be thrown out.
        func limit(_ time: String) -> String { stage == .held ? "1h" : time }
    }

    /// Starts `name` and waits until it answers.
    init(
        _ name: String, _ plan: HostilePlan, _ kind: CrowdKind, stage: HostileStage, backend: UInt16,
        crowdBackends: [UInt16], cpu: Int?, folder: TemporaryFolder
    ) throws {
        port = try freePort()
        securePort = try freePort()
        let site = Site(
            port: port, securePort: securePort, backend: backend, crowdBackends: crowdBackends, folder: folder,
            stage: stage)
        let processes = plan.processes > 0 ? plan.processes : plan.processesNeeded(kind)
        var children: [Child] = []
        switch name {
        case "nginx":
            let path = "\(folder.path)/nginx.conf"
            try writeFile(path, Self.nginx(site, plan, processes))
            guard let program = findProgram("nginx") else { throw Failure("there is no nginx") }
            children = [try Child(name, program, ["-c", path], cpu: cpu, folder: folder)]
            text = "nginx, \(processes) worker\(processes > 1 ? "s" : "")"
        case "haproxy":
            let path = "\(folder.path)/haproxy.cfg"
            try writeFile(path, Self.haproxy(site, plan))
            guard let program = findProgram("haproxy") else { throw Failure("there is no haproxy") }
            children = [try Child(name, program, ["-db", "-f", path], cpu: cpu, folder: folder)]
            text = "haproxy, which has one process, however few descriptors that may have"
        default:
            let path = "\(folder.path)/proxy.json5"
            try writeFile(path, Self.hdproxy(site, plan, memory: plan.memory / processes))
            for _ in 0..<processes {
                children.append(try Child(name, plan.program, ["run", "--config", path], cpu: cpu, folder: folder))
            }
            text = "hdproxy, \(processes) of them on one port, budget \((plan.memory / processes) >> 20) MiB each"
        }
        self.children = children
        try Self.awaitAnswers(children, port, listening: name == "haproxy" ? 1 : processes)
        meters = children.map { ProcessMeter($0.pid) }
    }

    deinit { stop() }

    /// Ends it.
    func stop() { for child in children { child.stop() } }

    private static func awaitAnswers(_ children: [Child], _ port: UInt16, listening: Int) throws {
        let giveUpAt = monotonicNow() + 30_000_000_000
        while listeners(port) < listening || fetch(port: port, host: "a.test", path: "/bytes/3")?.status != 200 {
            for child in children where !child.isRunning || monotonicNow() > giveUpAt || stopWasAsked {
                throw Failure("\(child.name) did not start: \(child.output.suffix(600))")
            }
            pause(milliseconds: 20)
        }
    }

    /// Sockets that listen on a port, of all processes (proc(5): the state 0A).
    private static func listeners(_ port: UInt16) -> Int {
        let number = String(port, radix: 16, uppercase: true)
        let place = ":" + String(repeating: "0", count: 4 - number.count) + number
        return (readSystemFile("/proc/net/tcp") ?? "").split(separator: "\n").filter { line in
            let words = line.split(separator: " ")
            return words.count > 3 && words[1].hasSuffix(place) && words[3] == "0A"
        }.count
    }

    // MARK: Figures

    /// Nanoseconds of CPU so far.
    func cpu() -> UInt64 { meters.reduce(0) { $0 + $1.cpu() } }

    /// Bytes of memory: resident now, and at most so far (`VmRSS`, `VmHWM`).
    func memory(_ name: String) -> Int {
        meters.flatMap(\.processes).reduce(0) { sum, pid in
            let line = (readSystemFile("/proc/\(pid)/status") ?? "").split(separator: "\n").first { $0.hasPrefix(name) }
            return sum + (line.flatMap { Int($0.filter(\.isNumber)) } ?? 0) * 1024
        }
    }

    /// Descriptors that are open.
    var descriptors: Int {
        meters.flatMap(\.processes).reduce(0) { $0 + names(in: "/proc/\($1)/fd").count }
    }

    /// Whether all of it still runs.
    var isAlive: Bool { children.allSatisfy(\.isRunning) }

    // MARK: Configurations

    private static func hdproxy(_ site: Site, _ plan: HostilePlan, memory: Int) -> String {
        """
        {
          workers: 1, memory: \(memory),
          listeners: [
            { name: "http", address: "127.0.0.1:\(site.port)" },
            { name: "https", address: "127.0.0.1:\(site.securePort)",
              tls: { certificates: [ { certificate: "\(site.folder.path)/tls.crt", key: "\(site.folder.path)/tls.key" } ] } },
          ],
          admin: { address: "", socket: "" }, handoff: { socket: "" },
          services: {
            a: { endpoints: [ "127.0.0.1:\(site.backend)" ] },
            crowd: { endpoints: [ \(site.crowdBackends.map { "\"127.0.0.1:\($0)\"" }.joined(separator: ", ")) ] },
          },
          routes: [ { host: "a.test", service: "a" }, { host: "crowd.test", service: "crowd" } ],
          timeouts: { tlsHandshake: "\(site.limit("10s"))", requestHeader: "\(site.limit("10s"))",
                      requestBodyIdle: "\(site.limit(plan.wait))", responseIdle: "\(site.limit(plan.wait))" },
          log: { access: true, file: "/dev/null" },
        }

        """
    }

    private static func nginx(_ site: Site, _ plan: HostilePlan, _ processes: Int) -> String {
        let folder = site.folder.path
        return """
            \(geteuid() == 0 ? "user root;" : "")
            worker_processes \(processes); worker_rlimit_nofile \(raiseDescriptorLimit());
            daemon off; pid \(folder)/nginx.pid; error_log /dev/null crit;
            events { worker_connections \(raiseDescriptorLimit() - 100); }
            http {
              access_log off;
              keepalive_timeout 960s; keepalive_requests 1000000000;
              client_header_timeout \(site.limit("10s")); client_body_timeout \(site.limit(plan.wait));
              send_timeout \(site.limit(plan.wait));
              client_body_temp_path \(folder)/b; proxy_temp_path \(folder)/p; fastcgi_temp_path \(folder)/f;
              uwsgi_temp_path \(folder)/u; scgi_temp_path \(folder)/s;
              proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
              client_max_body_size 0;
              upstream a { server 127.0.0.1:\(site.backend); keepalive 64; keepalive_requests 1000000000; }
              upstream crowd { \(site.crowdBackends.map { "server 127.0.0.1:\($0);" }.joined(separator: " ")) keepalive 64; }
              ssl_certificate \(folder)/tls.crt; ssl_certificate_key \(folder)/tls.key;
              server { listen 127.0.0.1:\(site.port) reuseport backlog=4096; listen 127.0.0.1:\(site.securePort) ssl reuseport backlog=4096;
                       server_name a.test; location / { proxy_pass http://a; } }
              server { listen 127.0.0.1:\(site.port); listen 127.0.0.1:\(site.securePort) ssl;
                       server_name crowd.test; location / { proxy_pass http://crowd; } }
            }

            """
    }

    private static func haproxy(_ site: Site, _ plan: HostilePlan) -> String {
        """
        global
          nbthread 1
          maxconn \(raiseDescriptorLimit() / 2 - 200)
        defaults
          mode http
          timeout connect 1s
          timeout client \(site.limit(plan.wait))
          timeout server 95s
          timeout http-keep-alive 960s
          timeout http-request \(site.limit("10s"))
          http-reuse always
        frontend all
          bind 127.0.0.1:\(site.port) backlog 4096
          bind 127.0.0.1:\(site.securePort) backlog 4096 ssl crt \(site.folder.path)/tls.pem
          use_backend crowd if { hdr(host) crowd.test }
          default_backend a
        backend a
          server a 127.0.0.1:\(site.backend)
        backend crowd
        \(site.crowdBackends.map { "  server s\($0) 127.0.0.1:\($0)" }.joined(separator: "\n"))

        """
    }
}
