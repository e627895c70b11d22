// Would a cluster run this? What `kubectl kustomize` makes of Config/kubernetes is held against the facts that a proxy
// on the host's network depends on. Each fact comes with a change that breaks it, and is seen to notice.

import Foundation
import Testing

/// Something that must hold for the manifests, and how to spoil it.
struct DeployFact: Sendable, CustomTestStringConvertible {
    let sentence: String
    let holds: @Sendable (Manifests) -> Bool
    let spoil: @Sendable (inout Manifests) -> Void

    init(
        _ sentence: String, _ holds: @escaping @Sendable (Manifests) -> Bool,
        spoilt spoil: @escaping @Sendable (inout Manifests) -> Void
    ) {
        self.sentence = sentence
        self.holds = holds
        self.spoil = spoil
    }

    var testDescription: String { sentence }
}

@Suite("Deployment")
struct DeployTests {
    @Test("what a node depends on, and that its absence is noticed", arguments: objects + node + rollout + security)
    func manifests(_ fact: DeployFact) throws { try check(fact) }

    @Test("what pod, probes and files depend on, and that its absence is noticed", arguments: probes + files + image)
    func pod(_ fact: DeployFact) throws { try check(fact) }

    private func check(_ fact: DeployFact) throws {
        var manifests = try Manifests.rendered.get()
        #expect(fact.holds(manifests), "\(fact.sentence)")
        fact.spoil(&manifests)
        #expect(!fact.holds(manifests), "a manifest without this passes unnoticed: \(fact.sentence)")
    }

    @Test("the configuration has one source: the example is the very file that becomes the ConfigMap")
    func oneSource() throws {
        let root = try SourceTree.project.get().root
        let example = root.appending(path: "Config/edge.json5").resolvingSymlinksInPath()
        #expect(example.path.hasSuffix("/Config/kubernetes/edge.json5"))
        let map = try Manifests.rendered.get()["ConfigMap"]["data"]?.members["hdproxy.json5"]
        #expect(try map == .text(String(contentsOf: example, encoding: .utf8)))
    }

    @Test("the image's tag is the version of the program")
    func version() throws {
        let tree = try SourceTree.project.get()
        let lines = try #require(tree.file("Sources/HDProxy/Commands/VersionCommand.swift")).lines
        let version = lines.compactMap { $0.firstMatch(of: /^let hdproxyVersion = "(.+)"$/)?.1 }.first
        #expect(try Manifests.rendered.get().container["image"]?.text == "hdproxy:\(try #require(version))")
    }
}

