// Which addresses has a name? Our own resolver, for a static program in an empty root has no other (getaddrinfo would
// also block), and because a proxy has to tell "there is none" from "nobody could say". It asks the configured servers
// (`LookupPlan` says whom), by sockets of one question each (`ServerExchange`), remembers for as long as the answer
// allows (`AnswerCache`), and asks once for all who want to know the same (`Flight`).
//
//     name ── literal? hosts? ── candidates of the search list ── cache ── flight ── plan ── server
//
// Where resolvers differ, it is strict, because a wrong address is worse than none: the walk through the search list
// ends at the first name that exists, with or without addresses (as musl; glibc walks on), and at the first failure.

import ProxyCore

/// Asks DNS.
@ControlThread
public final class Resolver {
    /// Which addresses are wanted.
    public enum Family: Sendable {
        /// IPv4.
        case v4
        /// IPv6.
        case v6
        /// Both, asked side by side. If one of the two cannot be told, the addresses of the other are the answer.
        case both
    }

    /// What a lookup of addresses came to.
    public enum Answer: Sendable, Equatable {
        /// These, in the order of their numbers and IPv4 first, good for so long.
        case addresses([IPAddress], timeToLive: Duration)
        /// There is no such name or it has no such addresses, good for so long.
        case none(timeToLive: Duration)
        /// Nobody could tell: that is no absence.
        case failed(LookupFailure)
    }

    private let files: MachineFiles
    private let fixedServers: [NetworkAddress]
    private let tryLimit: Instant.Span
    private var cache = AnswerCache()
    private var flights: [Message.Question: Flight] = [:]
    private var memories: [NetworkAddress: ServerMemory] = [:]
    private let turnstile = Turnstile(triesAtOnceMax)
    private var rotation = 0
    private var random = SystemRandomNumberGenerator()

    /// What is remembered of a server, each until a moment.
    private struct ServerMemory {
        var silentUntil = Instant(nanoseconds: .min)
        var withoutEDNSUntil = Instant(nanoseconds: .min)
        var sameCaseUntil = Instant(nanoseconds: .min)
    }

    /// A resolver that asks `servers`, or those of `resolv.conf` where there are none. Search list, options and hosts
    /// come from the two files in any case; both are read again when they change.
    public convenience init(
        servers: [NetworkAddress] = [], resolvConf: String = "/etc/resolv.conf", hosts: String = "/etc/hosts"
    ) {
        self.init(servers: servers, files: MachineFiles(configuration: resolvConf, hosts: hosts))
    }

    /// The same with files that are made elsewhere, and with another time for one try: for tests.
    init(servers: [NetworkAddress], files: MachineFiles, tryLimit: Duration = .seconds(1)) {
        fixedServers = servers
        self.files = files
        self.tryLimit = Instant.Span(tryLimit)
    }

    // MARK: Asking

    /// The addresses of `name`. An IP address is its own answer (dotted quads and RFC 4291 text alone), then `hosts` is
    /// asked, then DNS. With `freshly` the servers are asked even where an answer is still good; only a failure of the
    /// last second still counts. Without an answer by `deadline` it has failed.
    public func addresses(
        of name: String, family: Family = .both, freshly: Bool = false, until deadline: Instant
    ) async -> Answer {
        if let literal = IPAddress(name) { return Self.known([literal], family) }
        refresh()
        guard let whole = DomainName(name) else { return .failed(LookupFailure(.badName)) }
        if let known = files.hosts.addresses(of: whole) { return Self.known(known, family) }
        let names = files.configuration.candidates(for: name)

        switch family {
        case .v4: return answer(await walk(names, .a, freshly, deadline))
        case .v6: return answer(await walk(names, .aaaa, freshly, deadline))
        case .both:
            let four = Box()
            let six = Box()
            await ControlThread.concurrently([
                { four.finding = await self.walk(names, .a, freshly, deadline) },
                { six.finding = await self.walk(names, .aaaa, freshly, deadline) },
            ])
            guard let four = four.finding, let six = six.finding else { return .failed(LookupFailure(.cancelled)) }
            return Self.joined(answer(four), answer(six))
        }
    }

