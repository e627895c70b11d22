// What if every endpoint has as much as it can do? A request waits here, in its worker, first come first served: until
// one of this worker's requests is over, or a look every other millisecond finds a place that another worker gave back.
// How it can end otherwise: its time is over (503), its client leaves, its service has nobody to ask any more (503), or
// this worker is done with leaving. Only services with a limit of concurrent requests ever have a queue.

extension Connections {
    /// How often a worker with requests that wait looks for places that others gave back.
    static var queueLookTime: Instant.Span { .milliseconds(2) }
    /// Requests at the front of a queue that are looked at in one turn though there is no place for them: those at the
    /// very front may have tried the one endpoint that has room.
    private static var queueLooksMax: Int { 8 }

    /// Lets a request wait for an endpoint with room, where there is one to wait for.
    mutating func awaitRoom(_ c: Int32) {
        let service = clients[c].service
        guard directory.hasOther(service: service, tried: clients[c].tried, now: now) else {
            return perform(clients[c].exchange.failed(.noEndpoint), c)
        }
        if clients[c].queueDeadline == .never {
            clients[c].queueDeadline = now + directory.services[service].queueTimeout
        } else if clients[c].queueDeadline <= now {
            return perform(clients[c].exchange.failed(.queueTimeout), c)
        }
        guard directory.claimWaiting(service) else {
            return perform(clients[c].exchange.failed(.queueFull), c)
        }
        // Its links are needed here.
        leaveSlow(c)
        let last = directory.services[service].lastWaiting
        if last < 0 {
            directory.services[service].firstWaiting = c
            waitingServices.append(service)
        } else {
            clients[last].nextIdle = c
        }
        clients[c].previousIdle = last
        clients[c].nextIdle = -1
        clients[c].isQueued = true
        directory.services[service].lastWaiting = c
        rest(c)
    }

    /// Takes a request out of its queue, wherever it stands.
    mutating func leaveQueue(_ c: Int32) {
        let service = clients[c].service
        let previous = clients[c].previousIdle
        let next = clients[c].nextIdle
        if previous >= 0 {
            clients[previous].nextIdle = next
        } else {
            directory.services[service].firstWaiting = next
        }
        if next >= 0 {
            clients[next].previousIdle = previous
        } else {
            directory.services[service].lastWaiting = previous
        }
        clients[c].previousIdle = -1
        clients[c].nextIdle = -1
        clients[c].isQueued = false
        directory.giveBackWaiting(service)
        if previous < 0, next < 0 { waitingServices.removeAll { $0 == service } }
    }

    /// Lets requests go on for which there is a place now, and ends the wait of those that have nobody to wait for.
    mutating func serveQueues() {
        for service in waitingServices { serveQueue(service) }
    }

    private mutating func serveQueue(_ service: Int32) {
        var looks = 0
        // What happens to one request may end the wait of others, and let it wait again at the end: no more are looked at
        // than waited at first, and each is found anew, from the front.
        var left = directory.services[service].waitingCount
        var c = directory.services[service].firstWaiting
        while c >= 0, left > 0, looks < Self.queueLooksMax {
            left &-= 1
            let tried = clients[c].tried
            if let endpoint = directory.take(service: service, tried: tried, now: now, random: &random) {
                leaveQueue(c)
                attempt(c, at: endpoint)
                c = directory.services[service].firstWaiting
            } else if directory.hasOther(service: service, tried: tried, now: now) {
                looks += 1
                c = clients[c].nextIdle
            } else {
                leaveQueue(c)
                perform(clients[c].exchange.failed(.noEndpoint), c)
                c = directory.services[service].firstWaiting
            }
        }
    }
}
