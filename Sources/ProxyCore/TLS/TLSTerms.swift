// Which certificate is shown to whom, and who is let in? The terms of one listener, compiled: each name that a client can
// ask for leads to an OpenSSL context and to a rule. They are chosen from the client's very first message, before a
// ticket is looked at, and the rule is part of what a ticket is good for: so nobody comes back under one rule who was let
// in under another (CVE-2025-23419).

import COpenSSL
import Glibc

/// The terms on which TLS is spoken at one listener. Any thread may use them; a connection needs them for as long as it
/// lives.
///
/// Safety: nothing changes after `init`; contexts are OpenSSL's, whose counts of references are atomic.
@safe public final class TLSTerms: Sendable {
    /// What a name leads to.
    private struct Entry: Sendable {
        var context: Int
        var rule: Int32
    }

    /// A rule for clients, as OpenSSL takes it.
    private struct Rule: Sendable {
        var spec: ClientRule
        /// What a ticket must have been sealed under; equal for equal rules alone.
        var ticketContext: [UInt8]
        var mode: Int32
    }

    private let exact: HostIndex
    private let wildcards: HostIndex
    private let entries: [Entry]
    private let contexts: [TLSContext]
    private let rules: [Rule]
    /// What everybody gets whose name is not known; nil: nobody does.
    private let fallback: Int32?
    /// Safety: the context of the first entry, which new connections begin with.
    nonisolated(unsafe) let first: OpaquePointer
    /// Whether records are left to the kernel.
    let usesKernel: Bool
    /// Whether every host has the same rule and none is refused, so that no request has to be asked which host it is for.
    let isUniform: Bool
    /// What is asked of clients, host by host, whatever is shown to them.
    private let demands: [Demand]

    private struct Demand: Equatable {
        var pattern: HostPattern
        var rule: ClientRule
    }

    /// The terms that `spec` describes, or why they cannot be had.
    public init(_ spec: TLSTermsSpec) throws(TLSError) {
        var builder = try TermsBuilder(spec)
        let general = try builder.entry(for: nil)
        var exact = HostIndex(seed: systemRandom())
        var wildcards = HostIndex(seed: systemRandom())
        for name in builder.exactNames { exact.insert(name, value: try builder.entry(for: .exact(name))) }
        for name in builder.wildcardNames { wildcards.insert(name, value: try builder.entry(for: .wildcard(name))) }
        entries = builder.entries.map { Entry(context: $0.context, rule: $0.rule) }
        contexts = builder.contexts
        rules = builder.rules.map { rule in
            Rule(spec: rule, ticketContext: Self.ticketContext(rule), mode: Self.mode(rule.authentication))
        }
        fallback = spec.isStrict ? nil : general
        unsafe first = builder.contexts[builder.entries[Int(general)].context].pointer
        usesKernel = spec.prefersKernel
        isUniform = !spec.isStrict && builder.rules.count == 1
        demands =
            [Demand(pattern: .any, rule: spec.rule)] + spec.hosts.map { Demand(pattern: $0.pattern, rule: $0.rule) }
        self.exact = exact
        self.wildcards = wildcards
    }

    /// Whether a client that was let in by `other` is asked for the same here, whichever host it wants.
    func asksTheSame(as other: TLSTerms) -> Bool {
        demands == other.demands && (fallback == nil) == (other.fallback == nil)
    }

    private static func mode(_ authentication: ClientAuthentication) -> Int32 {
        switch authentication {
        case .require: SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
        case .request: SSL_VERIFY_PEER
        case .off: SSL_VERIFY_NONE
        }
    }

    private static func ticketContext(_ rule: ClientRule) -> [UInt8] {
        Digest.sha256(Array("hdproxy \(rule.authentication.rawValue)\n".utf8) + rule.authorities)
    }

    // MARK: Which rule

