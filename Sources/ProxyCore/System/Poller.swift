// What happened? epoll, edge-triggered for connections: each descriptor is registered once, for everything, and
// never again, so that a request costs no epoll_ctl.

import CLinux
import Glibc

/// What is registered with a poller, and comes back with its events: a kind, a slot and the slot's generation, by
/// which an event for something that is gone is recognised.
public struct Token: Equatable, Sendable {
    /// What kind of thing a token stands for.
    public enum Kind: UInt8, Sendable {
        case wake, listener, client, upstream
    }

    /// What it stands for.
    public var kind: Kind
    /// Which one.
    public var slot: SlotID

    /// The token of a slot.
    @inline(__always) public init(_ kind: Kind, _ slot: SlotID) {
        self.kind = kind
        self.slot = slot
    }

    @inline(__always) fileprivate init(packed: UInt64) {
        kind = Kind(rawValue: UInt8(truncatingIfNeeded: packed >> 62)) ?? .wake
        slot = SlotID(
            index: Int32(truncatingIfNeeded: packed & 0xFFFF_FFFF),
            generation: UInt32(truncatingIfNeeded: packed >> 32) & 0x3FFF_FFFF)
    }

    @inline(__always) fileprivate var packed: UInt64 {
        UInt64(kind.rawValue) << 62 | UInt64(slot.generation & 0x3FFF_FFFF) << 32
            | UInt64(UInt32(bitPattern: slot.index))
    }
}

/// What the poller saw of one descriptor.
public struct Readiness: Equatable, Sendable {
    fileprivate let bits: UInt32

    /// Something can be read, if only the end.
    @inline(__always) public var isReadable: Bool { bits & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 }
    /// Something can be written.
    @inline(__always) public var isWritable: Bool { bits & EPOLLOUT.rawValue != 0 }
    /// The peer will send no more.
    @inline(__always) public var isEnding: Bool { bits & EPOLLRDHUP.rawValue != 0 }
    /// The connection is broken.
    @inline(__always) public var isReset: Bool { bits & EPOLLERR.rawValue != 0 }
    /// The connection is broken, or closed both ways.
    @inline(__always) public var isBroken: Bool { bits & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 }
}

/// An epoll instance and room for one batch of its events.
///
/// Safety: the room is owned, and indices into it are checked.
@safe public struct Poller: ~Copyable {
    /// Events that one turn handles at most.
    public static let batchMax = 256

    private let descriptor: FileDescriptor
    /// Safety: room for `batchMax` events, owned.
    private let events: UnsafeMutablePointer<epoll_event>

    /// A new epoll instance.
    public init() throws(SystemError) {
        let number = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard number >= 0 else { throw SystemError("epoll_create1", doing: "starting a worker") }
        descriptor = FileDescriptor(owning: number)
        unsafe events = .allocate(capacity: Self.batchMax)
        unsafe events.initialize(repeating: epoll_event(), count: Self.batchMax)
    }

    deinit { unsafe events.deallocate() }

    /// Registers a connection, once and for everything, edge-triggered.
    @inline(__always)
    public borrowing func add(_ socket: borrowing Socket, _ token: Token) -> Bool {
        control(
            EPOLL_CTL_ADD, socket.number,
            EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue, token)
    }

    /// Registers a wake handle, level-triggered: what is not taken now is told again.
    public borrowing func addLevel(_ number: Int32, _ token: Token) -> Bool {
        control(EPOLL_CTL_ADD, number, EPOLLIN.rawValue, token)
    }

    /// Registers a listening socket, level-triggered. Where other pollers have the same socket, one of them is told of a
    /// connection, not all (EPOLLEXCLUSIVE).
    public borrowing func addListener(_ number: Int32, _ token: Token) -> Bool {
        control(EPOLL_CTL_ADD, number, EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue, token)
    }

    /// Registers any descriptor, level-triggered, for reading or for writing.
    public borrowing func add(_ number: Int32, _ token: Token, forWriting: Bool) -> Bool {
        control(EPOLL_CTL_ADD, number, forWriting ? EPOLLOUT.rawValue : EPOLLIN.rawValue | EPOLLRDHUP.rawValue, token)
    }

    /// Takes a descriptor out for a while, or for good.
    public borrowing func remove(_ number: Int32) {
        _ = control(EPOLL_CTL_DEL, number, 0, Token(.wake, .none))
    }

    private borrowing func control(_ operation: Int32, _ number: Int32, _ bits: UInt32, _ token: Token) -> Bool {
        // Safety: an event is plain data; its union is read back as what it was stored as.
        var event = unsafe epoll_event()
        unsafe event.events = bits
        unsafe event.data.u64 = token.packed
        // Safety: the kernel copies the event.
        return unsafe epoll_ctl(descriptor.number, operation, number, &event) == 0
    }

    /// Waits for events until `milliseconds` are over (-1: for ever) and returns how many there are, `most` at most.
    @inline(__always)
    public borrowing func wait(milliseconds: Int32, most: Int = batchMax) -> Int {
        // Safety: room for batchMax events.
        let n = unsafe epoll_wait(descriptor.number, events, Int32(min(most, Self.batchMax)), milliseconds)
        if n < 0 { precondition(errno == EINTR, "epoll_wait fails only for arguments that are ours") }
        return max(0, Int(n))
    }

    /// The event at `index` of the latest batch.
    @inline(__always)
    public borrowing func event(_ index: Int) -> (token: Token, readiness: Readiness) {
        precondition(index >= 0 && index < Self.batchMax, "index out of range")
        // Safety: the index was checked, and all events are initialized.
        let event = unsafe events[index]
        // Safety: data was stored as u64.
        return unsafe (Token(packed: event.data.u64), Readiness(bits: event.events))
    }
}

/// A way to wake a poller from another thread.
public struct WakeHandle: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    /// A new handle.
    public init() throws(SystemError) {
        let number = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard number >= 0 else { throw SystemError("eventfd", doing: "starting a worker") }
        descriptor = FileDescriptor(owning: number)
    }

    /// Its descriptor.
    public var number: Int32 { descriptor.number }

    /// Wakes the poller that it is registered with. Any thread may call it.
    public borrowing func wake() {
        // A full counter means that it is awake already.
        _ = eventfd_write(descriptor.number, 1)
    }

    /// Takes the wake back, so that the next one is noticed.
    public borrowing func clear() {
        var count: eventfd_t = 0
        // Safety: eight bytes of room.
        _ = unsafe eventfd_read(descriptor.number, &count)
    }
}
