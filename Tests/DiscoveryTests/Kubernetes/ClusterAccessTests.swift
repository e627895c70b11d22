import FoundationEssentials
import Glibc
import ProxyCore
import Testing

@testable import Discovery

@Suite struct ClusterAccessTests {
    @Test("a pod finds the API server by its environment, brackets around IPv6") func inCluster() throws {
        func access(_ host: String, _ port: String?) throws -> ClusterAccess {
            var environment = ["KUBERNETES_SERVICE_HOST": host]
            environment["KUBERNETES_SERVICE_PORT"] = port
            return try ClusterAccess.read(.inCluster, environment: environment)
        }
        let v4 = try access("10.43.0.1", "443")
        #expect(v4.host == .ip(IPAddress("10.43.0.1")!) && v4.port == 443 && v4.authority == "10.43.0.1")
        #expect(v4.token == .file("/var/run/secrets/kubernetes.io/serviceaccount/token"))
        #expect(v4.trust == .file("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"))
        #expect(try access("fd00::1", "6443").authority == "[fd00::1]:6443")
        #expect(try access("kubernetes.default.svc", nil).authority == "kubernetes.default.svc")
        #expect(throws: ClusterAccess.Problem.self) { try access("10.43.0.1", "https") }
        #expect(throws: ClusterAccess.Problem.self) { try ClusterAccess.read(.inCluster, environment: [:]) }
    }

