// A try has failed: whose fault was it, and who is asked next? What an endpoint did is counted against it, and told where
// it goes on; what happened to us is not. A request goes on elsewhere where that is certain to do no harm.

extension Connections {
    // MARK: Going on

    /// On what terms the exchange could be sent again. `sameWillDo`: also to the endpoint that was just tried, over a
    /// connection of its own.
    mutating func nextTry(_ c: Int32, sameWillDo: Bool = false) -> (terms: Exchange.NextTry, hasOther: Bool) {
        let service = clients[c].service
        guard service >= 0 else { return (Exchange.NextTry(hasEndpoint: false), false) }
        var hasOther = directory.hasOther(service: service, tried: clients[c].tried, now: now)
        if !hasOther, clients[c].tried.readmit() {
            hasOther = directory.hasOther(service: service, tried: clients[c].tried, now: now)
        }
        var budget = directory.services[service].budget
        let percent = Int32(clamping: directory.services[service].retry.budgetPercent)
        let terms = Exchange.NextTry(
            isWhole: clients[c].canReplay, hasEndpoint: hasOther || sameWillDo,
            isAffordable: budget.affords(percent, now: now))
        return (terms, hasOther)
    }

    /// Makes the request ready to be sent again, after a try that ended so.
    mutating func prepareAgain(_ c: Int32, _ kind: Outcome.Kind, elsewhere: Bool, isRepetition: Bool) {
        counters.retries &+= 1
        noteRetried(c, kind)
        countAttempt(c, kind)
        clients[c].requestOut.rewind()
        // A pooled connection may be as stale as this one was.
        clients[c].avoidsPool = true
        if !elsewhere { clients[c].tried = TriedEndpoints() }
        if isRepetition { directory.services[clients[c].service].budget.withdraw() }
    }

    /// The upstream closed, or its connection broke, before the response was over.
    mutating func upstreamGone(_ c: Int32) {
        let u = clients[c].upstream
        let endpoint = upstreams[u].endpoint
        let wasSentTo = upstreams[u].wasSentTo
        // It closed what was idle at the very moment: that says nothing about how it is.
        let wasStale = upstreams[u].wasReused && !upstreams[u].hasSpoken
        if wasStale {
            sawIdleClose(u)
        } else if clients[c].exchange.response != .tunnel {
            noteFailure(endpoint, .upstreamReset)
        }
        let (terms, hasOther) = nextTry(c, sameWillDo: wasStale || !wasSentTo)
        let action = clients[c].exchange.upstreamClosed(wasSentTo: wasSentTo, next: terms)
        discardUpstream(c)
        if action == .connect {
            prepareAgain(c, .upstreamReset, elsewhere: hasOther, isRepetition: wasSentTo)
            // Others come first, since it may be gone; but should they be worse, it is asked again.
            if wasStale { clients[c].tried.excuseLatest() }
        }
        perform(action, c)
    }

    /// The upstream's bytes break a rule.
    mutating func malformed(_ c: Int32, _ rejection: Rejection) -> Fill {
        noteFailure(upstreams[clients[c].upstream].endpoint, .upstreamMalformed)
        let isUnsent = clients[c].headIsUnsent
        if isUnsent { buffers.reclaim(&clients[c].responseOut) }
        let (terms, hasOther) = nextTry(c)
        let action = clients[c].exchange.upstreamMalformed(rejection, isUnsent: isUnsent, next: terms)
        if action == .connect {
            discardUpstream(c)
            prepareAgain(c, .upstreamMalformed, elsewhere: hasOther, isRepetition: true)
        }
        perform(action, c)
        return .gone
    }

    /// The response has not begun in time: that of the try, or that of all of them.
    mutating func responseIsDue(_ c: Int32) {
        if clients[c].upstream >= 0 { noteFailure(upstreams[clients[c].upstream].endpoint, .responseTimeout) }
        guard now < clients[c].responseDue else { return perform(clients[c].exchange.failed(.responseTimeout), c) }
        // Where nobody else can be asked, it may take the time that is left.
        if !giveUpTry(c) { clientTimers.arm(c, at: clients[c].responseDue) }
    }

    /// Asks somebody else instead of waiting on; whether that could be.
    @discardableResult
    mutating func giveUpTry(_ c: Int32) -> Bool {
        let (terms, hasOther) = nextTry(c)
        let action = clients[c].exchange.tryTimedOut(next: terms)
        guard action == .connect else { return false }
        discardUpstream(c)
        prepareAgain(c, .responseTimeout, elsewhere: hasOther, isRepetition: true)
        perform(action, c)
        return true
    }