    /// The addresses of `name`, IPv4 first, or none, for whoever tries them one after the other.
    public func addressList(of name: String, until deadline: Instant) async -> [IPAddress] {
        if case .addresses(let list, _) = await addresses(of: name, until: deadline) { return list }
        return []
    }

    /// What the records of `type` are, of the first of `names` that exists.
    func walk(
        _ names: [DomainName], _ type: Message.RecordType, _ freshly: Bool, _ deadline: Instant
    ) async -> Finding {
        var expires = Instant.never
        for name in names {
            let finding = await find(Message.Question(name: name, type: type), freshly, deadline)
            guard case .absent(.name) = finding.content else { return finding }
            expires = min(expires, finding.expires)
        }
        if names.isEmpty { return Finding(content: .failed(LookupFailure(.badName)), expires: Clock.now()) }
        return Finding(content: .absent(.name), expires: expires)
    }

    /// What the files say, if they have changed: answers of other servers may not be true any more.
    func refresh() { if files.refresh(Clock.now()) { cache.clear() } }

    /// The names that `text` may stand for.
    func candidates(for text: String) -> [DomainName] { files.configuration.candidates(for: text) }

    // MARK: One question

    private func find(_ question: Message.Question, _ freshly: Bool, _ deadline: Instant) async -> Finding {
        let now = Clock.now()
        if let known = cache.finding(for: question, now), !freshly || known.isFailure { return known }
        let flight = flights[question] ?? begin(question)
        if await !flight.wait(until: deadline), flights[question] === flight { flights[question] = nil }
        return flight.finding
            ?? Finding(content: .failed(LookupFailure(Task.isCancelled ? .cancelled : .timeout)), expires: Clock.now())
    }

    private func begin(_ question: Message.Question) -> Flight {
        let flight = Flight()
        flights[question] = flight
        flight.task = ControlThread.spawn {
            let finding = await self.look(question)
            if !Task.isCancelled { self.cache.keep(finding, for: question, Clock.now()) }
            flight.end(finding)
            if self.flights[question] === flight { self.flights[question] = nil }
        }
        return flight
    }

    /// Asks for `question` and then for the aliases that lead out of the answers.
    private func look(_ question: Message.Question) async -> Finding {
        let deadline = Clock.now() + Self.lookupLimit
        var asked = question
        var seen: Set<DomainName> = [question.name]
        var life = UInt32.max
        while true {
            let message: Message
            switch await ask(asked, deadline) {
            case .success(let answer): message = answer
            case .failure(let failure): return Self.failed(failure)
            }
            switch message.conclusion(for: asked) {
            case .records(let data, let seconds):
                return Self.found(data, min(life, seconds), in: message)
            case .absent(let absence, let seconds):
                // Without an SOA nothing says for how long (RFC 2308 §5): the shortest time that we know.
                let end = Finding.end(seconds.map { min(life, $0) } ?? 0, from: Clock.now())
                return Finding(content: .absent(absence), expires: end)
            case .alias(let target, let seconds):
                guard seen.insert(target).inserted, seen.count <= Message.aliasesMax else {
                    return Self.failed(LookupFailure(.aliasLoop))
                }
                life = min(life, seconds)
                asked.name = target
            case .failure(let reason):
                return Self.failed(LookupFailure(reason))
            }
        }
    }

    /// Asks the servers until one of them answers `question`. A successful answer is one that can be read and whose
    /// conclusion is no failure.
    private func ask(_ question: Message.Question, _ deadline: Instant) async -> Result<Message, LookupFailure> {
        let servers = fixedServers.isEmpty ? files.configuration.servers : fixedServers
        guard !servers.isEmpty else { return .failure(LookupFailure(.noServer)) }
        var plan = plan(for: servers)
        var next = plan.begin()
        while let step = next {
            let server = servers[step.server]
            let outcome: LookupPlan.Outcome
            if step.pauses { _ = await ControlThread.sleep(for: .milliseconds(Int.random(in: 30...60))) }
            await turnstile.enter()
            let reply = await ask(server, question, step, deadline)
            turnstile.leave()
            switch reply {
            case .cancelled: return .failure(LookupFailure(.cancelled, server: server))
            case .outcome(let other): outcome = other
            case .answer(let bytes):
                switch Self.read(bytes, question, step) {
                case .success(let message):
                    answered(server, step)
                    return .success(message)
                case .failure(let failure): outcome = failure.outcome
                }
            }
            noteSilence(server, outcome)
            guard Clock.now() < deadline else { break }
            next = plan.next(after: outcome)
        }
        guard let failure = plan.lastFailure else { return .failure(LookupFailure(.timeout)) }
        return .failure(LookupFailure(failure.reason, server: servers[failure.server]))
    }

