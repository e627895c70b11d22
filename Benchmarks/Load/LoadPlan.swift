// What load is wanted? Targets, pace and kind of work, and the bytes of every request, written once before the start.

import CLinux
import Glibc
import ProxyCore

/// Where requests go.
struct LoadTarget {
    /// Where to connect.
    var address: NetworkAddress
    /// The Host field.
    var authority: String
    /// Path and query.
    var path: String
    /// Whether it is spoken to over TLS.
    var isSecure = false

    /// The target at `address`.
    init(address: NetworkAddress, authority: String, path: String, isSecure: Bool = false) {
        self.address = address
        self.authority = authority
        self.path = path
        self.isSecure = isSecure
    }

    /// The host alone: what a certificate must be for.
    var name: String { String(authority.prefix { $0 != ":" }) }

    /// Reads `http[s]://HOST[:PORT][/PATH]`; a name is resolved once, here.
    init(url: String) throws {
        isSecure = url.hasPrefix("https://")
        guard isSecure || url.hasPrefix("http://") else {
            throw UsageError("\(url): a URL that begins with http:// or https:// is needed")
        }
        let usualPort = isSecure ? "443" : "80"
        let rest = url.dropFirst(isSecure ? 8 : 7)
        let authority = String(rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" })
        let path = String(rest.dropFirst(authority.count).prefix { $0 != "#" })
        self.authority = authority
        self.path = path.hasPrefix("/") ? path : "/" + path
        if let address = NetworkAddress(authority) ?? NetworkAddress("\(authority):\(usualPort)") {
            self.address = address
            return
        }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, !parts[0].isEmpty, let port = UInt16(parts.count == 2 ? parts[1] : usualPort) else {
            throw UsageError("\(url): “\(authority)” is no host and port")
        }
        guard let ip = Self.resolve(parts[0]) else { throw Failure("\(parts[0]): no address found for this name") }
        address = NetworkAddress(ip: ip, port: port)
    }

    private static func resolve(_ name: String) -> IPAddress? {
        if name == "localhost" { return loopback(0).ip }
        // Safety: zeroed hints are what getaddrinfo asks for.
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_INET
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // Safety: getaddrinfo fills `list`, which is freed below; AF_INET entries hold a sockaddr_in.
        guard unsafe getaddrinfo(name, nil, &hints, &list) == 0, let first = unsafe list else { return nil }
        defer { unsafe freeaddrinfo(first) }
        return unsafe first.pointee.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
            unsafe IPAddress(v4: UInt32(bigEndian: $0.pointee.sin_addr.s_addr))
        }
    }
}

/// What load is wanted.
struct LoadPlan {
    /// When the next request is sent.
    enum Pace {
        /// As soon as the connection's last one is answered.
        case closed
        /// So many a second, whatever becomes of the earlier ones.
        case open(rate: Double)
    }

    /// Where; connections take turns.
    var targets: [LoadTarget]
    /// How many at once.
    var connections = 64
    /// When.
    var pace = Pace.closed
    /// A connection of its own for every request.
    var newConnections = false
    /// TLS on all connections; nil: none.
    var tls: LoadTLS?
    /// The method.
    var method = "GET"
    /// Bytes that go up with each request.
    var bodyBytes = 0
    /// A WebSocket message of so many bytes in place of a request.
    var messageBytes: Int?
    /// More field lines; one named Host replaces ours.
    var fields: [String] = []
    /// Above 0: requests go to h0.bench.test, h1.bench.test, … in turn.
    var hosts = 0
    /// The body length that every answer must have; nil accepts any that is complete.
    var expectedBytes: Int?
    /// A request that takes longer is an error, and its connection is closed.
    var timeout: UInt64 = 10_000_000_000
}

/// The bytes of all requests of a plan.
@safe struct RequestSet: ~Copyable {
    /// Where a request's bytes stand.
    struct Place {
        var start = 0
        var count = 0
    }

    private let bytes: UnsafeMutablePointer<UInt8>
    private let places: UnsafeMutablePointer<Place>
    /// Requests for each target.
    let perTarget: Int
    /// Body bytes that follow a request and are not part of its `bytes`.
    let trailingBytes: Int

    /// Bodies up to this size go out with the head in one send.
    private static let inlineBodyMax = 16 * 1024

    /// Writes all requests of `plan`: for each target one, or one for each host.
    init(_ plan: LoadPlan) {
        let isInline = plan.bodyBytes <= Self.inlineBodyMax
        let body = [UInt8](repeating: UInt8(ascii: "u"), count: isInline ? plan.bodyBytes : 0)
        trailingBytes = isInline ? 0 : plan.bodyBytes
        perTarget = max(1, plan.hosts)
        var all: [UInt8] = []
        var found: [Place] = []
        for target in plan.targets {
            for host in 0..<perTarget {
                let text = Self.head(plan, target, host: plan.hosts > 0 ? "h\(host).bench.test" : nil)
                found.append(Place(start: all.count, count: text.utf8.count + body.count))
                all += Array(text.utf8) + body
            }
        }
        // Safety: both allocations are as long as what is copied into them.
        unsafe bytes = .allocate(capacity: all.count)
        unsafe bytes.initialize(from: all, count: all.count)
        unsafe places = .allocate(capacity: found.count)
        unsafe places.initialize(from: found, count: found.count)
    }

    deinit {
        // Safety: allocated in init, never given away.
        unsafe bytes.deallocate()
        unsafe places.deallocate()
    }

    /// The bytes of request `index`.
    @inline(__always) func request(_ index: Int) -> UnsafeBufferPointer<UInt8> {
        // Safety: callers take `index` below targets times `perTarget`.
        let place = unsafe places[index]
        return unsafe UnsafeBufferPointer(start: bytes + place.start, count: place.count)
    }

    private static func head(_ plan: LoadPlan, _ target: LoadTarget, host: String?) -> String {
        let ownHost = plan.fields.first { $0.lowercased().hasPrefix("host:") }
        var lines = [
            "\(plan.messageBytes == nil ? plan.method : "GET") \(target.path) HTTP/1.1",
            host.map { "Host: \($0)" } ?? ownHost ?? "Host: \(target.authority)",
            "User-Agent: hdproxy-bench", "Accept: */*",
        ]
        lines += plan.fields.filter { !$0.lowercased().hasPrefix("host:") }
        if plan.messageBytes != nil {
            lines += [
                "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: \(webSocketKey)",
            ]
        } else if plan.newConnections {
            lines.append("Connection: close")
        }
        if plan.bodyBytes > 0 || plan.method == "POST" || plan.method == "PUT" {
            lines.append("Content-Length: \(plan.bodyBytes)")
        }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    /// One key for all: it proves that the peer speaks WebSocket, not who it is (RFC 6455 §1.3).
    static let webSocketKey = "aGRwcm94eS1iZW5jaCBrZQ=="
}
