// The witness against a server that behaves like the real one, over TLS, through whatever may happen to it.

import FakeCluster
import FoundationEssentials
import Glibc
import ProxyCore
import Testing

@testable import Discovery

@Suite(.onControlThread) struct LiveClusterTests {
    init() { ControlThread.start() }

    /// A server with Service `api` in namespace `shop`, and the files that a client needs.
    private final class Stage {
        let server: FakeAPIServer
        let folder = "/tmp/hdproxy-live-\(getpid())-\(systemRandom())"
        var caFile: String { folder + "/ca.crt" }
        var tokenFile: String { folder + "/token" }

        init(_ security: FakeAPIServer.Security = .tls) throws {
            server = try FakeAPIServer(security: security)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try server.writeFiles(caFile: caFile, tokenFile: tokenFile)
            server.cluster.setService("shop", "api", ports: [FakePort("http", port: 80, targetPort: 8000)])
            pods("10.42.0.1", "10.42.1.1")
        }

        func pods(_ ips: String...) {
            server.cluster.setEndpoints("shop", "api", ips.map { FakePod(ip: $0, uid: "uid-" + $0) })
        }

        @ControlThread
        func witness(_ change: (inout KubernetesSource.Options) -> Void = { _ in }) -> Witness {
            Witness(nil, cluster: .server(server.url, caFile: caFile, tokenFile: tokenFile), change)
        }

