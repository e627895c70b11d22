// With what are session tickets sealed (RFC 5077, RFC 8446 §4.6.1)? Keys that all workers have, so that a client may come
// back to any of them; a new one from time to time, the ones before it for as long as their tickets may live.

import COpenSSL

/// One key for session tickets: a name, by which it is found again, and what seals.
public struct TicketKey: Equatable, Sendable {
    /// Bytes of a key: its name, AES-256 and HMAC-SHA256.
    public static let byteCount = 16 + 32 + 32
    /// Those bytes, secret but for the first 16.
    public let bytes: [UInt8]

    /// The key that these bytes spell; nil where they are too few or too many.
    public init?(bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    /// A new key.
    public static func random() -> TicketKey {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        // Safety: as many bytes are written as the array has.
        let result = unsafe RAND_priv_bytes(&bytes, Int32(byteCount))
        precondition(result == 1, "there is no randomness")
        guard let key = TicketKey(bytes: bytes) else { preconditionFailure("a key of its own length") }
        return key
    }
}

/// The keys of one worker. Tickets are sealed with the first, and opened with each.
///
/// Safety: owns memory for ``keysMax`` keys and their count, which OpenSSL's callback reads on the worker's own thread.
@safe struct TicketKeyring: ~Copyable {
    /// Keys that are known at most.
    static let keysMax = 4

    /// Safety: a count and room for `keysMax` keys behind it.
    private let memory: UnsafeMutableRawPointer

    /// No key: sessions are not resumed.
    init() {
        unsafe memory = .allocate(byteCount: 16 + Self.keysMax * TicketKey.byteCount, alignment: 16)
        unsafe memory.storeBytes(of: 0, as: Int.self)
    }

    deinit {
        // Safety: the memory is ours, and the secrets in it are erased.
        unsafe OPENSSL_cleanse(memory, 16 + Self.keysMax * TicketKey.byteCount)
        unsafe memory.deallocate()
    }

    /// Uses `keys` from now on, the first of them for new tickets.
    mutating func adopt(_ keys: [TicketKey]) {
        let kept = keys.prefix(Self.keysMax)
        for (i, key) in kept.enumerated() {
            // Safety: there is room for `keysMax` keys of this length.
            unsafe (memory + 16 + i * TicketKey.byteCount).copyMemory(from: key.bytes, byteCount: TicketKey.byteCount)
        }
        unsafe memory.storeBytes(of: kept.count, as: Int.self)
    }

    /// What ``ticketKeyCallback`` reads, as long as the ring lives.
    ///
    /// Safety: whoever keeps it does so for no longer than that.
    @unsafe var address: UnsafeMutableRawPointer { unsafe memory }

    fileprivate static func count(_ address: UnsafeMutableRawPointer) -> Int {
        // Safety: the address is a ring's.
        unsafe address.load(as: Int.self)
    }

    fileprivate static func key(_ address: UnsafeMutableRawPointer, _ index: Int) -> UnsafeMutableRawPointer {
        // Safety: the address is a ring's; the caller's index is below the count.
        unsafe address + 16 + index * TicketKey.byteCount
    }
}

/// AES-256-CBC, fetched once: looking it up by name costs more than using it.
///
/// Safety: an algorithm is never changed, and this one lives as long as the process.
nonisolated(unsafe) private let ticketCipher: OpaquePointer? = unsafe EVP_CIPHER_fetch(nil, "AES-256-CBC", nil)

/// OpenSSL asks with which key a ticket is, or will be, sealed. 0: none fits, so there is no ticket, or no resumption; 2:
/// it fits, and a new ticket is due.
///
/// Safety: OpenSSL hands over 16 bytes for the name, room for an initialization vector, and contexts that live for the
/// length of the call; the session's state names the keyring of the worker on whose thread this is.
func ticketKeyCallback(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ vector: UnsafeMutablePointer<UInt8>?,
    _ cipher: OpaquePointer?, _ mac: OpaquePointer?, _ isSealing: Int32
) -> Int32 {
    guard let ssl = unsafe ssl, let name = unsafe name, let vector = unsafe vector, let cipher = unsafe cipher,
        let mac = unsafe mac, let ring = unsafe SecureSocket.keyring(of: ssl)
    else { return 0 }
    let count = unsafe TicketKeyring.count(ring)
    if isSealing != 0 {
        guard count > 0 else { return 0 }
        let key = unsafe TicketKeyring.key(ring, 0)
        unsafe UnsafeMutableRawPointer(name).copyMemory(from: key, byteCount: 16)
        guard unsafe RAND_bytes(vector, Int32(EVP_CIPHER_get_iv_length(ticketCipher))) == 1 else { return -1 }
        let secret = unsafe (key + 16).assumingMemoryBound(to: UInt8.self)
        guard unsafe EVP_EncryptInit_ex2(cipher, ticketCipher, secret, vector, nil) == 1 else { return -1 }
        return unsafe hd_set_ticket_mac(mac, key + 48) == 1 ? 1 : -1
    }
    for i in 0..<count {
        let key = unsafe TicketKeyring.key(ring, i)
        guard unsafe CRYPTO_memcmp(key, name, 16) == 0 else { continue }
        let secret = unsafe (key + 16).assumingMemoryBound(to: UInt8.self)
        guard unsafe EVP_DecryptInit_ex2(cipher, ticketCipher, secret, vector, nil) == 1,
            unsafe hd_set_ticket_mac(mac, key + 48) == 1
        else { return -1 }
        // Clients that care use a ticket of TLS 1.3 once (RFC 8446 §C.4), so whoever comes with one needs another.
        return unsafe i == 0 && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2
    }
    return 0
}
