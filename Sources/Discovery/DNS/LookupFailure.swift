// Why could nobody tell? A failure is never an absence: these are the reasons of "I don't know".

import ProxyCore

/// Why a lookup came to nothing.
public struct LookupFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The reasons, as metrics and logs call them.
    public enum Reason: String, Sendable, CaseIterable {
        /// No answer in time.
        case timeout
        /// The server could not tell (SERVFAIL).
        case servfail
        /// The server would not tell (REFUSED).
        case refused
        /// The server did not understand (FORMERR).
        case formerr
        /// The server does not do this (NOTIMP).
        case notimp
        /// The server gave another code.
        case rcode
        /// The answer cannot be read, or contradicts itself.
        case malformed
        /// The whole answer could not be had: it was cut, and TCP failed.
        case truncated
        /// The server points elsewhere: it neither knows nor asks on.
        case lame
        /// The chain of aliases is a circle or too long.
        case aliasLoop = "alias_loop"
        /// Nothing listens at the server's address, or there is no way to it.
        case unreachable
        /// There is no server to ask.
        case noServer = "no_server"
        /// No socket could be had.
        case noSocket = "no_socket"
        /// The name is none.
        case badName = "bad_name"
        /// The addresses are none that anybody could connect to.
        case unusable
        /// Whoever asked does not want to know any more.
        case cancelled
    }

    /// Why.
    public var reason: Reason
    /// Who was asked last.
    public var server: NetworkAddress?

    /// The failure `reason` of `server`.
    public init(_ reason: Reason, server: NetworkAddress? = nil) {
        self.reason = reason
        self.server = server
    }

    /// As in `servfail from 10.43.0.10:53`.
    public var description: String { server.map { "\(reason.rawValue) from \($0)" } ?? reason.rawValue }
}
