// nginx that speaks TLS, as the endpoint of a service, with whoever a test wants behind it.

import Foundation
import ProxyCore
import TestTools

/// nginx that speaks TLS, and what the proxy is told of it.
final class SecureUpstream {
    let certificates: CertificateFolder
    let nginx: Nginx
    let port: UInt16
    /// Who answers below `/app`, behind nginx.
    let app: LoopbackListener

    init() throws {
        let app = try LoopbackListener()
        self.app = app
        let certificates = try CertificateFolder()
        self.certificates = certificates
        _ = try certificates.server("back", for: ["back.test"])
        let port = try freePort()
        let large = Data((0..<(4 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) })
        nginx = try Nginx(
            port: try freePort(), files: ["large": large, "small": Data("small".utf8)],
            more: { root, plain in
                """
                map $http_upgrade $app_connection { default upgrade; "" close; }
                server {
                  listen 127.0.0.1:\(port) ssl; root \(root);
                  ssl_certificate \(certificates.path("back"));
                  ssl_certificate_key \(certificates.path("back-key"));
                  ssl_client_certificate \(certificates.path("ca")); ssl_verify_client optional;
                  location /told { return 200 "$ssl_server_name $host $connection $ssl_client_s_dn $ssl_session_reused"; }
                  location = / { return 200 "$ssl_client_s_dn"; }
                  location /app {
                    client_max_body_size 0; proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $app_connection;
                    proxy_read_timeout 60s; proxy_pass http://\(app.address);
                  }
                  location /health { access_log health.log; return 200 "well"; }
                  location /takes { client_max_body_size 0; proxy_pass http://127.0.0.1:\(plain)/taken; }
                }
                """
            })
        self.port = port
    }

    func proxy(_ tls: String, port: UInt16, admin: UInt16, more: String = "") throws -> ProxyProcess {
        try ProxyProcess(configuration: text(tls, port: port, admin: admin, more: more), awaiting: [port, admin])
    }

    func text(_ tls: String, port: UInt16, admin: UInt16, more: String = "") -> String {
        configuration(
            listeners: [port],
            services: [
                "n": """
                endpoints: [ "127.0.0.1:\(self.port)" ], scheme: "https",
                tls: { \(tls) }, retry: { attempts: 0 }, outlier: { consecutiveFailures: 0 },
                timeouts: { connect: "10s" }, \(more)
                """
            ],
            routes: ["{ host: \"*\", service: \"n\" }"],
            more: "admin: { address: \"127.0.0.1:\(admin)\", socket: \"\" }, handoff: { socket: \"\" },")
    }

    /// Writes what a client called `name` shows, and says it as `tls` of a service does.
    func identity(_ name: String) throws -> String {
        let pair = try certificates.authority.issue(.client, name: name)
        try certificates.write(name, pair.certificateChain)
        try certificates.write("\(name)-key", pair.key)
        return "\(ca), serverName: \"back.test\", certificate: \"\(certificates.path(name))\", "
            + "key: \"\(certificates.path("\(name)-key"))\""
    }

    var ca: String { "ca: \"\(certificates.path("ca"))\"" }
}
