// How do TLS records reach the socket? Through a BIO of ours: plain `recv` and `send`, which raise no signal, remember what
// a poller wants to know, and ask the kernel neither for what it cannot have nor to send what the next call would bring.

import COpenSSL
import Glibc

/// The method of our BIOs: made once, and never freed.
///
/// Safety: not changed once it is made.
nonisolated(unsafe) let secureSocketMethod: OpaquePointer? = {
    // Safety: the method is ours; callbacks are functions without context.
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "hdproxy") else { return nil }
    unsafe _ = BIO_meth_set_read(method, readFromSocket)
    unsafe _ = BIO_meth_set_write(method, writeToSocket)
    unsafe _ = BIO_meth_set_ctrl(method, controlSocket)
    return unsafe method
}()

/// Safety: the BIO is one of ours, whose state lives as long.
private func socketState(_ bio: OpaquePointer?) -> UnsafeMutablePointer<SecureSocket.State>? {
    unsafe BIO_get_data(bio).map { unsafe $0.assumingMemoryBound(to: SecureSocket.State.self) }
}

/// Safety: OpenSSL hands over room for `count` bytes.
private func readFromSocket(_ bio: OpaquePointer?, _ room: UnsafeMutablePointer<CChar>?, _ count: Int32) -> Int32 {
    guard let state = unsafe socketState(bio) else { return -1 }
    unsafe hd_clear_retry(bio)
    // OpenSSL asks again after each message of a handshake and each record that holds nothing for us.
    if unsafe state.pointee.isDrained {
        unsafe state.pointee.foundNothing = true
        unsafe hd_retry_read(bio)
        return -1
    }
    let n = unsafe recv(state.pointee.descriptor, room, Int(count), 0)
    if n > 0 {
        // Less than there was room for means that the socket is drained.
        unsafe state.pointee.isDrained = n < count && !state.pointee.isEnding
        return Int32(truncatingIfNeeded: n)
    }
    if n == 0 {
        unsafe state.pointee.sawEnd = true
        return 0
    }
    if errno == EAGAIN || errno == EINTR {
        unsafe state.pointee.isDrained = errno == EAGAIN
        unsafe state.pointee.foundNothing = true
        unsafe hd_retry_read(bio)
    }
    return -1
}

/// Safety: OpenSSL hands over `count` bytes.
private func writeToSocket(_ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int32) -> Int32 {
    guard let state = unsafe socketState(bio) else { return -1 }
    unsafe hd_clear_retry(bio)
    let more = unsafe moreFollows(state) ? Int32(MSG_MORE) : 0
    let n = unsafe send(state.pointee.descriptor, bytes, Int(count), Socket.withoutSignal | more)
    if n < 0, errno == EAGAIN || errno == EINTR { unsafe hd_retry_write(bio) }
    return Int32(truncatingIfNeeded: n)
}

/// Whether the kernel may wait for more before it sends what is written now. A ticket behind a handshake goes with the
/// first answer, or a fifth of a second later where nobody asks; the end of TLS goes with that of the connection.
///
/// Safety: the state is one of ours, alive.
private func moreFollows(_ state: UnsafeMutablePointer<SecureSocket.State>) -> Bool {
    if unsafe state.pointee.isSayingEnd { return true }
    if unsafe state.pointee.isOpen || state.pointee.terms == nil { return false }
    return unsafe SSL_get_state(state.pointee.ssl) == TLS_ST_SW_SESSION_TICKET
}

/// What else OpenSSL asks of a BIO.
///
/// Safety: the pointer is not touched.
private func controlSocket(_ bio: OpaquePointer?, _ command: Int32, _: Int, _: UnsafeMutableRawPointer?) -> Int {
    switch command {
    // Nothing is held back.
    case BIO_CTRL_FLUSH, BIO_CTRL_DUP: 1
    case BIO_CTRL_EOF: unsafe socketState(bio)?.pointee.sawEnd == true ? 1 : 0
    default: 0
    }
}
