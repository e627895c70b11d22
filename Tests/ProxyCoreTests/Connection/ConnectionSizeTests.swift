import Testing

@testable import ProxyCore

@Suite struct ConnectionSizeTests {
    /// Tens of thousands of clients may be idle at a time: whoever makes their slots larger should know that he does.
    @Test func anIdleClientHoldsASlotOfHalfAKibibyteAndATimer() {
        #expect(MemoryLayout<Slab<ClientConnection>.Slot>.stride <= 512)
        #expect(MemoryLayout<TimerNode>.stride <= 24)
    }
}
