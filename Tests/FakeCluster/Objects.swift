// How does the real controller write it? Objects as JSON text, key by key in the recorded order.
//
// The text of an object begins behind `"kind":…,"apiVersion":…,` because lists leave both out of their items and
// events have them in.

/// A piece of JSON text.
typealias JSONText = String

/// Writes JSON.
enum JSON {
    static func string(_ text: String) -> JSONText {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    static func object(_ members: [(String, JSONText)]) -> JSONText {
        "{" + members.map { "\(string($0.0)):\($0.1)" }.joined(separator: ",") + "}"
    }

    /// A map, whose keys the real server sorts.
    static func map(_ members: [String: String]) -> JSONText {
        object(members.sorted { $0.key < $1.key }.map { ($0.key, string($0.value)) })
    }

    static func array(_ items: [JSONText]) -> JSONText { "[" + items.joined(separator: ",") + "]" }

    /// `{"f:a":{},"f:b":{}}`, with `{".":{}` before it where the map itself is owned.
    static func owned(_ names: [String], itself: Bool = true) -> JSONText {
        object((itself ? [(".", "{}")] : []) + names.sorted().map { ("f:\($0)", "{}") })
    }
}

/// One object as it is now.
struct StoredObject: Sendable {
    var namespace: String
    var name: String
    var version: Int
    var labels: [String: String]
    /// See the file's comment; without the opening brace.
    var text: JSONText

    /// The same, told of in a later version.
    func asOf(_ version: Int) -> StoredObject {
        var copy = self
        let (old, new) = ("\"resourceVersion\":\"\(self.version)\"", "\"resourceVersion\":\"\(version)\"")
        copy.text = text.replacing(old, with: new, maxReplacements: 1)
        copy.version = version
        return copy
    }
}

/// What stays the same over an object's life.
struct ObjectIdentity: Sendable {
    var name: String
    var namespace: String
    var uid = FakeNames.uid()
    var created = FakeNames.time()
}

/// A slice of a Service, as the controller keeps it.
struct SliceRecord: Sendable {
    var identity: ObjectIdentity
    var generation = 0
    var pods: [FakePod] = []
    /// When a pod's change led to the last write; nil where something else did.
    var triggered: String?
}

/// A Service and what belongs to it.
struct ServiceRecord: Sendable {
    var identity: ObjectIdentity
    var labels: [String: String]
    var ports: [FakePort]
    var isHeadless: Bool
    var clusterIP: String
    var slices: [SliceRecord] = []
    var endpoints: ObjectIdentity
    var endpointsTriggered: String?

    static let triggerKey = "endpoints.kubernetes.io/last-change-trigger-time"

    // MARK: Services

    func serviceText(version: Int, managedFields: Bool) -> JSONText {
        var metadata = metadataStart(identity, version)
        if !labels.isEmpty { metadata.append(("labels", JSON.map(labels))) }
        if managedFields {
            let portFields = JSON.object(
                [(".", "{}")]
                    + ports.map { port in
                        (
                            "k:{\"port\":\(port.port),\"protocol\":\"TCP\"}",
                            JSON.owned((port.name == nil ? [] : ["name"]) + ["port", "protocol", "targetPort"])
                        )
                    })
            let spec = JSON.object(
                (isHeadless ? [("f:clusterIP", "{}")] : []) + [
                    ("f:internalTrafficPolicy", "{}"), ("f:ports", portFields), ("f:selector", "{}"),
                    ("f:sessionAffinity", "{}"), ("f:type", "{}"),
                ])
            let own =
                labels.isEmpty ? [] : [("f:metadata", JSON.object([("f:labels", JSON.owned(Array(labels.keys)))]))]
            metadata.append(managed("fake", "v1", JSON.object(own + [("f:spec", spec)])))
        }
        let spec = JSON.object([
            (
                "ports",
                JSON.array(
                    ports.map { port in
                        JSON.object(
                            (port.name.map { [("name", JSON.string($0))] } ?? []) + [
                                ("protocol", "\"TCP\""), ("port", "\(port.port)"),
                                ("targetPort", port.targetName.map(JSON.string) ?? "\(port.targetPort)"),
                            ])
                    })
            ),
            ("selector", JSON.map(["app": identity.name])), ("clusterIP", JSON.string(clusterIP)),
            ("clusterIPs", JSON.array([JSON.string(clusterIP)])), ("type", "\"ClusterIP\""),
            ("sessionAffinity", "\"None\""), ("ipFamilies", "[\"IPv4\"]"), ("ipFamilyPolicy", "\"SingleStack\""),
            ("internalTrafficPolicy", "\"Cluster\""),
        ])
        return body([("metadata", JSON.object(metadata)), ("spec", spec), ("status", "{\"loadBalancer\":{}}")])
    }

