// Where is the API server, whom do we take it for, and who are we there? What the configuration says of it, as a pod
// finds it, by files, or by a kubeconfig, comes to one value. No file's content is in it but that of a kubeconfig:
// tokens and certificates are read again where they are needed, since they change while we run.

import FoundationEssentials
import ProxyCore

/// How to reach an API server.
struct ClusterAccess: Equatable, Sendable {
    /// Something that stands in a file or is given as it is.
    enum Material: Equatable, Sendable {
        case file(String)
        case bytes([UInt8])
    }

    /// What the server's name comes to.
    enum Host: Equatable, Sendable, CustomStringConvertible {
        case name(String)
        case ip(IPAddress)

        init(_ text: String) { self = IPAddress(text).map { .ip($0) } ?? .name(text) }

        var description: String {
            switch self {
            case .name(let name): name
            case .ip(let ip): ip.description
            }
        }
    }

    var host: Host
    var port: UInt16
    /// What stands before each path, without a slash at its end; mostly empty.
    var pathPrefix = ""
    /// Whom the certificate must be for, where that is not the host.
    var tlsName: Host?
    /// Whose certificates are accepted; nil: those of the system's authorities.
    var trust: Material?
    /// Our certificate and its key.
    var certificate: Material?
    var key: Material?
    var token: Material?
    /// TLS is spoken everywhere but in our own tests of what is not TLS.
    var isPlain = false

    /// As `Host` has it (RFC 9110 §7.2).
    var authority: String {
        let name =
            switch host {
            case .ip(let ip) where !ip.isIPv4: "[\(ip)]"
            default: host.description
            }
        return port == 443 ? name : "\(name):\(port)"
    }

    /// Why there is none, for people.
    struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        var description: String
    }

    /// Where a pod finds its service account.
    static let serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// What `cluster` comes to.
    static func read(
        _ cluster: DiscoverySettings.Cluster, environment: [String: String],
        serviceAccount: String = serviceAccountDirectory
    ) throws(Problem) -> ClusterAccess {
        switch cluster {
        case .inCluster:
            guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty else {
                throw Problem(
                    description: "KUBERNETES_SERVICE_HOST is not set: this is no pod; give `server` or `kubeconfig`")
            }
            let text = environment["KUBERNETES_SERVICE_PORT"] ?? "443"
            guard let port = UInt16(text), port > 0 else {
                throw Problem(description: "KUBERNETES_SERVICE_PORT is \"\(text)\", which is no port")
            }
            return ClusterAccess(
                host: Host(host), port: port, trust: .file(serviceAccount + "/ca.crt"),
                token: .file(serviceAccount + "/token"))
        case .server(let url, let caFile, let tokenFile):
            var access = try server(url)
            access.trust = caFile.map { .file($0) }
            access.token = tokenFile.map { .file($0) }
            return access
        case .kubeconfig(let path): return try Kubeconfig.read(path)
        }
    }

    /// `https://host[:port][/prefix]`.
    static func server(_ url: String) throws(Problem) -> ClusterAccess {
        let bad = Problem(description: "\"\(url)\" is no API server; https://host[:port] is expected")
        let lowered = url.prefix(8).lowercased()
        guard !lowered.hasPrefix("http://") else {
            throw Problem(description: "\"\(url)\": the API server is only spoken to over TLS, as https://host[:port]")
        }
        guard lowered == "https://" else { throw bad }
        let rest = url.dropFirst(8)
        let path = rest.firstIndex(of: "/") ?? rest.endIndex
        var authority = rest[..<path]
        var prefix = String(rest[path...])
        while prefix.hasSuffix("/") { prefix.removeLast() }
        guard
            !prefix.utf8.contains(where: {
                $0 <= 0x20 || $0 >= 0x7F || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#")
            })
        else { throw bad }
        var port: UInt16 = 443
        let isBracketed = authority.hasPrefix("[")
        let afterHost = isBracketed ? authority.firstIndex(of: "]") ?? authority.startIndex : authority.startIndex
        if let colon = authority[afterHost...].lastIndex(of: ":") {
            guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else { throw bad }
            port = number
            authority = authority[..<colon]
        }
        if isBracketed {
            guard authority.hasSuffix("]"), let ip = IPAddress(String(authority.dropFirst().dropLast())), !ip.isIPv4
            else {
                throw bad
            }
            return ClusterAccess(host: .ip(ip), port: port, pathPrefix: prefix)
        }
        guard !authority.isEmpty, authority.utf8.count <= 253,
            authority.utf8.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            })
        else { throw bad }
        return ClusterAccess(host: Host(String(authority)), port: port, pathPrefix: prefix)
    }
}

/// A small file, as a whole.
enum SmallFile {
    /// Bytes of a certificate, token or kubeconfig.
    static let bytesMax = 4 * 1024 * 1024

    static func read(_ path: String) throws(ClusterAccess.Problem) -> [UInt8] {
        let data: Data
        do { data = try Data(contentsOf: URL(filePath: path)) } catch {
            let code = (error as? CocoaError)?.code
            let why =
                code == .fileReadNoSuchFile || code == .fileNoSuchFile
                ? "no such file"
                : code == .fileReadNoPermission ? "no permission to read it" : "it cannot be read"
            throw ClusterAccess.Problem(description: "\(path): \(why)")
        }
        guard data.count <= bytesMax else { throw ClusterAccess.Problem(description: "\(path): it is too large") }
        return [UInt8](data)
    }
}
