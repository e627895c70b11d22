// Who takes part? Each proxy with the configuration that its own experts would write for the same work: one worker,
// routing by Host, connections to the backend kept and reused, the same forwarding fields, no access log.

import Glibc

/// What a proxy is to serve.
struct Site {
    /// The port of 127.0.0.1 that it listens on.
    let port: UInt16
    /// The port of 127.0.0.1 that the backend listens on.
    let backendPort: UInt16
    /// The hosts that it knows; each has a rule of its own.
    let hosts: [String]
    /// What it needs for TLS; nil: it speaks none.
    let tls: TLS?

    /// What a site needs for TLS.
    struct TLS {
        /// The port of 127.0.0.1 that it listens on, too.
        let port: UInt16
        /// Who it is.
        let certificate: SiteCertificate
    }
}

/// A proxy that can be started for a site.
protocol Contender {
    /// As in tables and results.
    var name: String { get }
    /// What it says of itself.
    var version: String { get }
    /// The program.
    var program: String { get }
    /// The arguments that start it in the foreground for `site`; files that it needs are written to `folder`.
    func arguments(for site: Site, in folder: TemporaryFolder) throws -> [String]
    /// The signal that ends it at once.
    var stopSignal: Int32 { get }
}

/// Fields that every contender sets on the request that the backend sees.
let forwardingFields = [
    "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "x-request-id", "via",
]

/// Connections that each contender has room for: 5,000 clients, their upstreams, and some.
private let connectionsMax = 8192

/// nginx, as Debian packages it.
struct NginxContender: Contender {
    let name = "nginx"
    let version: String
    let program: String
    let stopSignal = SIGTERM

    /// The nginx of this machine; nil where there is none.
    init?() {
        guard let program = findProgram("nginx") else { return nil }
        self.program = program
        // nginx tells its version on standard error.
        let text = firstLine(program, ["-v"])
        version = text.split(separator: "/").last.map(String.init) ?? text
    }

    func arguments(for site: Site, in folder: TemporaryFolder) throws -> [String] {
        let path = "\(folder.path)/nginx.\(site.port).conf"
        try writeFile(path, configuration(site, folder))
        return ["-p", folder.path, "-c", path, "-e", "\(folder.path)/nginx.error.log"]
    }

    private func configuration(_ site: Site, _ folder: TemporaryFolder) -> String {
        // As root, nginx would change to another user, who may not enter the folder.
        let user = geteuid() == 0 ? "user root;\n" : ""
        let alsoSecure = site.tls.map { " listen 127.0.0.1:\($0.port) ssl;" } ?? ""
        let servers = site.hosts.map {
            "server { listen 127.0.0.1:\(site.port);\(alsoSecure) server_name \($0); "
                + "location / { proxy_pass http://bench; } }"
        }
        return """
            \(user)worker_processes 1;
            worker_rlimit_nofile 20000;
            daemon off;
            pid \(folder.path)/nginx.\(site.port).pid;
            error_log \(folder.path)/nginx.error.log error;
            events { worker_connections \(connectionsMax); }
            http {
              access_log off;
              server_tokens off;
              keepalive_timeout 960s;
              keepalive_requests 1000000000;
              server_names_hash_max_size 8192;
              server_names_hash_bucket_size 128;
              client_max_body_size 0;
              client_body_buffer_size 64k;
              client_body_temp_path \(folder.path)/nginx.body;
              proxy_temp_path \(folder.path)/nginx.proxy;
              fastcgi_temp_path \(folder.path)/nginx.fastcgi;
              uwsgi_temp_path \(folder.path)/nginx.uwsgi;
              scgi_temp_path \(folder.path)/nginx.scgi;
            \(site.tls.map(tls) ?? "")
              proxy_http_version 1.1;
              proxy_request_buffering off;
              proxy_max_temp_file_size 0;
              proxy_buffer_size 16k;
              proxy_buffers 8 64k;
              proxy_busy_buffers_size 128k;
              proxy_read_timeout 3600s;
              map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
              proxy_set_header Connection $connection_upgrade;
              proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Host $host;
              proxy_set_header X-Forwarded-For $remote_addr;
              proxy_set_header X-Forwarded-Proto $scheme;
              proxy_set_header X-Forwarded-Host $host;
              proxy_set_header X-Real-IP $remote_addr;
              proxy_set_header X-Request-ID $msec-$connection-$connection_requests;
              proxy_set_header Via "1.1 nginx";
              upstream bench {
                server 127.0.0.1:\(site.backendPort);
                keepalive 512;
                keepalive_requests 1000000000;
                keepalive_timeout 960s;
              }
              server { listen 127.0.0.1:\(site.port) default_server backlog=4096; return 404; }
              \(site.tls.map { "server { listen 127.0.0.1:\($0.port) ssl default_server backlog=4096; return 404; }" } ?? "")
            \(servers.joined(separator: "\n"))
            }

            """
    }

