// Which idle client has waited longest? A list through the slots, so that room can be made for someone who wants
// something, and a drain knows whom to close.

extension Connections {
    /// Appends a client that now waits for its next request.
    mutating func enterIdle(_ c: Int32) {
        clients[c].previousIdle = newestIdle
        clients[c].nextIdle = -1
        if newestIdle >= 0 { clients[newestIdle].nextIdle = c } else { oldestIdle = c }
        newestIdle = c
        idleClientCount &+= 1
    }

    /// Takes a client out that is idle no more.
    mutating func leaveIdle(_ c: Int32) {
        let previous = clients[c].previousIdle
        let next = clients[c].nextIdle
        if previous >= 0 { clients[previous].nextIdle = next } else { oldestIdle = next }
        if next >= 0 { clients[next].previousIdle = previous } else { newestIdle = previous }
        clients[c].previousIdle = -1
        clients[c].nextIdle = -1
        idleClientCount &-= 1
    }

    /// Closes the client that was idle longest, if one is and it has sent nothing meanwhile. Whether one was closed.
    mutating func closeOldestIdle() -> Bool {
        var c = oldestIdle
        // Those that are just sending something are passed by; more than a few of them is no shortage of idle ones.
        for _ in 0..<8 where c >= 0 {
            let next = clients[c].nextIdle
            if !clients[c].socket.hasUnreadBytes() {
                closeClient(c)
                return true
            }
            c = next
        }
        return false
    }
}