        deinit {
            server.refuse()
            server.stop()
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    @ControlThread
    private static func everEmptied(_ witness: Witness) -> Bool {
        witness.testimonies.contains { testimony in
            if case .kubernetes(let update) = testimony { update.services["api"] == [] } else { false }
        }
    }

    @Test("killed, away with its history lost: what is known stays, and what changed is told after")
    @ControlThread
    func troubles() async throws {
        let stage = try Stage()
        let witness = stage.witness()
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1" })
        #expect(witness.services["api"]?.first?.address.port == 8000)
        #expect(await stage.server.watchIsOpen(on: .endpointSlices, namespace: "shop"))
        stage.pods("10.42.0.1", "10.42.1.2")
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.2" })

        stage.server.crash()
        stage.pods("10.42.0.3")
        stage.server.cluster.loseHistory()
        #expect(await witness.until { !witness.lost.isEmpty })
        #expect(witness.addresses() == "10.42.0.1 10.42.1.2")
        stage.server.accept()
        #expect(await witness.until { witness.addresses() == "10.42.0.3" })
        #expect(await witness.until { witness.source.status.synced })

        #expect(!Self.everEmptied(witness))
        await witness.stop()
    }

    @Test(
        "garbage costs nothing that is known, and what changed meanwhile is told after",
        arguments: [
            .html, .notJSON, .cutJSON, .wrongChunkSize, .badChunkSize, .close, .status(500, retryAfter: nil),
        ] as [FakeAPIServer.Answer])
    @ControlThread
    func garbage(_ answer: FakeAPIServer.Answer) async throws {
        let stage = try Stage()
        let witness = stage.witness()
        #expect(await witness.until { witness.source.status.synced })
        #expect(await stage.server.watchIsOpen(on: .endpointSlices, namespace: "shop"))
        // The first answer after the cut, and then one after the next pause.
        stage.server.answer(next: 2, .init(.endpointSlices), with: answer)
        stage.server.killConnections()
        stage.pods("10.42.0.4")
        #expect(await witness.until { witness.addresses() == "10.42.0.4" })
        #expect(witness.source.status.errorCounts.values.reduce(0, +) >= 2)
        #expect(!Self.everEmptied(witness))
        await witness.stop()
    }

    @Test("a server that only accepts is out of touch after the handshake's time, and in touch once it goes on")
    @ControlThread
    func paused() async throws {
        let stage = try Stage()
        stage.server.pause()
        let witness = stage.witness {
            $0.timing.handshake = .milliseconds(100)
            $0.timing.head = .milliseconds(100)
        }
        #expect(await witness.until { witness.source.status.errorCounts["timeout"] != nil })
        stage.server.resume()
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1" })
        await witness.stop()
    }

    @Test("a certificate that is not accepted is an error with a word, and a new CA file is read when it comes")
    @ControlThread
    func rotatedAuthority() async throws {
        let stage = try Stage()
        let witness = stage.witness()
        #expect(await witness.until { witness.source.status.synced })
        try stage.server.rotateAuthority()
        stage.server.killConnections()
        #expect(await witness.until { witness.lost.contains { $0.contains("certificate") } })
        #expect(witness.source.status.errorCounts["tls"] != nil)
        try stage.server.writeFiles(caFile: stage.caFile, tokenFile: stage.tokenFile)
        stage.pods("10.42.0.9")
        #expect(await witness.until { witness.addresses() == "10.42.0.9" })
        await witness.stop()
    }

    @Test("a token that is not accepted any more is read again") @ControlThread
    func rotatedToken() async throws {
        let stage = try Stage()
        let witness = stage.witness()
        #expect(await witness.until { witness.source.status.synced })
        stage.server.addToken("second")
        try stage.server.writeFiles(caFile: stage.caFile, tokenFile: stage.tokenFile, token: "second")
        stage.server.revokeToken()
        stage.pods("10.42.0.9")
        stage.server.killConnections()
        #expect(await witness.until { witness.addresses() == "10.42.0.9" })
        await witness.stop()
    }

    @Test("a kubeconfig with a client certificate") @ControlThread
    func kubeconfig() async throws {
        let stage = try Stage(.mutualTLS)
        let identity = try stage.server.clientIdentity()
        func packed(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
        let text = """
            current-context: here
            contexts: [{name: here, context: {cluster: c, user: u}}]
            clusters:
            - name: c
              cluster:
                server: \(stage.server.url)
                certificate-authority: ca.crt
            users:
            - name: u
              user:
                tokenFile: token
                client-certificate-data: \(packed(identity.certificateChain))
                client-key-data: \(packed(identity.key))
            """
        let path = stage.folder + "/config"
        try Data(text.utf8).write(to: URL(filePath: path))
        let witness = Witness(nil, cluster: .kubeconfig(path))
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1" })
        await witness.stop()
    }

    @Test("a pod's way in: environment, service account, the address in the certificate") @ControlThread
    func inCluster() async throws {
        let stage = try Stage()
        var options = KubernetesSource.Options()
        options.serviceAccount = stage.folder
        var told: [WitnessedEndpoint]?
        let source = KubernetesSource(
            .inCluster, services: [Witness.api],
            environment: [
                "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "\(stage.server.address.port)",
            ], options: options,
            heard: { if case .kubernetes(let update) = $0 { told = update.services["api"] ?? told } }, note: { _ in })
        let task = ControlThread.spawn { await source.run() }
        let end = Clock.now() + .milliseconds(10_000)
        while told == nil, Clock.now() < end { _ = await ControlThread.sleep(for: .milliseconds(2)) }
        #expect(told?.count == 2)
        task.cancel()
        await task.value
    }

    @Test("a server without slices tells by Endpoints") @ControlThread
    func endpoints() async throws {
        let stage = try Stage()
        stage.server.setServesSlices(false)
        let witness = stage.witness()
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1" })
        stage.pods("10.42.0.7")
        #expect(await witness.until { witness.addresses() == "10.42.0.7" })
        await witness.stop()
    }

    @Test("watch-list where it is wanted, and lists where the server refuses it", arguments: [true, false])
    @ControlThread
    func watchList(_ serves: Bool) async throws {
        let stage = try Stage()
        stage.server.setServesWatchList(serves)
        let witness = stage.witness { $0.slices.prefersWatchList = true }
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1" })
        stage.pods("10.42.0.7")
        #expect(await witness.until { witness.addresses() == "10.42.0.7" })
        let lists = stage.server.observed.requests.filter { $0.resource == .endpointSlices && !$0.isWatch }
        #expect(lists.count == (serves ? 0 : 1))
        await witness.stop()
    }

    @Test("an event of megabytes") @ControlThread
    func largeEvent() async throws {
        let stage = try Stage()
        let witness = stage.witness()
        #expect(await witness.until { witness.source.status.synced })
        #expect(await stage.server.watchIsOpen(on: .endpointSlices, namespace: "shop"))
        let ballast = String(repeating: "x{\\\"", count: 500_000)
        stage.server.cluster.setObject(
            .endpointSlices, "shop", "api-large",
            json: """
                {"metadata":{"name":"api-large","namespace":"shop","resourceVersion":"%RV%",\
                "annotations":{"ballast":"\(ballast)"},"labels":{"kubernetes.io/service-name":"api"}},\
                "addressType":"IPv4","endpoints":[{"addresses":["10.42.9.9"]}],"ports":[{"name":"http","port":8000}]}
                """)
        #expect(await witness.until { witness.addresses() == "10.42.0.1 10.42.1.1 10.42.9.9" })
        #expect(witness.source.status.errorCounts.isEmpty)
        await witness.stop()
    }
}