private let objects: [DeployFact] = [
    DeployFact(
        "one of each: namespace, service account, role, binding, configuration, DaemonSet; and nothing else",
        {
            $0.objects.compactMap { $0["kind"]?.text }.sorted() == [
                "ConfigMap", "DaemonSet", "Namespace", "Role", "RoleBinding", "ServiceAccount",
            ]
        }, spoilt: { $0.objects.append(["kind": "ClusterRole"]) }),
    DeployFact(
        "its namespace admits pods on the host's network",
        { $0["Namespace"]["metadata.labels"]?.members["pod-security.kubernetes.io/enforce"] == "privileged" },
        spoilt: { $0["Namespace"]["metadata.labels"] = ["pod-security.kubernetes.io/enforce": "baseline"] }),
    DeployFact(
        "all but the access to services stands in the namespace hdproxy",
        { manifests in
            ["ServiceAccount", "ConfigMap", "DaemonSet"].allSatisfy {
                manifests[$0]["metadata.namespace"] == manifests["Namespace"]["metadata.name"]
            }
        }, spoilt: { $0["ConfigMap"]["metadata.namespace"] = "default" }),
    DeployFact(
        "it may read endpoint slices and services, and do nothing else",
        {
            let reading: Node = ["get", "list", "watch"]
            return $0["Role"]["rules"] == [
                ["apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": reading],
                ["apiGroups": [""], "resources": ["services"], "verbs": reading],
            ]
        }, spoilt: { $0["Role"]["rules.1.resources.1"] = "secrets" }),
    DeployFact(
        "it may do so where the configured services are, and nowhere else",
        { manifests in
            let used = Set(
                (manifests.edge["services"]?.members ?? [:]).values.compactMap { $0["kubernetes.namespace"] })
            let granted = manifests.indices("Role").map { manifests.objects[$0]["metadata.namespace"] }
            return Set(granted) == (used.isEmpty ? ["honeydue"] : used) && manifests.indices("ClusterRole").isEmpty
        }, spoilt: { $0["Role"]["metadata.namespace"] = "hdproxy" }),
    DeployFact(
        "the binding gives that role to the pod's service account, in the role's namespace",
        {
            let binding = $0["RoleBinding"]
            return binding["metadata.namespace"] == $0["Role"]["metadata.namespace"]
                && binding["roleRef"]
                    == ["apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hdproxy-discovery"]
                && $0["Role"]["metadata.name"] == "hdproxy-discovery"
                && binding["subjects"] == [["kind": "ServiceAccount", "name": "hdproxy", "namespace": "hdproxy"]]
                && $0["ServiceAccount"]["metadata.name"] == "hdproxy" && $0.pod["serviceAccountName"] == "hdproxy"
        }, spoilt: { $0["RoleBinding"]["subjects.0.namespace"] = "honeydue" }),
    DeployFact(
        "only this pod is given the account's token",
        {
            $0["ServiceAccount"]["automountServiceAccountToken"] == false
                && $0.pod["automountServiceAccountToken"] == true
        }, spoilt: { $0.pod["automountServiceAccountToken"] = nil }),
    DeployFact(
        "the selector meets the pods, in an API version that the server still has",
        {
            let labels = $0["DaemonSet"]["spec.template.metadata.labels"]?.members ?? [:]
            let wanted = $0["DaemonSet"]["spec.selector.matchLabels"]?.members ?? [:]
            return $0["DaemonSet"]["apiVersion"] == "apps/v1" && !wanted.isEmpty
                && wanted.allSatisfy { labels[$0.key] == $0.value }
        }, spoilt: { $0["DaemonSet"]["spec.selector.matchLabels"] = ["app": "hdproxy"] }),
]

private let node: [DeployFact] = [
    DeployFact(
        "it listens on the node's own addresses", { $0.pod["hostNetwork"] == true },
        spoilt: { $0.pod["hostNetwork"] = nil }),
    DeployFact(
        "on the host's network it still asks the cluster's DNS", { $0.pod["dnsPolicy"] == "ClusterFirstWithHostNet" },
        spoilt: { $0.pod["dnsPolicy"] = "ClusterFirst" }),
    DeployFact(
        "it declares no ports, which would keep two generations from standing on one node",
        {
            $0.container["image"] != nil && $0.container["ports"] == nil && $0.pod["initContainers"] == nil
        }, spoilt: { $0.container["ports"] = [["containerPort": 80]] }),
    DeployFact(
        "it sets no sysctl, which the kubelet refuses on the host's network",
        { $0.pod["securityContext"] != nil && $0.pod["securityContext.sysctls"] == nil },
        spoilt: {
            $0.pod["securityContext.sysctls"] = [["name": "net.ipv4.ip_unprivileged_port_start", "value": "80"]]
        }),
    DeployFact(
        "it stands on every Linux node, reserved ones too",
        {
            $0.pod["tolerations"] == [["operator": "Exists"]] && $0.pod["nodeSelector"]?.members.count == 1
                && $0.pod["nodeSelector"]?.members["kubernetes.io/os"] == "linux" && $0.pod["affinity"] == nil
        }, spoilt: { $0.pod["tolerations"] = [] }),
    DeployFact(
        "it is the last to be evicted", { $0.pod["priorityClassName"] == "system-node-critical" },
        spoilt: { $0.pod["priorityClassName"] = nil }),
    DeployFact(
        "it knows its node's name",
        {
            $0.container["env"]?.items.contains(
                ["name": "NODE_NAME", "valueFrom": ["fieldRef": ["fieldPath": "spec.nodeName"]]]) == true
        }, spoilt: { $0.container["env.0.name"] = "NODE" }),
    DeployFact(
        "no other process of the node is in its sight",
        { $0.pod["hostNetwork"] == true && $0.pod["hostPID"] == nil && $0.pod["hostIPC"] == nil },
        spoilt: { $0.pod["hostPID"] = true }),
    DeployFact(
        "it asks for CPU and memory, and only memory has a limit: one for the CPU would stop it amid requests",
        {
            $0.container["resources.requests"]?.members.keys.sorted() == ["cpu", "memory"]
                && $0.container["resources.limits"]?.members.keys.sorted() == ["memory"]
        }, spoilt: { $0.container["resources.limits.cpu"] = "1" }),
    DeployFact(
        "who gathers metrics is told the port of the admin listener",
        {
            let annotations = $0["DaemonSet"]["spec.template.metadata.annotations"]?.members ?? [:]
            let admin = $0.edge["admin.address"]?.text ?? "127.0.0.1:9090"
            return annotations["prometheus.io/scrape"] == "true" && annotations["prometheus.io/path"] == "/metrics"
                && annotations["prometheus.io/port"]?.text == admin.split(separator: ":").last.map(String.init)
                && admin.hasPrefix("127.0.0.1:")
        },
        spoilt: {
            $0["DaemonSet"]["spec.template.metadata.annotations"] = [
                "prometheus.io/scrape": "true", "prometheus.io/path": "/metrics", "prometheus.io/port": "80",
            ]
        }),
]