    /// All of the request is here. From now on its client waits: for a place, for a connection, for the answer, and for all
    /// of them together not longer than the service says.
    mutating func requestIsComplete(_ c: Int32) {
        guard clients[c].responseDue == .never else { return }
        clients[c].responseDue = now + directory.services[clients[c].service].responseTimeout
    }

    /// When the response that is waited for is due: of this try while another one is possible, else of all of them.
    mutating func armForResponse(_ c: Int32) {
        let service = clients[c].service
        var due = clients[c].responseDue
        if clients[c].canReplay, clients[c].exchange.mayRepeat {
            due = min(due, clients[c].sentAt + directory.services[service].tryTimeout)
        }
        clientTimers.arm(c, at: due)
    }

    // MARK: Strangers

    /// Whether the response head at hand comes from the service; if not, the exchange has been dealt with.
    @inline(__always)
    mutating func isGenuine(_ c: Int32, _ u: Int32) -> Bool {
        if !directory.services[clients[c].service].identity.isOn { return true }
        // An interim answer need not carry what the final one does; then it goes no further.
        if responseHead.isInterim, responseHead.status != 101 { return true }
        let isGenuine = isIdentified(c, u)
        if !isGenuine { metGhost(c, u) }
        return isGenuine
    }

    /// Whether the response head at hand carries what those of its service do, where that is asked for.
    @inline(__always)
    func isIdentified(_ c: Int32, _ u: Int32) -> Bool {
        let service = clients[c].service
        if !directory.services[service].identity.isOn { return true }
        return upstreams[u].input.withReadable { directory.services[service].identity.accepts(responseHead, $0) }
    }

    private mutating func metGhost(_ c: Int32, _ u: Int32) {
        let service = clients[c].service
        let endpoint = upstreams[u].endpoint
        let seen = upstreams[u].input.withReadable { directory.services[service].identity.found(responseHead, $0) }
        let text = seen.map { "\"\($0)\"" } ?? "nothing"
        let slot = clients[c].endpointTotals
        if totals.endpoints.contains(slot) { totals.endpoints[slot.index].ghosts &+= 1 }
        if directory.endpoints[endpoint].isCurrent {
            outbox?.post(
                Sighting(
                    service: directory.services[service].name, endpoint: directory.endpoints[endpoint].id,
                    address: directory.endpoints[endpoint].address, kind: .ghost(seen: text)))
            directory.holdAsGhost(endpoint, until: now + Self.provisionalHold)
        }
        // Held while its pool is drained, so that its last connection does not free it in the middle.
        directory.endpoints[endpoint].inFlight &+= 1
        drainPool(of: endpoint)
        directory.endpoints[endpoint].inFlight &-= 1
        let (terms, hasOther) = nextTry(c)
        let action = clients[c].exchange.ghostAnswered(next: terms)
        discardUpstream(c)
        if action == .connect { prepareAgain(c, .ghost, elsewhere: hasOther, isRepetition: false) }
        perform(action, c)
    }

    // MARK: Failures

    /// A request met a failure that is the endpoint's own. Where there were so many in a row it is let alone for a
    /// moment, until the control plane has decided.
    mutating func noteFailure(_ endpoint: Int32, _ kind: Outcome.Kind) {
        guard directory.endpoints[endpoint].isCurrent else { return }
        directory.noteFailure(endpoint, now: now)
        let failures = directory.endpoints[endpoint].failures &+ 1
        let service = directory.endpoints[endpoint].service
        let most = directory.services[service].failuresMax
        guard most > 0, failures >= most else {
            directory.endpoints[endpoint].failures = failures
            return
        }
        directory.endpoints[endpoint].failures = 0
        directory.hold(endpoint, until: now + Self.provisionalHold)
        outbox?.post(
            Sighting(
                service: directory.services[service].name, endpoint: directory.endpoints[endpoint].id,
                address: directory.endpoints[endpoint].address, kind: .failures(Int(failures), last: kind)))
    }

    /// For how long a worker lets an endpoint alone by its own judgement.
    private static var provisionalHold: Instant.Span { .milliseconds(1000) }

    /// A final response has begun with `status`. What a gateway inside says of its own upstream counts as a failure; a
    /// 500 does not: one request that breaks an application must not be able to take its pods away one by one.
    @inline(__always)
    mutating func noteAnswer(_ endpoint: Int32, status: Int) {
        if status >= 502, status <= 504 { return noteFailure(endpoint, .ok) }
        if directory.endpoints[endpoint].failures != 0 { directory.endpoints[endpoint].failures = 0 }
    }
}
