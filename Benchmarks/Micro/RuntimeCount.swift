// Does it allocate, does it count references? The Swift runtime lets instruments stand before its allocation, retain
// and release; we do so while calls are counted, never while they are timed. Memory taken by
// `UnsafeMutablePointer.allocate` does not pass there.

import Glibc

/// What calls asked of the Swift runtime.
struct RuntimeCount {
    /// Objects made (arrays, closures and strings with storage included), and their bytes.
    var objects = 0
    var bytes = 0
    /// References counted up or down.
    var references = 0
}

private typealias AllocateObject = @convention(c) (UnsafeRawPointer?, Int, Int) -> UnsafeMutableRawPointer?
private typealias Retain = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
private typealias Release = @convention(c) (UnsafeMutableRawPointer?) -> Void

// Safety: counting happens on one thread, the only one of this process.
private nonisolated(unsafe) var counted = RuntimeCount()
private nonisolated(unsafe) var allocateObject: AllocateObject?
private nonisolated(unsafe) var retainObject: Retain?
private nonisolated(unsafe) var releaseObject: Release?

/// What `body` asks of the Swift runtime; nil where the runtime is linked statically and shows no doors.
func countRuntime(_ body: () -> Void) -> RuntimeCount? {
    // Safety: these are the runtime's own variables of these types; each is set back before we return.
    let flagName = "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly"
    guard let flag = unsafe dlsym(nil, flagName)?.assumingMemoryBound(to: Bool.self),
        let allocate = unsafe dlsym(nil, "_swift_allocObject")?.assumingMemoryBound(to: AllocateObject.self),
        let retain = unsafe dlsym(nil, "_swift_retain")?.assumingMemoryBound(to: Retain.self),
        let release = unsafe dlsym(nil, "_swift_release")?.assumingMemoryBound(to: Release.self)
    else { return nil }
    unsafe (allocateObject, retainObject, releaseObject) = (allocate.pointee, retain.pointee, release.pointee)
    unsafe counted = RuntimeCount()
    unsafe allocate.pointee = { metadata, size, alignment in
        unsafe counted.objects &+= 1
        unsafe counted.bytes &+= size
        return unsafe allocateObject?(metadata, size, alignment)
    }
    unsafe retain.pointee = { object in
        unsafe counted.references &+= 1
        return unsafe retainObject?(object)
    }
    unsafe release.pointee = { object in
        unsafe counted.references &+= 1
        unsafe releaseObject?(object)
    }
    unsafe flag.pointee = true
    body()
    unsafe flag.pointee = false
    unsafe allocate.pointee = allocateObject!
    unsafe retain.pointee = retainObject!
    unsafe release.pointee = releaseObject!
    return unsafe counted
}