    /// The entry for the host `name`; nil where it is not served.
    @inline(__always)
    private func entry(for name: Span<UInt8>) -> Int32? {
        // Routes ignore one final dot, so with it a name is the same one here: its rule is not to be walked around.
        var end = name.count
        if end > 0, name[end &- 1] == UInt8(ascii: ".") { end &-= 1 }
        if let found = exact.find(name, from: 0, to: end) { return found }
        var dot = 0
        while dot < end, name[dot] != UInt8(ascii: ".") { dot &+= 1 }
        // A wildcard stands for one label, which is not empty.
        if dot > 0, dot < end, let found = wildcards.find(name, from: dot &+ 1, to: end) { return found }
        return fallback
    }

    /// The rule for clients that ask for the host `name`; -1 where it is not served.
    func rule(forHost name: Span<UInt8>) -> Int32 { entry(for: name).map { entries[Int($0)].rule } ?? -1 }

    /// The rule of an entry; -1 for none.
    func rule(ofEntry entry: Int32) -> Int32 { entry < 0 ? -1 : entries[Int(entry)].rule }

    // MARK: A client's first message

    /// Sets `ssl` to what the client's first message asks for. Whether there is such a thing.
    ///
    /// Safety: `ssl` is one of ours, in OpenSSL's callback for that message.
    @unsafe fileprivate func meet(_ ssl: OpaquePointer, _ state: UnsafeMutablePointer<SecureSocket.State>) -> Bool {
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        var found = fallback
        if unsafe SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_server_name), &bytes, &count) == 1 {
            let message = unsafe UnsafeBufferPointer(start: bytes, count: count)
            // A list of one name: its length, its kind (0: a host), the name's length, the name (RFC 6066 §3).
            if count > 5, unsafe message[2] == 0 {
                let length = unsafe Int(message[3]) << 8 | Int(message[4])
                guard length > 0, 5 + length == count else { return false }
                let name = unsafe UnsafeBufferPointer(rebasing: message[5...])
                found = unsafe entry(for: name.span)
            }
        }
        guard let found else {
            unsafe state.pointee.wasUnknownName = true
            return false
        }
        unsafe state.pointee.entry = found
        let entry = entries[Int(found)]
        let context = unsafe contexts[entry.context].pointer
        if unsafe context != first, unsafe SSL_set_SSL_CTX(ssl, context) == nil { return false }
        let rule = rules[Int(entry.rule)]
        unsafe SSL_set_verify(ssl, rule.mode, nil)
        return unsafe SSL_set_session_id_context(ssl, rule.ticketContext, UInt32(rule.ticketContext.count)) == 1
    }
}

/// OpenSSL has read a client's first message, and looked at nothing in it yet.
///
/// Safety: OpenSSL hands over a live SSL, and room for an alert; whoever made the SSL keeps the terms alive.
func clientHelloCallback(
    _ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<Int32>?, _: UnsafeMutableRawPointer?
) -> Int32 {
    guard let ssl = unsafe ssl, let state = unsafe SecureSocket.state(of: ssl),
        let terms = unsafe state.pointee.terms
    else { return SSL_CLIENT_HELLO_ERROR }
    if unsafe terms._withUnsafeGuaranteedRef({ unsafe $0.meet(ssl, state) }) { return SSL_CLIENT_HELLO_SUCCESS }
    unsafe alert?.pointee = SSL_AD_UNRECOGNIZED_NAME
    return SSL_CLIENT_HELLO_ERROR
}

/// The client has said which protocols it speaks (RFC 7301): we speak one.
///
/// Safety: OpenSSL hands over `count` bytes, and takes a pointer into them.
func protocolCallback(
    _: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
    _ chosenCount: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ count: UInt32,
    _: UnsafeMutableRawPointer?
) -> Int32 {
    let list = unsafe UnsafeBufferPointer(start: offered, count: Int(count))
    let ours: StaticString = "http/1.1"
    var at = 0
    while at < list.count {
        let length = unsafe Int(list[at])
        let end = at + 1 + length
        if length == ours.utf8CodeUnitCount, end <= list.count, let start = list.baseAddress {
            if unsafe memcmp(start + at + 1, ours.utf8Start, length) == 0 {
                unsafe chosen?.pointee = start + at + 1
                unsafe chosenCount?.pointee = UInt8(length)
                return SSL_TLSEXT_ERR_OK
            }
        }
        at = end
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}