    private func tls(_ tls: Site.TLS) -> String {
        """
          ssl_certificate \(tls.certificate.chain);
          ssl_certificate_key \(tls.certificate.key);
          ssl_protocols TLSv1.2 TLSv1.3;
          ssl_ciphers \(SiteTLS.ciphers);
          ssl_conf_command Ciphersuites \(SiteTLS.suites);
          ssl_ecdh_curve \(SiteTLS.groups);
          ssl_prefer_server_ciphers on;
          ssl_session_tickets on;
          ssl_session_timeout 6h;
        """
    }
}

/// HAProxy, as Debian packages it: with its usual settings, or with splicing forced on for both directions, which few
/// do but which moves long bodies more cheaply.
struct HAProxyContender: Contender {
    let name: String
    private let splices: Bool
    let version: String
    let program: String
    let stopSignal = SIGTERM

    /// The HAProxy of this machine; nil where there is none.
    init?(splices: Bool) {
        guard let program = findProgram("haproxy") else { return nil }
        name = splices ? "haproxy-splice" : "haproxy"
        self.splices = splices
        self.program = program
        version =
            firstLine(program, ["-v"]).split(separator: " ").first { $0.first?.isNumber == true }.map(String.init)
            ?? "?"
    }

    func arguments(for site: Site, in folder: TemporaryFolder) throws -> [String] {
        let path = "\(folder.path)/\(name).\(site.port).cfg"
        let map = "\(folder.path)/\(name).\(site.port).map"
        try writeFile(map, site.hosts.map { "\($0) bench\n" }.joined())
        try writeFile(path, configuration(site, map: map))
        return ["-db", "-f", path]
    }

    private func configuration(_ site: Site, map: String) -> String {
        let secure = site.tls.map {
            "bind 127.0.0.1:\($0.port) backlog 4096 ssl crt \($0.certificate.both) alpn http/1.1 ssl-min-ver TLSv1.2 "
                + "ciphers \(SiteTLS.ciphers) ciphersuites \(SiteTLS.suites) curves \(SiteTLS.groups)"
        }
        let scheme = site.tls == nil ? "http" : "%[ssl_fc,iif(https,http)]"
        return """
            global
              nbthread 1
              maxconn \(connectionsMax)
              maxpipes 256
            defaults
              mode http
              timeout connect 1s
              timeout client 960s
              timeout server 95s
              timeout http-keep-alive 960s
              timeout http-request 10s
              timeout tunnel 1h
              option http-keep-alive
              \(splices ? "option splice-request\n  option splice-response" : "option splice-auto")
              http-reuse always
            frontend http
              bind 127.0.0.1:\(site.port) backlog 4096
              \(secure ?? "")
              unique-id-format %{+X}o%ci%cp%Ts%rt
              unique-id-header X-Request-ID
              http-request set-header X-Forwarded-For %[src]
              http-request set-header X-Forwarded-Proto \(scheme)
              http-request set-header X-Forwarded-Host %[req.hdr(host)]
              http-request set-header X-Real-IP %[src]
              http-request add-header Via "1.1 haproxy"
              use_backend %[req.hdr(host),field(1,:),lower,map(\(map),none)]
            backend bench
              server origin 127.0.0.1:\(site.backendPort)
            backend none
              http-request return status 404

            """
    }
}

/// HDProxy itself.
struct HDProxyContender: Contender {
    let name = "hdproxy"
    let version: String
    let program: String
    let stopSignal = SIGTERM

    /// The hdproxy at `program`.
    init(program: String) {
        self.program = program
        version = firstLine(program, ["version"])
    }

    func arguments(for site: Site, in folder: TemporaryFolder) throws -> [String] {
        let path = "\(folder.path)/hdproxy.\(site.port).json5"
        let secure = site.tls.map {
            #", { name: "https", address: "127.0.0.1:\#($0.port)", tls: { certificates: [ "#
                + #"{ certificate: "\#($0.certificate.chain)", key: "\#($0.certificate.key)" } ] } }"#
        }
        let routes = site.hosts.map { #"    { host: "\#($0)", service: "bench" },"# }
        try writeFile(
            path,
            """
            {
              workers: 1,
              listeners: [ { name: "http", address: "127.0.0.1:\(site.port)" }\(secure ?? "") ],
              services: { bench: { endpoints: [ "127.0.0.1:\(site.backendPort)" ] } },
              routes: [
            \(routes.joined(separator: "\n"))
              ],
              log: { access: false, level: "error" },
            }

            """)
        return ["run", "--config", path]
    }
}

/// The first line that `program` writes, to standard output or error.
private func firstLine(_ program: String, _ arguments: [String]) -> String {
    guard let folder = try? TemporaryFolder() else { return "?" }
    defer { folder.remove() }
    guard let child = try? Child("version", program, arguments, cpu: nil, folder: folder) else { return "?" }
    child.wait(milliseconds: 5000)
    return child.output.split(separator: "\n").first.map(String.init) ?? "?"
}
