// Who runs this? Plain threads, named so that `top -H` tells them apart.

import CLinux
import Glibc

/// A thread of our own.
public struct Thread: ~Copyable, Sendable {
    private let handle: pthread_t

    private final class Body: Sendable {
        let name: String
        let run: @Sendable () -> Void
        init(_ name: String, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.run = run
        }
    }

    /// Starts a thread that runs `body`. Signals stay with the thread that asked for them.
    public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
        // Safety: the box is taken over by the thread, which releases it.
        let box = unsafe Unmanaged.passRetained(Body(name, body)).toOpaque()
        var thread = pthread_t()
        var all = sigset_t()
        var before = sigset_t()
        // Safety: the masks are ours, and the new thread inherits the full one.
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
        let result = unsafe pthread_create(
            &thread, nil,
            { pointer in
                // Safety: this is the box that was passed.
                let body = unsafe Unmanaged<Body>.fromOpaque(pointer!).takeRetainedValue()
                // Safety: the kernel copies at most 15 bytes of the name.
                _ = unsafe hd_set_name(body.name)
                body.run()
                return nil
            }, box)
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        guard result == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(box).release()
            throw SystemError("pthread_create", code: result, doing: "starting the thread \(name)")
        }
        handle = thread
    }

    /// Waits until the thread has ended.
    public consuming func join() {
        // The value is consumed, so nobody joins twice.
        _ = pthread_join(handle, nil)
    }
}
