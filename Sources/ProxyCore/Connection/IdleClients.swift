// Which silent client has waited longest? Lists through the slots, so that room can be made for someone who wants
// something, and a drain knows whom to close. Those who never said a word stand apart from those who were served: when
// room is short they go first, so that a crowd of them pushes out only one another.

/// A list of clients through their slots, the one that waited longest first.
struct IdleList {
    /// The one that waited longest; -1 for none.
    private(set) var oldest: Int32 = -1
    private var newest: Int32 = -1
    /// How many stand in it.
    private(set) var count = 0

    /// Appends a client.
    @inline(__always)
    mutating func append(_ c: Int32, _ clients: Slab<ClientConnection>) {
        clients[c].previousIdle = newest
        clients[c].nextIdle = -1
        if newest >= 0 { clients[newest].nextIdle = c } else { oldest = c }
        newest = c
        count &+= 1
    }

    /// Takes a client out.
    @inline(__always)
    mutating func remove(_ c: Int32, _ clients: Slab<ClientConnection>) {
        let previous = clients[c].previousIdle
        let next = clients[c].nextIdle
        if previous >= 0 { clients[previous].nextIdle = next } else { oldest = next }
        if next >= 0 { clients[next].previousIdle = previous } else { newest = previous }
        clients[c].previousIdle = -1
        clients[c].nextIdle = -1
        count &-= 1
    }
}

extension Connections {
    /// Silent clients.
    var idleClientCount: Int { newcomers.count + regulars.count }

    /// Notes that a client now waits for a request, its first one or its next.
    @inline(__always)
    mutating func enterIdle(_ c: Int32, isNewcomer: Bool) {
        clients[c].isNewcomer = isNewcomer
        if isNewcomer { newcomers.append(c, clients) } else { regulars.append(c, clients) }
    }

    /// Notes that a client is idle no more.
    @inline(__always)
    mutating func leaveIdle(_ c: Int32) {
        if clients[c].isNewcomer { newcomers.remove(c, clients) } else { regulars.remove(c, clients) }
    }

    /// The newcomer that was silent longest.
    var oldestNewcomer: Int32? { oldestSilent(of: newcomers) }

    /// Closes the newcomer that was silent longest. Whether there was one.
    mutating func closeOldestNewcomer() -> Bool { closeOldest(of: newcomers) }

    /// Closes the client that was silent longest, a newcomer first. Whether there was one.
    mutating func closeOldestIdle() -> Bool { closeOldest(of: newcomers) || closeOldest(of: regulars) }

    /// Closes the client that was silent longest, a newcomer first, because we leave. Whether there was one.
    mutating func dismissOldestIdle() -> Bool {
        guard let c = oldestSilent(of: newcomers) ?? oldestSilent(of: regulars) else { return false }
        // Nothing could be asked yet.
        if clients[c].phase == .handshake {
            closeClient(c)
            return true
        }
        leaveIdle(c)
        clients[c].phase = .lingering
        closeGently(c)
        return true
    }

    /// Closes the first of a list that has sent nothing meanwhile.
    private mutating func closeOldest(of list: IdleList) -> Bool {
        guard let c = oldestSilent(of: list) else { return false }
        closeClient(c)
        return true
    }

    /// The first of a list that has sent nothing meanwhile.
    private func oldestSilent(of list: IdleList) -> Int32? {
        var c = list.oldest
        // Those that are just sending something are passed by; more than a few of them is no shortage of idle ones.
        for _ in 0..<8 where c >= 0 {
            if clients[c].input.isEmpty, !clients[c].socket.hasUnreadBytes() { return c }
            c = clients[c].nextIdle
        }
        return nil
    }
}