    /// One try.
    private func ask(
        _ server: NetworkAddress, _ question: Message.Question, _ step: LookupPlan.Step, _ deadline: Instant
    ) async -> ServerExchange.Reply {
        if Task.isCancelled { return .cancelled }
        let query = Message.Query(
            question, usesEDNS: step.usesEDNS, mixesCase: step.mixesCase, random: &random)
        // A tenth more or less, so that lookups that began together do not stay together.
        let spread = tryLimit.nanoseconds / 10
        let limit = tryLimit.nanoseconds - Int64.random(in: 0...max(spread, 0))
        let now = Clock.now()
        if step.usesTCP {
            // A connection first needs a journey of its own.
            let end = min(deadline, now + Instant.Span(nanoseconds: 2 * limit))
            return await ServerExchange.byTCP(query, server, until: end)
        }
        return await ServerExchange.byUDP(query, server, until: min(deadline, now + Instant.Span(nanoseconds: limit)))
    }

    private struct NoAnswer: Error { var outcome: LookupPlan.Outcome }

    /// The message in `bytes`, if it is an answer that helps.
    private static func read(
        _ bytes: [UInt8], _ question: Message.Question, _ step: LookupPlan.Step
    ) -> Result<Message, NoAnswer> {
        guard let message = try? Message(bytes) else { return .failure(NoAnswer(outcome: .failed(.malformed))) }
        switch message.conclusion(for: question) {
        case .failure(.formerr) where step.usesEDNS, .failure(.notimp) where step.usesEDNS:
            return .failure(NoAnswer(outcome: .notUnderstood))
        case .failure(let reason):
            return .failure(NoAnswer(outcome: .failed(reason)))
        case .records(let data, _) where !step.usesTCP && question.type == .srv:
            let room = step.usesEDNS ? Message.Query.ednsBytes : Message.Query.plainBytes
            return message.targetsMayBeCut(data, byteCount: bytes.count, room: room)
                ? .failure(NoAnswer(outcome: .cut)) : .success(message)
        case .records, .alias, .absent:
            return .success(message)
        }
    }

    // MARK: Servers

    private func plan(for servers: [NetworkAddress]) -> LookupPlan {
        let now = Clock.now()
        let traits = servers.map { server -> LookupPlan.Traits in
            guard let memory = memories[server] else { return LookupPlan.Traits() }
            return LookupPlan.Traits(
                usesEDNS: memory.withoutEDNSUntil <= now, mixesCase: memory.sameCaseUntil <= now,
                isSilent: memory.silentUntil > now)
        }
        if files.configuration.rotates { rotation = (rotation + 1) % servers.count }
        let tries = files.configuration.attempts * servers.count
        let first = files.configuration.rotates ? rotation : 0
        return LookupPlan(
            traits, first: first, triesMax: max(servers.count, min(max(tries, Self.triesMin), Self.triesMax)))
    }

    /// A server that did not answer is asked after the others for a moment, and not for ever: the first server of a
    /// pod knows the cluster's names, and the next one may not.
    private func noteSilence(_ server: NetworkAddress, _ outcome: LookupPlan.Outcome) {
        switch outcome {
        case .silent, .failed(.unreachable):
            memory(of: server) { $0.silentUntil = Clock.now() + Self.silenceSpan }
        case .cut, .notUnderstood, .otherCase, .failed: break
        }
    }

