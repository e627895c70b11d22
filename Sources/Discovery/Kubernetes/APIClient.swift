// How is the API server asked? One question at a time over a connection that is kept, with the token of the moment, at
// whatever addresses its name has.

import FoundationEssentials
import ProxyCore

/// Asks one API server, one question at a time.
@ControlThread
final class APIClient {
    /// Addresses of a name; none where it has none or nobody can tell.
    typealias NameLookup = @ControlThread (String) async -> [IPAddress]

    /// Bytes of a list.
    static let listBytesMax = 256 * 1024 * 1024
    /// Bytes of an answer that is only shown to people.
    private static let failureBytesMax = 64 * 1024

    let timing: APIConnection.Timing
    private let credentials: Credentials
    private let addresses: NameLookup
    private var connection: APIConnection?

    init(_ credentials: Credentials, timing: APIConnection.Timing, addresses: @escaping NameLookup) {
        self.credentials = credentials
        self.timing = timing
        self.addresses = addresses
    }

    /// Asks for `path` and waits for the head of the answer, which is 200: others are failures.
    func get(_ path: String) async throws(APIFailure) { try await check(try await ask(path)) }

    /// As ``get(_:)``, on the connection of the last answer; false where that is gone.
    func getOnSameConnection(_ path: String) async throws(APIFailure) -> Bool {
        guard let answer = try await askOnSameConnection(try request(path)) else { return false }
        try await check(answer)
        return true
    }

    private func check(_ answer: APIAnswer) async throws(APIFailure) {
        guard answer.status == 200 else {
            let body = (try? await body(limit: Self.failureBytesMax)) ?? []
            let failure = APIFailure.of(answer, answer.coding == nil ? body : [])
            if failure.reason == .unauthorized { credentials.forgetToken() }
            throw failure
        }
        // Nobody asked for it, and nobody here could read it.
        if let coding = answer.coding {
            close()
            throw APIFailure(.malformed, "the answer is encoded with \(coding), which nobody asked for")
        }
    }

    /// Asks for `path`, and takes the whole body of the answer.
    func getAll(_ path: String, limit: Int = listBytesMax) async throws(APIFailure) -> [UInt8] {
        try await get(path)
        return try await body(limit: limit)
    }

    /// As ``APIConnection/moreBody(until:_:)``. After a failure other than a timeout the connection is closed.
    func moreBody(until deadline: Instant, _ take: (Span<UInt8>) -> Void) async throws(APIFailure) -> Bool {
        guard let connection else { throw APIFailure(.closed, "the connection was closed") }
        do throws(APIFailure) {
            let mayComeMore = try await connection.moreBody(until: deadline, take)
            if !mayComeMore, !connection.isReusable { close() }
            return mayComeMore
        } catch {
            if error.reason != .timeout { close() }
            throw error
        }
    }

    /// Ends the present answer under whoever waits for it.
    func abort() { connection?.abort() }

    /// Closes the connection; the next question opens another.
    func close() { connection = nil }

    private func body(limit: Int) async throws(APIFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        var mayComeMore = true
        // However steadily it drips.
        let end = Clock.now() + Instant.Span(timing.body)
        while mayComeMore {
            let deadline = min(Clock.now() + Instant.Span(timing.silence), end)
            do throws(APIFailure) {
                // Safety: the span's bytes are copied while it is borrowed.
                mayComeMore = try await moreBody(until: deadline) { more in
                    unsafe more.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
                }
            } catch {
                close()
                throw error
            }
            guard bytes.count <= limit else {
                close()
                throw APIFailure(.tooLarge, "an answer of more than \(limit) bytes")
            }
            guard !mayComeMore || Clock.now() < end else {
                close()
                throw APIFailure(.timeout, "an answer that takes longer than \(timing.body)")
            }
        }
        return bytes
    }

    private func ask(_ path: String) async throws(APIFailure) -> APIAnswer {
        let request = try request(path)
        // The server may have closed it while it was idle; a GET may be sent again (RFC 9110 §9.2.2).
        if let answer = try await askOnSameConnection(request) { return answer }
        let new = try await open()
        connection = new
        do throws(APIFailure) {
            return try await new.ask(request, until: Clock.now() + Instant.Span(timing.head))
        } catch {
            close()
            throw error
        }
    }

    private func askOnSameConnection(_ request: String) async throws(APIFailure) -> APIAnswer? {
        guard let kept = connection, kept.isReusable else {
            close()
            return nil
        }
        do throws(APIFailure) {
            return try await kept.ask(request, until: Clock.now() + Instant.Span(timing.head))
        } catch {
            close()
            if error.reason == .closed { return nil }
            throw error
        }
    }

    private func request(_ path: String) throws(APIFailure) -> String {
        var text = "GET \(credentials.access.pathPrefix)\(path) HTTP/1.1\r\nHost: \(credentials.access.authority)\r\n"
        text += "User-Agent: hdproxy\r\nAccept: application/json\r\n"
        if let token = try credentials.bearerToken(now: Clock.now()) { text += "Authorization: Bearer \(token)\r\n" }
        return text + "\r\n"
    }

    private func open() async throws(APIFailure) -> APIConnection {
        let access = credentials.access
        let ips: [IPAddress]
        switch access.host {
        case .ip(let ip): ips = [ip]
        case .name(let name):
            ips = await addresses(name)
            guard !ips.isEmpty else { throw APIFailure(.resolve, "\(name) has no address") }
        }
        var last = APIFailure(.connect, "no address")
        for ip in ips.prefix(8) {
            let address = NetworkAddress(ip: ip, port: access.port)
            do throws(APIFailure) {
                return try await open(address)
            } catch {
                last = error
                if error.reason == .cancelled { break }
            }
        }
        throw last
    }

    private func open(_ address: NetworkAddress) async throws(APIFailure) -> APIConnection {
        let name: TLSPeerName =
            switch credentials.access.tlsName ?? credentials.access.host {
            case .name(let name): .dns(name)
            case .ip(let ip): .ip(ip)
            }
        let context = credentials.access.isPlain ? nil : try credentials.context(now: Clock.now())
        do throws(APIFailure) {
            return try await APIConnection.open(to: address, context, verifying: name, timing)
        } catch {
            // The cluster's CA may have been replaced since we read it.
            guard error.reason == .tls, credentials.trustMayHaveChanged(now: Clock.now()) else { throw error }
            let context = try credentials.context(now: Clock.now())
            return try await APIConnection.open(to: address, context, verifying: name, timing)
        }
    }
}
