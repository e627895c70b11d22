// What does a kubeconfig mean? Its current context names a cluster and a user; those say where the API server is and
// who we are. What would run a program, or talk to a server that nobody verified, is refused by name.

import FoundationEssentials
import ProxyCore

/// Reads a kubeconfig.
enum Kubeconfig {
    /// What the current context of the file at `path` comes to.
    static func read(_ path: String) throws(ClusterAccess.Problem) -> ClusterAccess {
        try read(try SmallFile.read(path), path: path)
    }

    static func read(_ bytes: [UInt8], path: String) throws(ClusterAccess.Problem) -> ClusterAccess {
        let root: YAMLNode
        do throws(YAMLProblem) { root = try YAMLReader.read(bytes) } catch {
            throw ClusterAccess.Problem(description: "\(path):\(error.line): \(error.text)")
        }
        let file = File(path: path)
        guard let name = try file.text(root, "current-context"), !name.isEmpty else {
            throw file.problem(root, "there is no current-context")
        }
        let context = try file.named(name, in: root, "contexts", "context")
        guard let clusterName = try file.text(context, "cluster") else {
            throw file.problem(context, "context \"\(name)\" names no cluster")
        }
        let cluster = try file.named(clusterName, in: root, "clusters", "cluster")
        var access = try file.cluster(cluster, clusterName)
        if let userName = try file.text(context, "user"), !userName.isEmpty {
            try file.user(try file.named(userName, in: root, "users", "user"), userName, &access)
        }
        return access
    }

    private struct File {
        var path: String

        func problem(_ node: YAMLNode, _ text: String) -> ClusterAccess.Problem {
            ClusterAccess.Problem(description: "\(path):\(node.line): \(text)")
        }

        func text(_ node: YAMLNode, _ key: String) throws(ClusterAccess.Problem) -> String? {
            guard let found = node[key] else { return nil }
            guard case .scalar(let text) = found.value else { throw problem(found, "\(key) must be text") }
            return text
        }

        /// The `item` of the one that is called `name` in the list `list`.
        func named(
            _ name: String, in root: YAMLNode, _ list: String, _ item: String
        ) throws(ClusterAccess.Problem) -> YAMLNode {
            guard let node = root[list], case .sequence(let nodes) = node.value else {
                throw problem(root[list] ?? root, "there is no list of \(list)")
            }
            for candidate in nodes {
                guard try text(candidate, "name") == name else { continue }
                guard let found = candidate[item], case .mapping = found.value else {
                    throw problem(candidate, "\"\(name)\" of \(list) has no \(item)")
                }
                return found
            }
            throw problem(node, "\(list) has none called \"\(name)\"")
        }

        func cluster(_ node: YAMLNode, _ name: String) throws(ClusterAccess.Problem) -> ClusterAccess {
            guard let server = try text(node, "server") else {
                throw problem(node, "cluster \"\(name)\" has no server")
            }
            var access: ClusterAccess
            do { access = try ClusterAccess.server(server) } catch {
                throw problem(node["server"] ?? node, error.description)
            }
            if let skip = try text(node, "insecure-skip-tls-verify"), skip != "false" {
                throw problem(
                    node["insecure-skip-tls-verify"] ?? node,
                    "insecure-skip-tls-verify is not supported: the server is always verified; give certificate-authority"
                )
            }
            if let proxy = node["proxy-url"] { throw problem(proxy, "proxy-url is not supported") }
            access.trust = try material(node, "certificate-authority")
            if let name = try text(node, "tls-server-name"), !name.isEmpty { access.tlsName = ClusterAccess.Host(name) }
            return access
        }

        func user(_ node: YAMLNode, _ name: String, _ access: inout ClusterAccess) throws(ClusterAccess.Problem) {
            for (key, instead) in [
                ("exec", "it would run a program"), ("auth-provider", "it needs a plug-in"),
                ("username", "basic authentication is gone from Kubernetes"), ("as", "nobody is impersonated"),
            ] {
                guard let found = node[key] else { continue }
                throw problem(
                    found,
                    "user \"\(name)\": \(key) is not supported, since \(instead); use a token, tokenFile or a client certificate"
                )
            }
            access.certificate = try material(node, "client-certificate")
            access.key = try material(node, "client-key")
            guard (access.certificate == nil) == (access.key == nil) else {
                throw problem(node, "user \"\(name)\": client-certificate and client-key belong together")
            }
            // As in client-go, the file wins: it is what is kept up to date.
            if let file = try text(node, "tokenFile"), !file.isEmpty {
                access.token = .file(resolve(file))
            } else if let token = try text(node, "token"), !token.isEmpty {
                access.token = .bytes(Array(token.utf8))
            }
        }

        /// `key-data` in Base64, or else the file `key`.
        private func material(_ node: YAMLNode, _ key: String) throws(ClusterAccess.Problem) -> ClusterAccess.Material?
        {
            if let data = try text(node, key + "-data"), !data.isEmpty {
                let packed = data.filter { !$0.isWhitespace }
                guard let bytes = Data(base64Encoded: packed) else {
                    throw problem(node[key + "-data"] ?? node, "\(key)-data is not Base64")
                }
                return .bytes([UInt8](bytes))
            }
            guard let file = try text(node, key), !file.isEmpty else { return nil }
            return .file(resolve(file))
        }

        /// Relative to the kubeconfig, as kubectl has it.
        private func resolve(_ file: String) -> String {
            if file.hasPrefix("/") { return file }
            guard let slash = path.lastIndex(of: "/") else { return file }
            return path[...slash] + file
        }
    }
}
