// What is fuzzed? Everything that reads bytes which somebody else chose. Each target takes any bytes at all and holds
// what is made of them against properties that must be true of every input; libFuzzer looks for one that breaks them.

import Glibc

/// Something that reads a stranger's bytes. The names are those of `make fuzz TARGET=…` and of the files in `Corpus`.
enum FuzzTarget: String, CaseIterable, Sendable {
    case requestHead = "request-head"
    case responseHead = "response-head"
    case chunked
    case requestTarget = "request-target"
    case routing
    case proxyHeader = "proxy-header"
    case configuration
    case kubernetesEvents = "kubernetes-events"
    case dnsMessage = "dns-message"
    case webSocketFrames = "websocket-frames"
    case refusedHead = "refused-head"

    /// Holds what is made of `input` against the target's properties.
    ///
    /// - Throws: a ``Finding`` where one of them is not true. A trap is a finding, too.
    func check(_ input: [UInt8]) throws {
        switch self {
        case .requestHead: try RequestHeadTarget.check(input)
        case .responseHead: try ResponseHeadTarget.check(input)
        case .chunked: try ChunkedTarget.check(input)
        case .requestTarget: try RequestTargetTarget.check(input)
        case .routing: try RoutingTarget.check(input)
        case .proxyHeader: try ProxyHeaderTarget.check(input)
        case .configuration: try ConfigurationTarget.check(input)
        case .kubernetesEvents: try KubernetesEventsTarget.check(input)
        case .dnsMessage: try DNSMessageTarget.check(input)
        case .webSocketFrames: try WebSocketFramesTarget.check(input)
        case .refusedHead: try RefusedHeadTarget.check(input)
        }
    }

    /// Bytes that an input has at most: enough for what is special about long ones, few enough for many runs.
    var inputBytesMax: Int {
        switch self {
        case .requestTarget, .routing: 1024
        case .proxyHeader: 4200
        case .dnsMessage, .webSocketFrames, .refusedHead: 4096
        case .requestHead, .responseHead, .chunked, .configuration, .kubernetesEvents: 16 * 1024
        }
    }
}

/// A property that an input breaks.
struct Finding: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// Throws a ``Finding`` unless `isTrue`.
func expect(_ isTrue: Bool, _ text: @autoclosure () -> String) throws {
    if !isTrue { throw Finding(text()) }
}

/// Runs `work` over `byteCount` bytes, and throws a ``Finding`` where its cost is out of proportion to them. The bound is
/// some hundred times what a machine needs that does much else, so only what grows faster than its input meets it.
func inProportion<R>(to byteCount: Int, _ what: String, _ work: () throws -> R) throws -> R {
    #if DEBUG
        let nanosecondsEach = 20_000
    #else
        let nanosecondsEach = 2_000
    #endif
    let bound = 10_000_000 + byteCount * nanosecondsEach
    var spent = 0
    for attempt in 1...3 {
        let start = threadNanoseconds()
        let result = try work()
        spent = threadNanoseconds() - start
        // A second look, because the clock also counts what the machine does in our name.
        if spent <= bound || attempt == 3 {
            try expect(spent <= bound, "\(what) took \(spent / 1_000_000) ms for \(byteCount) bytes")
            return result
        }
    }
    throw Finding("\(what) took \(spent / 1_000_000) ms")
}

/// The time that this thread has computed.
private func threadNanoseconds() -> Int {
    var time = timespec()
    // Safety: the kernel writes one timespec into a local.
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