    // MARK: Slices

    var sliceLabels: [String: String] {
        var all = labels
        all["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io"
        all["kubernetes.io/service-name"] = identity.name
        if isHeadless { all["service.kubernetes.io/headless"] = "" }
        return all
    }

    func sliceText(_ slice: SliceRecord, version: Int, managedFields: Bool) -> JSONText {
        var metadata = [
            ("name", JSON.string(slice.identity.name)), ("generateName", JSON.string("\(identity.name)-")),
            ("namespace", JSON.string(slice.identity.namespace)), ("uid", JSON.string(slice.identity.uid)),
            ("resourceVersion", "\"\(version)\""), ("generation", "\(slice.generation)"),
            ("creationTimestamp", JSON.string(slice.identity.created)), ("labels", JSON.map(sliceLabels)),
        ]
        if let time = slice.triggered { metadata.append(("annotations", JSON.map([Self.triggerKey: time]))) }
        metadata.append(
            (
                "ownerReferences",
                JSON.array([
                    JSON.object([
                        ("apiVersion", "\"v1\""), ("kind", "\"Service\""), ("name", JSON.string(identity.name)),
                        ("uid", JSON.string(identity.uid)), ("controller", "true"), ("blockOwnerDeletion", "true"),
                    ])
                ])
            ))
        if managedFields {
            let owner = "k:{\"uid\":\"\(identity.uid)\"}"
            let fields = JSON.object([
                ("f:addressType", "{}"), ("f:endpoints", "{}"),
                (
                    "f:metadata",
                    JSON.object(
                        (slice.triggered == nil ? [] : [("f:annotations", JSON.owned([Self.triggerKey]))]) + [
                            ("f:generateName", "{}"), ("f:labels", JSON.owned(Array(sliceLabels.keys))),
                            ("f:ownerReferences", JSON.object([(".", "{}"), (owner, "{}")])),
                        ])
                ),
                ("f:ports", "{}"),
            ])
            metadata.append(managed("kube-controller-manager", "discovery.k8s.io/v1", fields))
        }
        let family = slice.pods.first?.ip.contains(":") == true ? "IPv6" : "IPv4"
        let endpoints = slice.pods.map { pod in
            var members = [
                ("addresses", JSON.array([JSON.string(pod.ip)])),
                (
                    "conditions",
                    JSON.object([
                        ("ready", "\(pod.ready)"), ("serving", "\(pod.serving)"), ("terminating", "\(pod.terminating)"),
                    ])
                ),
                ("targetRef", targetRef(pod)), ("nodeName", JSON.string(pod.node)),
            ]
            if let zone = pod.zone { members.append(("zone", JSON.string(zone))) }
            return JSON.object(members)
        }
        let portTexts = ports.map { port in
            JSON.object([
                ("name", JSON.string(port.name ?? "")), ("protocol", "\"TCP\""), ("port", "\(port.targetPort)"),
            ])
        }
        return body([
            ("metadata", JSON.object(metadata)), ("addressType", JSON.string(family)),
            ("endpoints", endpoints.isEmpty ? "null" : JSON.array(endpoints)),
            ("ports", endpoints.isEmpty ? "null" : JSON.array(portTexts)),
        ])
    }

    // MARK: Endpoints

    var endpointsLabels: [String: String] {
        var all = labels
        all["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
        if isHeadless { all["service.kubernetes.io/headless"] = "" }
        return all
    }

    /// What the older controller writes: terminating pods are not in it at all.
    var endpointsPods: [FakePod] {
        slices.flatMap(\.pods).filter { !$0.terminating }.sorted { $0.ip < $1.ip }
    }

    func endpointsText(version: Int, managedFields: Bool) -> JSONText {
        let pods = endpointsPods
        var metadata = metadataStart(endpoints, version)
        metadata.append(("labels", JSON.map(endpointsLabels)))
        if let time = endpointsTriggered { metadata.append(("annotations", JSON.map([Self.triggerKey: time]))) }
        if managedFields {
            let own = JSON.object(
                (endpointsTriggered == nil ? [] : [("f:annotations", JSON.owned([Self.triggerKey]))]) + [
                    ("f:labels", JSON.owned(Array(endpointsLabels.keys)))
                ])
            let fields = JSON.object([("f:metadata", own)] + (pods.isEmpty ? [] : [("f:subsets", "{}")]))
            metadata.append(managed("kube-controller-manager", "v1", fields))
        }
        var members = [("metadata", JSON.object(metadata))]
        if !pods.isEmpty {
            func addresses(_ pods: [FakePod]) -> JSONText {
                JSON.array(
                    pods.map {
                        JSON.object([
                            ("ip", JSON.string($0.ip)), ("nodeName", JSON.string($0.node)),
                            ("targetRef", targetRef($0)),
                        ])
                    })
            }
            let (ready, notReady) = (pods.filter(\.ready), pods.filter { !$0.ready })
            var subset: [(String, JSONText)] = []
            if !ready.isEmpty { subset.append(("addresses", addresses(ready))) }
            if !notReady.isEmpty { subset.append(("notReadyAddresses", addresses(notReady))) }
            let portTexts = ports.map { port in
                JSON.object(
                    (port.name.map { [("name", JSON.string($0))] } ?? []) + [
                        ("port", "\(port.targetPort)"), ("protocol", "\"TCP\""),
                    ])
            }
            subset.append(("ports", JSON.array(portTexts)))
            members.append(("subsets", JSON.array([JSON.object(subset)])))
        }
        return body(members)
    }

    // MARK: Parts

    private func targetRef(_ pod: FakePod) -> JSONText {
        JSON.object([
            ("kind", "\"Pod\""), ("namespace", JSON.string(identity.namespace)), ("name", JSON.string(pod.name)),
            ("uid", JSON.string(pod.uid)),
        ])
    }

    private func metadataStart(_ identity: ObjectIdentity, _ version: Int) -> [(String, JSONText)] {
        [
            ("name", JSON.string(identity.name)), ("namespace", JSON.string(identity.namespace)),
            ("uid", JSON.string(identity.uid)), ("resourceVersion", "\"\(version)\""),
            ("creationTimestamp", JSON.string(identity.created)),
        ]
    }

    private func managed(_ manager: String, _ apiVersion: String, _ fields: JSONText) -> (String, JSONText) {
        (
            "managedFields",
            JSON.array([
                JSON.object([
                    ("manager", JSON.string(manager)), ("operation", "\"Update\""),
                    ("apiVersion", JSON.string(apiVersion)), ("time", JSON.string(FakeNames.time())),
                    ("fieldsType", "\"FieldsV1\""), ("fieldsV1", fields),
                ])
            ])
        )
    }

    /// The members without the opening brace.
    private func body(_ members: [(String, JSONText)]) -> JSONText { String(JSON.object(members).dropFirst()) }
}
