// How does ThreadSanitizer see that a Mutex was waited for? The fast paths of Swift's `Synchronization.Mutex` are compiled
// into our code, and the sanitizer sees their atomic operations. Who has to wait calls into Swift's library, which is not
// instrumented: the kernel hands the lock over (FUTEX_LOCK_PI), and to the sanitizer nothing happened between one owner and
// the next, so that it calls whatever the lock protects a race. This stands in for that function, in sanitized builds
// alone: it tries again and again with an operation that the sanitizer sees. No report is suppressed.
//
// The word of the lock is 0, or the id of the thread that holds it. As nobody waits in the kernel any more, nobody sets
// the bit that says so, and unlocking never leaves its fast path.

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

// Synchronization._MutexHandle._lockSlow(UInt32) -> (), a method of a borrowed value.
__attribute__((swiftcall)) void hd_mutex_wait(
    uint32_t thread, __attribute__((swift_context)) _Atomic(uint32_t) *word)
    __asm__("$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF");

__attribute__((swiftcall)) void hd_mutex_wait(
    uint32_t thread, __attribute__((swift_context)) _Atomic(uint32_t) *word) {
    for (;;) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_weak_explicit(
                word, &nobody, thread, memory_order_acquire, memory_order_relaxed)) return;
        sched_yield();
    }
}