private let rollout: [DeployFact] = [
    DeployFact(
        "the new generation starts beside the old one, which goes only then; the 0 is said, as the server demands",
        {
            $0["DaemonSet"]["spec.updateStrategy"] == [
                "type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1, "maxUnavailable": 0],
            ]
        }, spoilt: { $0["DaemonSet"]["spec.updateStrategy.rollingUpdate.maxUnavailable"] = nil }),
    DeployFact(
        "two pods meet at a name that belongs to the node's network: they share no file system",
        {
            // Its default is made from the first listener's address.
            guard let socket = $0.edge["handoff.socket"] else { return true }
            return socket.text?.hasPrefix("@") == true
        }, spoilt: { $0.edge["handoff"] = ["socket": "/run/hdproxy/handoff.sock"] }),
    DeployFact(
        "a new generation is available once its predecessor can no longer take the sockets back",
        { seconds($0["DaemonSet"]["spec.minReadySeconds"]) >= seconds($0.edge["handoff.confirm"], else: 10) },
        spoilt: { $0["DaemonSet"]["spec.minReadySeconds"] = nil }),
    DeployFact(
        "the kubelet's patience outlasts handing over and draining, with five seconds to spare",
        {
            let leaving =
                seconds($0.edge["handoff.confirm"], else: 10) + seconds($0.edge["drain.delay"], else: 0)
                + seconds($0.edge["drain.timeout"], else: 30) + 0.5
            return seconds($0.pod["terminationGracePeriodSeconds"]) >= leaving + 5
        }, spoilt: { $0.pod["terminationGracePeriodSeconds"] = 45 }),
    DeployFact(
        "the configuration's name has no hash: a changed route is a reload, not a rolling update",
        { $0["ConfigMap"]["metadata.name"] == "hdproxy" },
        spoilt: { $0["ConfigMap"]["metadata.name"] = "hdproxy-7d4k9b2c5f" }),
    DeployFact(
        "nothing runs before the end but the program itself: an image without a shell has no other hook",
        { $0.container["image"] != nil && $0.container["lifecycle"] == nil },
        spoilt: { $0.container["lifecycle"] = ["preStop": ["exec": ["command": ["sleep", "5"]]]] }),
]

private let security: [DeployFact] = [
    DeployFact(
        "it runs as nobody in particular, by number, and never as root",
        {
            $0.pod["securityContext.runAsNonRoot"] == true
                && ($0.pod["securityContext.runAsUser"]?.number ?? 0) > 0
                && ($0.pod["securityContext.runAsGroup"]?.number ?? 0) > 0
        }, spoilt: { $0.pod["securityContext.runAsUser"] = 0 }),
    DeployFact(
        "it can write nothing but what is mounted for that",
        { $0.container["securityContext.readOnlyRootFilesystem"] == true },
        spoilt: { $0.container["securityContext.readOnlyRootFilesystem"] = nil }),
    DeployFact(
        "it can never have more rights than it was started with",
        {
            $0.container["securityContext.allowPrivilegeEscalation"] == false
                && $0.container["securityContext.privileged"] == false
        }, spoilt: { $0.container["securityContext.allowPrivilegeEscalation"] = nil }),
    DeployFact(
        "it has no capability",
        { $0.container["securityContext.capabilities"] == ["drop": ["ALL"]] },
        spoilt: { $0.container["securityContext.capabilities.add"] = ["NET_BIND_SERVICE"] }),
    DeployFact(
        "system calls that a service does not need are refused",
        { $0.pod["securityContext.seccompProfile.type"] == "RuntimeDefault" },
        spoilt: { $0.pod["securityContext.seccompProfile"] = nil }),
    DeployFact(
        "nothing of the node's disk is mounted",
        {
            $0.pod["volumes"]?.items.isEmpty == false
                && $0.pod["volumes"]?.items.allSatisfy { $0["hostPath"] == nil } == true
        },
        spoilt: { $0.pod["volumes.3"] = ["name": "host", "hostPath": ["path": "/"]] }),
]

