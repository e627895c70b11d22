// What does a client like Cloudflare do, and what came of it? A plan, a board that every thread may read, and the visitors
// that such a client speaks for.

import Synchronization

/// What the client does.
struct EdgePlan: Sendable {
    var duration: UInt64 = 60_000_000_000
    /// Requests a second, to all nodes together.
    var rate = 1500.0
    /// Connections to one node over one scheme, at most.
    var connections = 40
    /// How old a connection gets before the client closes it; Cloudflare's 900 s.
    var age: UInt64 = 900_000_000_000
    /// Addresses of nodes, and the ports of http and https at each.
    var nodes: [String] = []
    var plainPort: UInt16 = 0
    var securePort: UInt16 = 0
    /// What takes longer is lost.
    var timeout: UInt64 = 15_000_000_000
}

/// What has come of it, for every thread.
final class EdgeBoard: Sendable {
    /// The figures.
    struct Figures: Sendable {
        var sent = 0
        var posts = 0
        /// Answered rightly over http and over https.
        var answered = (plain: 0, secure: 0)
        /// Requests without a right answer, by what happened.
        var lost: [String: Int] = [:]
        /// Connections, handshakes, and those that failed.
        var opened = 0
        var handshakes = 0
        /// Connections that the proxy ended between two requests: announced, and without a word.
        var ended = 0
        var endedUnannounced = 0
        /// Requests by node.
        var perNode: [Int] = []
        /// Microseconds of right answers.
        var latencies: [UInt32] = []
    }

    private let state = Mutex(Figures())
    private let share = Atomic<Int>(0)
    private let stop = Atomic<Bool>(false)
    private let over = Atomic<Bool>(false)

    /// The figures so far.
    var figures: Figures { state.withLock { $0 } }
    /// Of a thousand requests so many go over https.
    var securePermille: Int {
        get { share.load(ordering: .relaxed) }
        set { share.store(newValue, ordering: .relaxed) }
    }
    /// Whether it shall end.
    var isStopping: Bool { stop.load(ordering: .relaxed) }

    func change(_ body: (inout Figures) -> Void) { state.withLock { body(&$0) } }
    func finish() { over.store(true, ordering: .releasing) }

    /// Sends nothing new, waits for what is under way; all that came.
    func stopAndWait() -> Figures {
        stop.store(true, ordering: .relaxed)
        while !over.load(ordering: .acquiring) { pause(milliseconds: 2) }
        return figures
    }
}

/// Somebody for whom a request is made.
struct EdgeVisitor {
    /// As the application is to see it.
    let address: String
    /// The fields that Cloudflare tells it in.
    let fields: String

    /// The visitor of request `id`: two of three by IPv4, the third by IPv6 in a zone with Pseudo IPv4, where what
    /// everybody else reads is a made-up address. Some send an X-Forwarded-For of their own, to which theirs is appended.
    init(of id: Int) {
        let mix = scrambled(UInt64(id))
        let forged = mix >> 32 & 7 == 0 ? "10.9.8.7, " : ""
        if id % 3 == 2 {
            address = "2001:db8::\(String(1 + mix & 0xFFF, radix: 16))"
            let pseudo = "\(240 + mix >> 8 & 15).\(mix >> 12 & 255).0.1"
            fields = """
                CF-Connecting-IP: \(pseudo)\r\nCF-Connecting-IPv6: \(address)\r\n\
                X-Forwarded-For: \(forged)\(pseudo)\r\n
                """
        } else {
            address = "203.0.113.\(1 + mix % 254)"
            fields = "CF-Connecting-IP: \(address)\r\nX-Forwarded-For: \(forged)\(address)\r\n"
        }
    }
}