    /// What a server needed before it answered is remembered, but tried again after a while.
    private func answered(_ server: NetworkAddress, _ step: LookupPlan.Step) {
        let now = Clock.now()
        memory(of: server) { memory in
            memory.silentUntil = now
            if !step.usesEDNS, memory.withoutEDNSUntil <= now { memory.withoutEDNSUntil = now + Self.traitSpan }
            if !step.mixesCase, memory.sameCaseUntil <= now { memory.sameCaseUntil = now + Self.traitSpan }
        }
    }

    private func memory(of server: NetworkAddress, _ change: (inout ServerMemory) -> Void) {
        // Servers come and go with `resolv.conf`.
        if memories.count > 64 { memories.removeAll() }
        change(&memories[server, default: ServerMemory()])
    }

    // MARK: Words

    /// An address of a literal or of `hosts` is asked for again like one that was answered.
    private static func known(_ addresses: [IPAddress], _ family: Family) -> Answer {
        let wanted = addresses.filter { address in
            switch family {
            case .v4: address.isIPv4
            case .v6: !address.isIPv4
            case .both: true
            }
        }
        let life = Duration.seconds(Int64(Finding.secondsMax))
        return wanted.isEmpty ? .none(timeToLive: life) : .addresses(wanted.sorted(by: precedes), timeToLive: life)
    }

    private func answer(_ finding: Finding) -> Answer {
        let life = finding.remaining(Clock.now())
        switch finding.content {
        case .addresses(let addresses): return .addresses(addresses, timeToLive: life)
        case .absent, .services: return .none(timeToLive: life)
        case .failed(let failure): return .failed(failure)
        }
    }

    private static func joined(_ four: Answer, _ six: Answer) -> Answer {
        switch (four, six) {
        case (.addresses(let a, let x), .addresses(let b, let y)): .addresses(a + b, timeToLive: min(x, y))
        case (.addresses, _): four
        case (_, .addresses): six
        case (.failed, _): four
        case (_, .failed): six
        case (.none(let x), .none(let y)): .none(timeToLive: min(x, y))
        }
    }

    private static func found(_ data: [Message.RecordData], _ seconds: UInt32, in message: Message) -> Finding {
        var addresses: [IPAddress] = []
        var services: [Message.ServiceRecord] = []
        for record in data {
            switch record {
            case .address(let address): addresses.append(address)
            case .service(let service): services.append(service)
            case .alias, .authority, .other: break
            }
        }
        let now = Clock.now()
        if services.isEmpty {
            return Finding(
                content: .addresses(addresses.sorted(by: precedes)), expires: Finding.end(seconds, from: now))
        }
        let added = message.addedAddresses()
        var targets: [DomainName: [IPAddress]] = [:]
        var life = seconds
        for service in services {
            guard let known = added[service.target] else { continue }
            targets[service.target] = known.addresses
            life = min(life, known.timeToLive)
        }
        return Finding(content: .services(services, targets: targets), expires: Finding.end(life, from: now))
    }

    private static func failed(_ failure: LookupFailure) -> Finding {
        // Failures are remembered too, or many who ask would be a storm (RFC 9520 §3.2).
        Finding(content: .failed(failure), expires: Clock.now() + failureSpan)
    }

    /// IPv4 first, then by number: servers shuffle, and an order of ours makes answers comparable.
    nonisolated static func precedes(_ a: IPAddress, _ b: IPAddress) -> Bool {
        if a.isIPv4 != b.isIPv4 { return a.isIPv4 }
        return (a.high, a.low) < (b.high, b.low)
    }

    /// Where the finding of a body that runs beside others arrives.
    @ControlThread private final class Box {
        var finding: Finding?
    }

    private static let triesAtOnceMax = 100
    private static let triesMin = 3
    private static let triesMax = 4
    /// More than all tries of one name take.
    private static let lookupLimit = Instant.Span.milliseconds(8000)
    private static let silenceSpan = Instant.Span.milliseconds(5000)
    private static let traitSpan = Instant.Span.milliseconds(60_000)
    private static let failureSpan = Instant.Span.milliseconds(1000)
}
