// What has a pod done, also when it was killed in the middle of it? Memory that pod and harness share, in a file: what the
// pod notes outlives it, and the harness tells it how to behave.

import CLinux
import Glibc

/// How a pod behaves.
enum PodMode: UInt64, Sendable, CaseIterable {
    /// As it should.
    case healthy
    /// Answers late.
    case slow
    /// Resets the connection in place of the answer, or in the middle of it.
    case resetting
    /// Answers what is no HTTP.
    case garbage
    /// Takes no new connection, as when its descriptors are used up: they wait in the queue, which is full soon.
    case deaf
}

/// The shared memory of one pod.
@safe final class PodLedger {
    /// What is noted of a request.
    enum Note: UInt64 {
        /// Its head has come.
        case begun = 1
        /// All of it has come: what it asks for is done now.
        case carriedOut = 2
        /// Its answer is out.
        case answered = 3
    }

    /// Where it is.
    let path: String
    private let base: UnsafeMutableRawPointer

    private static let readyAt = 0, modeAt = 8, slownessAt = 16, countAt = 24, workAt = 32, tailAt = 40, recordsAt = 64
    private static let recordBytes = 24
    /// Sparse: only what is written takes room.
    private static let bytes = 256 << 20

    /// The memory in the file at `path`, which is made where `isNew`.
    init(_ path: String, isNew: Bool) throws {
        self.path = path
        // Safety: the path is passed as a NUL-terminated string that lives through the call.
        let fd = unsafe open(path, O_RDWR | O_CLOEXEC | (isNew ? O_CREAT | O_TRUNC : 0), 0o600)
        guard fd >= 0 else { throw SystemFailure("opening \(path)") }
        defer { close(fd) }
        guard !isNew || ftruncate(fd, Self.bytes) == 0 else { throw SystemFailure("sizing \(path)") }
        // Safety: the mapping is as long as the file, and stays until deinit.
        let memory = unsafe mmap(nil, Self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        guard let memory = unsafe memory, unsafe memory != UnsafeMutableRawPointer(bitPattern: -1) else {
            throw SystemFailure("mapping \(path)")
        }
        unsafe base = memory
    }

    deinit {
        // Safety: mapped in init with this length; nobody else has the pointer.
        unsafe _ = munmap(base, Self.bytes)
    }

    private subscript(_ offset: Int) -> UInt64 {
        // Safety: the offsets of this file lie within the mapping and are multiples of eight.
        get { unsafe base.load(fromByteOffset: offset, as: UInt64.self) }
        set { unsafe base.storeBytes(of: newValue, toByteOffset: offset, as: UInt64.self) }
    }

    /// Whether the pod listens.
    var isReady: Bool {
        get { self[Self.readyAt] != 0 }
        set { self[Self.readyAt] = newValue ? 1 : 0 }
    }

    /// How it behaves from the next request on.
    var mode: PodMode {
        get { PodMode(rawValue: self[Self.modeAt]) ?? .healthy }
        set { self[Self.modeAt] = newValue.rawValue }
    }

    /// How long an answer takes in nanoseconds, when the pod is healthy and when it is slow.
    var work: UInt64 {
        get { self[Self.workAt] }
        set { self[Self.workAt] = newValue }
    }
    var slowness: UInt64 {
        get { self[Self.slownessAt] }
        set { self[Self.slownessAt] = newValue }
    }

    /// Whether a few answers take ten times as long as the others.
    var hasTail: Bool {
        get { self[Self.tailAt] != 0 }
        set { self[Self.tailAt] = newValue ? 1 : 0 }
    }

    /// How many notes there are.
    var count: Int { Int(self[Self.countAt]) }

    /// Notes something of request `id`. Of what does not fit any more nothing is kept, which ``isFull`` tells.
    func note(_ note: Note, _ id: Int) {
        let at = Self.recordsAt + count * Self.recordBytes
        guard at + Self.recordBytes <= Self.bytes else { return }
        self[at] = UInt64(id)
        self[at + 8] = monotonicNow()
        self[at + 16] = note.rawValue
        // Last, so that a pod that is killed in between leaves no half record.
        self[Self.countAt] += 1
    }

    /// Whether something may be missing.
    var isFull: Bool { Self.recordsAt + (count + 1) * Self.recordBytes > Self.bytes }

    /// All notes from number `start` on.
    func forEach(from start: Int = 0, _ body: (_ note: Note, _ id: Int, _ time: UInt64) -> Void) {
        for index in start..<max(start, count) {
            let at = Self.recordsAt + index * Self.recordBytes
            guard let note = Note(rawValue: self[at + 16]) else { continue }
            body(note, Int(self[at]), self[at + 8])
        }
    }

    /// Removes the file; the memory stays until this value goes.
    func remove() {
        // Safety: the path lives through the call.
        unsafe _ = unlink(path)
    }
}
