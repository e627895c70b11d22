// Who are we, and whom do we trust, at this moment? Tokens and certificates are files that others change while we run,
// mostly by swapping a link: they are opened by path again once a minute, and at once when the server says that what we
// have is no good.

import FoundationEssentials
import ProxyCore

/// What requests to one API server need, fresh enough.
@ControlThread
final class Credentials {
    /// How long what was read from a file is used.
    static let freshness = Instant.Span.milliseconds(60_000)

    let access: ClusterAccess

    private var token: (text: String, readAt: Instant)?
    private var trust: (context: TLSContext, material: [[UInt8]], readAt: Instant)?

    init(_ access: ClusterAccess) { self.access = access }

    /// The bearer token; nil where none is used.
    func bearerToken(now: Instant) throws(APIFailure) -> String? {
        guard let material = access.token else { return nil }
        if let token, now - token.readAt < Self.freshness { return token.text }
        do throws(APIFailure) {
            let text = try Self.readToken(material)
            token = (text, now)
            return text
        } catch {
            // What a file says while it is being written takes nothing away that the server still accepts.
            guard let token else { throw error }
            return token.text
        }
    }

    private static func readToken(_ material: ClusterAccess.Material) throws(APIFailure) -> String {
        let text = String(decoding: try read(material), as: UTF8.self).trimmed
        // Anything else would write lines of its own into the request.
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw APIFailure(.credentials, "\(material.name): this is no token")
        }
        return text
    }

    /// The server does not accept the token: it is read again next time.
    func forgetToken() { token = nil }

    /// What TLS sessions are made of.
    func context(now: Instant) throws(APIFailure) -> TLSContext {
        if let trust, now - trust.readAt < Self.freshness { return trust.context }
        let material = try readMaterial()
        if let trust, trust.material == material {
            self.trust?.readAt = now
            return trust.context
        }
        let identity = material.count == 3 ? TLSIdentity(certificateChain: material[1], key: material[2]) : nil
        let roots: TLSTrust = access.trust == nil ? .system : .certificates(material[0])
        do {
            let context = try TLSContext(client: roots, identity: identity)
            trust = (context, material, now)
            return context
        } catch {
            throw APIFailure(.credentials, "\(access.trust?.name ?? "the system's CAs"): \(error)")
        }
    }

    /// The server's certificate is not accepted. Whether what we trust has changed since it was read: then it is worth
    /// another try at once.
    func trustMayHaveChanged(now: Instant) -> Bool {
        guard let old = trust else { return false }
        guard let material = try? readMaterial(), material != old.material else { return false }
        trust = nil
        return true
    }

    private func readMaterial() throws(APIFailure) -> [[UInt8]] {
        var material: [[UInt8]] = []
        material.append(try access.trust.map { material throws(APIFailure) in try Self.read(material) } ?? [])
        if let certificate = access.certificate, let key = access.key {
            material.append(try Self.read(certificate))
            material.append(try Self.read(key))
        }
        return material
    }

    private static func read(_ material: ClusterAccess.Material) throws(APIFailure) -> [UInt8] {
        switch material {
        case .bytes(let bytes): return bytes
        case .file(let path):
            do { return try SmallFile.read(path) } catch { throw APIFailure(.credentials, error.description) }
        }
    }
}

extension ClusterAccess.Material {
    /// For people.
    var name: String {
        switch self {
        case .file(let path): path
        case .bytes: "the kubeconfig"
        }
    }
}

extension String {
    /// Without white space at both ends.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.first?.isWhitespace ?? false { text.removeFirst() }
        while text.last?.isWhitespace ?? false { text.removeLast() }
        return String(text)
    }
}