private let probes: [DeployFact] = [
    DeployFact(
        "start, life and readiness are asked of this very pod, by a command and never by a port of the node",
        { manifests in
            let asked = ["startupProbe": "live", "livenessProbe": "live", "readinessProbe": "ready"]
            return asked.allSatisfy { probe, question in
                manifests.container["\(probe).exec.command"] == ["/hdproxy", "probe", .text(question)]
                    && ["httpGet", "tcpSocket", "grpc"].allSatisfy { manifests.container["\(probe).\($0)"] == nil }
            }
        },
        spoilt: { $0.container["readinessProbe"] = ["httpGet": ["port": 9090, "path": "/readyz"]] }),
    DeployFact(
        "a busy node is no reason to kill it: a minute of silence is",
        { manifests in
            ["startupProbe", "livenessProbe"].allSatisfy {
                let probe = manifests.container[$0]
                return seconds(probe?["periodSeconds"]) * seconds(probe?["failureThreshold"]) >= 60
                    && seconds(probe?["timeoutSeconds"]) > 1
            }
        }, spoilt: { $0.container["livenessProbe.failureThreshold"] = nil }),
    DeployFact(
        "the socket that probes ask stands in a directory of this pod alone, in memory",
        {
            let socket = $0.edge["admin.socket"]?.text ?? "/run/hdproxy/admin.sock"
            let volume = mounted($0, at: (socket as NSString).deletingLastPathComponent)
            return volume?["emptyDir.medium"] == "Memory" && volume?["emptyDir.sizeLimit"] != nil
        }, spoilt: { $0.container["volumeMounts.1.mountPath"] = "/run" }),
]

private let files: [DeployFact] = [
    DeployFact(
        "the configuration is mounted as a directory, which alone follows the ConfigMap's changes",
        {
            let arguments = $0.container["args"]?.texts ?? []
            let directory = "/etc/hdproxy"
            let mounts = $0.container["volumeMounts"]?.items ?? []
            let key = $0["ConfigMap"]["data"]?.members.keys.first ?? ""
            let source = mounted($0, at: directory)?["projected.sources.0.configMap"]
            return arguments == ["run", "--config", "\(directory)/\(key)"]
                && source == ["name": $0["ConfigMap"]["metadata.name"] ?? .null]
                && mounts.allSatisfy { $0["subPath"] == nil }
        }, spoilt: { $0.container["volumeMounts.0.subPath"] = "hdproxy.json5" }),
    DeployFact(
        "a certificate may be there or not, and comes to where the configuration looks for it",
        {
            let secret = mounted($0, at: "/etc/hdproxy")?["projected.sources.1.secret"]
            let paths = (secret?["items"]?.items ?? []).map { $0["path"]?.text }
            let named = ($0.edge["listeners"]?.items ?? []).flatMap { $0["tls.certificates"]?.items ?? [] }
                .flatMap { [$0["certificate"]?.text, $0["key"]?.text] }
            return secret?["optional"] == true && paths == ["tls/tls.crt", "tls/tls.key"]
                && named.allSatisfy { name in paths.contains { "/etc/hdproxy/\($0 ?? "")" == name } }
        },
        spoilt: {
            let index = $0.pod["volumes"]?.items.firstIndex { $0["projected"] != nil } ?? 0
            $0.pod["volumes.\(index).projected.sources.1.secret.optional"] = nil
        }),
    DeployFact(
        "so may the authority of clients' certificates, where the README's listener looks for it",
        {
            let map = mounted($0, at: "/etc/hdproxy")?["projected.sources.2.configMap"]
            return map?["optional"] == true && map?["name"] == "hdproxy-client-ca"
                && map?["items"] == [["key": "ca.pem", "path": "aop.pem"]]
        },
        spoilt: {
            let index = $0.pod["volumes"]?.items.firstIndex { $0["projected"] != nil } ?? 0
            $0.pod["volumes.\(index).projected.sources.2.configMap.optional"] = nil
        }),
    DeployFact(
        "the key of the certificate can be read by its group, and its group is ours",
        {
            // 0440, as JSON has it.
            mounted($0, at: "/etc/hdproxy")?["projected.defaultMode"] == 288
                && $0.pod["securityContext.fsGroup"] == $0.pod["securityContext.runAsGroup"]
        }, spoilt: { $0.pod["securityContext.fsGroup"] = nil }),
    DeployFact(
        "what discovery learned outlives a crash: its directory is the pod's, on disk, and has a bound",
        {
            let volume = mounted($0, at: $0.edge["discovery.stateDirectory"]?.text ?? "/var/lib/hdproxy")
            return volume?["emptyDir.sizeLimit"] != nil && volume?["emptyDir.medium"] == nil
        }, spoilt: { $0.container["volumeMounts.2"] = nil }),
]