    @Test(
        "a server is given as https://host[:port][/prefix]",
        arguments: [
            ("https://10.0.0.1:6443", "10.0.0.1:6443", ""), ("https://[fd00::1]:6443/", "[fd00::1]:6443", ""),
            ("https://[fd00::1]", "[fd00::1]", ""), ("HTTPS://api.example.com", "api.example.com", ""),
            ("https://rancher.example.com/k8s/clusters/c-1/", "rancher.example.com", "/k8s/clusters/c-1"),
        ])
    func servers(_ url: String, _ authority: String, _ prefix: String) throws {
        let access = try ClusterAccess.server(url)
        #expect(access.authority == authority)
        #expect(access.pathPrefix == prefix)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "http://10.0.0.1", "10.0.0.1:6443", "https://", "https://:443", "https://a b", "https://a:0",
            "https://a:70000",
            "https://[fd00::1", "https://[10.0.0.1]", "https://user@host", "https://a/b?c", "https://a\r\nX: y",
            "https://ä",
        ])
    func noServers(_ url: String) {
        #expect(throws: ClusterAccess.Problem.self) { try ClusterAccess.server(url) }
    }

    private static let k3s = """
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: Q0EgYnl0ZXM=
            server: https://127.0.0.1:6443
          name: default
        contexts:
        - context:
            cluster: default
            user: default
          name: default
        current-context: default
        kind: Config
        preferences: {}
        users:
        - name: default
          user:
            client-certificate-data: Y2VydA==
            client-key-data: a2V5
        """

    private static func read(_ text: String) throws -> ClusterAccess {
        try Kubeconfig.read(Array(text.utf8), path: "/etc/kube/config")
    }

    @Test("the kubeconfig that K3s writes") func k3sFile() throws {
        let access = try Self.read(Self.k3s)
        #expect(access.authority == "127.0.0.1:6443")
        #expect(access.trust == .bytes(Array("CA bytes".utf8)))
        #expect(access.certificate == .bytes(Array("cert".utf8)))
        #expect(access.key == .bytes(Array("key".utf8)))
        #expect(access.token == nil)
    }

    @Test("comments, quotes, relative files, a server name, two contexts, and the same as JSON") func forms() throws {
        let yaml = """
            # made by hand
            ---
            current-context: "second one"   # which one
            contexts:
              - name: first
                context: {cluster: a, user: b}
              - name: 'second one'
                context:
                  cluster: c
                  user: d
                  namespace: x
            clusters:
              - name: c
                cluster:
                  server: https://api.example.com:6443
                  certificate-authority: ca.crt
                  tls-server-name: kubernetes
                  insecure-skip-tls-verify: false
            users:
              - name: d
                user:
                  tokenFile: /run/token
                  token: old
                  client-certificate-data: >-
                    Y2Vy
                    dA==
                  client-key: keys/tls.key
            """
        let json = """
            {"current-context":"second one","contexts":[{"name":"second one","context":{"cluster":"c","user":"d"}}],
              "clusters": [ {"name":"c","cluster":{"server":"https:\\/\\/api.example.com:6443",
              "certificate-authority":"ca.crt","tls-server-name":"kubernetes","insecure-skip-tls-verify":false}} ],
            "users":[{"name":"d","user":{"tokenFile":"/run/token","client-certificate-data":"Y2VydA==",
              "client-key":"keys/tls.key"}}]}
            """
        for text in [yaml, json, yaml.replacing("\n", with: "\r\n")] {
            let access = try Self.read(text)
            #expect(access.trust == .file("/etc/kube/ca.crt"))
            #expect(access.tlsName == .name("kubernetes"))
            #expect(access.token == .file("/run/token"))
            #expect(access.certificate == .bytes(Array("cert".utf8)))
            #expect(access.key == .file("/etc/kube/keys/tls.key"))
        }
    }

    @Test(
        "what is not supported or not there is refused by file, line and name",
        arguments: [
            (
                "    server: https://127.0.0.1:6443",
                "    server: https://127.0.0.1:6443\n    insecure-skip-tls-verify: true",
                "/etc/kube/config:6: insecure-skip-tls-verify is not supported: the server is always verified; give certificate-authority"
            ),
            (
                "    client-key-data: a2V5", "    client-key-data: a2V5\n    exec:\n      command: aws",
                "/etc/kube/config:21: user \"default\": exec is not supported, since it would run a program; use a token, tokenFile or a client certificate"
            ),
            (
                "    client-key-data: a2V5", "    auth-provider: {name: oidc}",
                "/etc/kube/config:19: user \"default\": auth-provider is not supported, since it needs a plug-in; use a token, tokenFile or a client certificate"
            ),
            (
                "\n    client-key-data: a2V5", "",
                "/etc/kube/config:18: user \"default\": client-certificate and client-key belong together"
            ),
            ("a2V5", "a2V5*", "/etc/kube/config:19: client-key-data is not Base64"),
            ("current-context: default\n", "", "/etc/kube/config:1: there is no current-context"),
            (
                "current-context: default", "current-context: other",
                "/etc/kube/config:8: contexts has none called \"other\""
            ),
            ("    cluster: default", "    cluster: nope", "/etc/kube/config:3: clusters has none called \"nope\""),
            (
                "https://127.0.0.1:6443", "http://127.0.0.1:8080",
                "/etc/kube/config:5: \"http://127.0.0.1:8080\": the API server is only spoken to over TLS, as https://host[:port]"
            ),
            ("kind: Config", "kind: &a Config", "/etc/kube/config:13: anchors are not read"),
            ("kind: Config", "kind: *a", "/etc/kube/config:13: aliases are not read"),
            ("kind: Config", "kind: !!str Config", "/etc/kube/config:13: tags are not read"),
            (
                "kind: Config", "kind: Con\n  fig",
                "/etc/kube/config:14: values that run over several lines are not read; quote it in one"
            ),
            ("kind: Config", "kind: \"Config", "/etc/kube/config:13: the quotation mark is not closed in its line"),
            ("kind: Config", "kind: a: b", "/etc/kube/config:13: a second colon: quote the value"),
            ("kind: Config", "apiVersion: v2", "/etc/kube/config:13: \"apiVersion\" stands here a second time"),
            (
                "kind: Config", "kind: Config\n---\na: b",
                "/etc/kube/config:14: only one document is read, and here a second one begins"
            ),
            ("kind: Config", "\tkind: Config", "/etc/kube/config:13: a tab cannot indent; use spaces"),
            (
                "preferences: {}", "preferences: {a: [1, 2}",
                "/etc/kube/config:14: a comma or the closing bracket is expected"
            ),
            (
                "    user: default", "   user: default",
                "/etc/kube/config:10: this is indented more than what it follows"
            ),
        ])
    func refused(_ part: String, _ replacement: String, _ message: String) throws {
        let text = Self.k3s.replacing(part, with: replacement)
        #expect(text != Self.k3s)
        do {
            _ = try Self.read(text)
            Issue.record("this is refused")
        } catch let problem as ClusterAccess.Problem {
            #expect(problem.description == message)
        }
    }

    @Test("no cut and no change of a byte makes the reader fall over") func mutations() {
        var cutter = Cutter()
        let bytes = Array(Self.k3s.utf8)
        for end in stride(from: 0, to: bytes.count, by: 7) { _ = try? YAMLReader.read(Array(bytes[..<end])) }
        for _ in 0..<300 {
            var changed = bytes
            for _ in 0..<3 {
                changed[Int(cutter.next() % UInt64(bytes.count))] =
                    Array(" \t\n:-{}[]\"'|>#&\\,?".utf8)[Int(cutter.next() % 18)]
            }
            _ = try? YAMLReader.read(changed)
        }
        _ = try? YAMLReader.read(Array(String(repeating: "[", count: 100_000).utf8))
        _ = try? YAMLReader.read(Array(String(repeating: "- ", count: 100_000).utf8))
    }
}
