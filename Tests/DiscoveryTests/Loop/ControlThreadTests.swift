import Glibc
import ProxyCore
import Synchronization
import Testing

@testable import Discovery

@Suite(.onControlThread) struct ControlThreadTests {
    init() { ControlThread.start() }

    @Test("a sleep ends at its deadline, not before") @ControlThread
    func sleeping() async {
        let begin = Clock.now()
        #expect(await ControlThread.sleep(for: .milliseconds(20)) == .timedOut)
        #expect((Clock.now() - begin).nanoseconds >= 20_000_000)
    }

    @Test("a descriptor is waited for until it is ready, or the deadline comes, or the task is cancelled")
    @ControlThread
    func descriptors() async throws {
        guard let pipe = Pipe(capacity: 4096) else { throw SystemError("pipe2", doing: "testing") }
        let reader = pipe.readEnd.number
        #expect(await ControlThread.readable(reader, until: Clock.now() + .milliseconds(5)) == .timedOut)
        #expect(await ControlThread.writable(pipe.writeEnd.number) == .ready)

        let cancelled = controlTask {
            await ControlThread.readable(reader)
        }
        _ = await ControlThread.sleep(for: .milliseconds(1))
        cancelled.cancel()
        #expect(await cancelled.value == .cancelled)

        let waiting = controlTask { await ControlThread.readable(reader) }
        _ = await ControlThread.sleep(for: .milliseconds(1))
        var byte: UInt8 = 1
        // Safety: one byte.
        #expect(unsafe write(pipe.writeEnd.number, &byte, 1) == 1)
        #expect(await waiting.value == .ready)
    }

    @Test("a task that was cancelled before it waits does not wait") @ControlThread
    func cancelledBefore() async {
        let task = controlTask {
            while !Task.isCancelled { await Task.yield() }
            return await ControlThread.sleep(until: .never)
        }
        task.cancel()
        #expect(await task.value == .cancelled)
    }

    @Test("a thousand bodies run side by side, all on the control thread") @ControlThread
    func sideBySide() async {
        let own = pthread_self()
        let count = Count()
        await ControlThread.concurrently(
            (0..<1000).map { k in
                {
                    _ = await ControlThread.sleep(for: .milliseconds(k % 10))
                    if pthread_equal(pthread_self(), own) != 0 { count.value += 1 }
                }
            })
        #expect(count.value == 1000)
    }

    @ControlThread private final class Count {
        var value = 0
    }

    @Test("waiting does not depend on the runtime's pool, however busy that is") @ControlThread
    func independentOfThePool() async {
        let isOver = Mutex(false)
        let over: @Sendable () -> Bool = { isOver.withLock { $0 } }
        // More than there are threads in the pool; each gives up after ten seconds.
        let hogs = (0..<64).map { _ in
            Task { @concurrent in
                let limit = Clock.now() + .milliseconds(10_000)
                while !over() { if Clock.now() > limit { return false } }
                return true
            }
        }
        for _ in 0..<5 { _ = await ControlThread.sleep(for: .milliseconds(1)) }
        isOver.withLock { $0 = true }
        for hog in hogs { #expect(await hog.value, "the pool kept the control thread waiting") }
    }

    @Test("who is cancelled cancels what runs for him") @ControlThread
    func cancellingAll() async {
        let all = ControlThread.spawn {
            await ControlThread.concurrently([
                { _ = await ControlThread.sleep(until: .never) }, { _ = await ControlThread.sleep(until: .never) },
            ])
        }
        all.cancel()
        await all.value
    }
}