private let image: [DeployFact] = [
    DeployFact(
        "the image begins from nothing and runs nothing while it is made",
        { $0.lastStage("FROM") == ["scratch"] && $0.lastStage("RUN").isEmpty },
        spoilt: { $0.dockerfile.append("RUN echo") }),
    DeployFact(
        "the program in it needs no library",
        { $0.dockerfile.contains { $0.contains("swift build") && $0.contains("-static-executable") } },
        spoilt: { $0.dockerfile = $0.dockerfile.map { $0.replacing("-static-executable", with: "") } }),
    DeployFact(
        "its user is the pod's, by number: there is no file of users in it",
        { manifests in
            let user = manifests.pod["securityContext.runAsUser"]?.number.map { String(Int($0)) } ?? ""
            let group = manifests.pod["securityContext.runAsGroup"]?.number.map { String(Int($0)) } ?? ""
            return manifests.lastStage("USER") == ["\(user):\(group)"]
        }, spoilt: { $0.pod["securityContext.runAsUser"] = 1000 }),
    DeployFact(
        "program and probes are where the manifest looks for them, and no shell is needed to start them",
        {
            $0.lastStage("ENTRYPOINT") == ["[\"/hdproxy\"]"] && $0.container["command"] == nil
                && $0.container["livenessProbe.exec.command.0"] == "/hdproxy"
        }, spoilt: { $0.container["livenessProbe.exec.command.0"] = "hdproxy" }),
    DeployFact(
        "the runtime finds itself where /proc is not mounted",
        { $0.lastStage("ENV").contains { $0.contains("SWIFT_ROOT=/") } },
        spoilt: { $0.dockerfile.removeAll { $0.contains("SWIFT_ROOT") } }),
    DeployFact(
        "public certificate authorities are there, and OpenSSL is told where",
        {
            let bundle = "/etc/ssl/certs/ca-certificates.crt"
            return $0.lastStage("ENV").contains { $0.contains("SSL_CERT_FILE=\(bundle)") }
                && $0.dockerfile.contains { $0.contains("/root-of-image\(bundle)") }
        }, spoilt: { $0.dockerfile.removeAll { $0.contains("SSL_CERT_FILE") } }),
    DeployFact(
        "a node that has the image does not ask for it, and no tag is one that moves",
        {
            let tag = $0.container["image"]?.text?.split(separator: ":").dropFirst().last
            return $0.container["imagePullPolicy"] == "IfNotPresent" && tag != nil && tag != "latest"
        }, spoilt: { $0.container["image"] = "hdproxy" }),
]

/// A number, or a duration of the configuration, in seconds.
private func seconds(_ value: Node?, else standard: Double = 0) -> Double {
    if let number = value?.number { return number }
    guard let match = value?.text?.wholeMatch(of: /(\d+)(ms|s|m|h)/), let count = Double(match.1) else {
        return standard
    }
    return count * (["ms": 0.001, "s": 1, "m": 60, "h": 3600][String(match.2)] ?? .nan)
}

/// The volume that stands at exactly `path` in the container.
private func mounted(_ manifests: Manifests, at path: String) -> Node? {
    let mount = manifests.container["volumeMounts"]?.items.first { $0["mountPath"] == .text(path) }
    guard let name = mount?["name"] else { return nil }
    return manifests.pod["volumes"]?.items.first { $0["name"] == name }
}
