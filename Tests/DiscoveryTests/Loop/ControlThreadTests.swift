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

    @Test("a task that always has more to do keeps no deadline waiting") @ControlThread
    func restless() async {
        let busy = controlTask { while !Task.isCancelled { await Task.yield() } }
        #expect(await ControlThread.sleep(for: .milliseconds(1)) == .timedOut)
        busy.cancel()
        await busy.value
    }

    @Test("a descriptor that was closed while it was waited for takes no other one out, whose number is the same")
    @ControlThread
    func reusedNumbers() async throws {
        guard let first = Pipe(capacity: 4096) else { throw SystemError("pipe2", doing: "testing") }
        let number = dup(first.readEnd.number)
        let abandoned = controlTask { await ControlThread.readable(number) }
        _ = await ControlThread.sleep(for: .milliseconds(1))
        guard let second = Pipe(capacity: 4096) else { throw SystemError("pipe2", doing: "testing") }
        // The number now names another pipe's end, which somebody else waits for.
        #expect(dup2(second.readEnd.number, number) == number)
        let waiting = controlTask { await ControlThread.readable(number) }
        _ = await ControlThread.sleep(for: .milliseconds(1))
        abandoned.cancel()
        #expect(await abandoned.value == .cancelled)
        var byte: UInt8 = 1
        // Safety: one byte.
        #expect(unsafe write(second.writeEnd.number, &byte, 1) == 1)
        #expect(await waiting.value == .ready)
        close(number)
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
