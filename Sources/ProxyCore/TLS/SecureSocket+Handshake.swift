// How does TLS begin on a worker's socket, and what was agreed on?

import COpenSSL

extension SecureSocket {
    /// What a step of the handshake came to.
    enum Step: Equatable {
        /// Both sides know what they have to.
        case done
        /// It goes on with the next event.
        case waits
        /// It is over.
        case failed(HandshakeOutcome)
    }

    /// Goes on with the handshake.
    mutating func handshake() -> Step {
        // Safety: the SSL and its state are ours, here and below.
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl, unsafe !state.pointee.isBroken else {
            return .failed(.malformed)
        }
        forgetErrors()
        let result = unsafe SSL_do_handshake(ssl)
        if result == 1 {
            unsafe state.pointee.isOpen = true
            return .done
        }
        switch unsafe SSL_get_error(ssl, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .waits
        default:
            unsafe state.pointee.isBroken = true
            let outcome = unsafe HandshakeOutcome(failedWith: ERR_peek_error(), state.pointee.wasUnknownName)
            ERR_clear_error()
            return .failed(outcome)
        }
    }

    /// What was agreed on.
    var facts: TLSFacts {
        guard let state = unsafe state, let ssl = unsafe state.pointee.ssl else { return TLSFacts() }
        return unsafe TLSFacts(ssl, entry: state.pointee.entry)
    }

    /// The rule by which the client was let in, of the terms that the connection began with; -1 for none.
    var rule: Int32 {
        guard let state = unsafe state, let terms = unsafe state.pointee.terms else { return -1 }
        let entry = unsafe state.pointee.entry
        // Safety: whoever made this keeps the terms alive.
        return unsafe terms._withUnsafeGuaranteedRef { $0.rule(ofEntry: entry) }
    }
}
