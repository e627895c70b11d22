// What if there is not enough? Descriptors, memory and slots are given up in order of worth: what is only kept for
// later goes first, and what cannot be served at all is turned away at once rather than left to wait.

extension Connections {
    /// Client connections that the process may have; 0: as many as there are descriptors for.
    var connectionsMax: Int { limits.connections }

    /// Notes that descriptors or memory ran out.
    mutating func noteExhaustion() { counters.exhaustions &+= 1 }

    /// Notes that a connection was turned away.
    mutating func noteShed() {
        counters.shedConnections &+= 1
        totals.refused(.overloaded)
    }

    /// Frees a descriptor. Whether one could be freed.
    mutating func makeRoom() -> Bool { closeOldestNewcomer() || closeSomeIdleUpstream() || closeOldestIdle() }

    /// Frees a client's place. Whether one could be freed.
    mutating func makeRoomForClient() -> Bool { closeOldestIdle() }

    /// Client connections opened less those closed, since ``takeOpenChange()`` was last called.
    var openSinceReport: Int { clients.count - reportedOpen }

    /// How the number of client connections changed since the last call.
    mutating func takeOpenChange() -> Int {
        let change = openSinceReport
        reportedOpen = clients.count
        return change
    }

    /// Closes all pooled connections: nobody will want them.
    mutating func closeAllIdleUpstreams() { while closeSomeIdleUpstream() {} }
}
