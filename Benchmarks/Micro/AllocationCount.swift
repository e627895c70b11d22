// Does it allocate? The allocator's front doors, counted: this program's own malloc, calloc, realloc and aligned
// relatives stand before glibc's and pass every call on. Only this program is measured so; hdproxy knows nothing of it.

import Glibc

@_silgen_name("__libc_malloc") private func libcMalloc(_ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__libc_calloc") private func libcCalloc(_ count: Int, _ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__libc_realloc")
private func libcRealloc(_ old: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer?
@_silgen_name("__libc_memalign")
private func libcMemalign(_ alignment: Int, _ size: Int) -> UnsafeMutableRawPointer?

// Plain numbers with a constant start: nothing is made lazily, which would itself allocate. Safety: the measured code
// runs on one thread; a count lost to another thread would only be a wrong count.
private nonisolated(unsafe) var allocatedBytes = 0
private nonisolated(unsafe) var allocationCalls = 0

/// Bytes asked for and calls made since the start of the process.
func allocationCount() -> (bytes: Int, calls: Int) { unsafe (allocatedBytes, allocationCalls) }

@inline(__always) private func count(_ size: Int) {
    // Safety: see above.
    unsafe allocatedBytes &+= size
    unsafe allocationCalls &+= 1
}

// Safety, for all five: arguments and results are passed on as they come, under the contract of the C functions.

@c(malloc) func countedMalloc(_ size: Int) -> UnsafeMutableRawPointer? {
    count(size)
    return unsafe libcMalloc(size)
}

@c(calloc) func countedCalloc(_ number: Int, _ size: Int) -> UnsafeMutableRawPointer? {
    count(number &* size)
    return unsafe libcCalloc(number, size)
}

@c(realloc) func countedRealloc(_ old: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
    count(size)
    return unsafe libcRealloc(old, size)
}

@c(aligned_alloc) func countedAlignedAlloc(_ alignment: Int, _ size: Int) -> UnsafeMutableRawPointer? {
    count(size)
    return unsafe libcMemalign(alignment, size)
}

@c(posix_memalign) func countedPosixMemalign(
    _ result: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ alignment: Int, _ size: Int
) -> Int32 {
    count(size)
    guard let memory = unsafe libcMemalign(alignment, size) else { return ENOMEM }
    unsafe result.pointee = memory
    return 0
}
