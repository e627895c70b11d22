// What does an answer mean? Records, an alias to ask on with, an absence, or no answer at all. Only records that the
// question leads to count (RFC 5452 §6): everything else in the message is a stranger's word.

import ProxyCore

extension Message {
    /// What an answer comes to. Lives are in seconds.
    enum Conclusion: Equatable, Sendable {
        /// The records of the asked type at the end of the chain of aliases, without doubles, in the message's order.
        /// The life is the shortest on the way to them (RFC 2181 §5.2).
        case records([RecordData], timeToLive: UInt32)
        /// The chain of aliases leads out of the message: to be asked for.
        case alias(DomainName, timeToLive: UInt32)
        /// There is no such name, or the name has no such records (RFC 2308 §2). The life is nil where no SOA tells.
        case absent(Absence, timeToLive: UInt32?)
        /// The server cannot tell.
        case failure(LookupFailure.Reason)
    }

    /// What is absent.
    enum Absence: Sendable, Equatable {
        /// The name itself (NXDOMAIN).
        case name
        /// Records of the asked type (NODATA).
        case data
    }

    /// Aliases that are followed for one question.
    static let aliasesMax = 8

    /// What this answer to `asked` comes to.
    func conclusion(for asked: Question) -> Conclusion {
        switch code {
        case UInt16(Code.noError), UInt16(Code.nameError): break
        case UInt16(Code.formatError), Code.badVersion: return .failure(.formerr)
        case UInt16(Code.serverFailure): return .failure(.servfail)
        case UInt16(Code.notImplemented): return .failure(.notimp)
        case UInt16(Code.refused): return .failure(.refused)
        default: return .failure(.rcode)
        }

        var name = asked.name
        var life = UInt32.max
        var aliases = 0
        while true {
            let found = answers.filter { $0.owner == name && $0.type == asked.type && $0.data != .other }
            if !found.isEmpty {
                // The code belongs to the chain's last name (RFC 6604 §3), which cannot be absent and here.
                if code == Code.nameError { return .failure(.malformed) }
                for record in found { life = min(life, record.timeToLive) }
                return .records(Self.withoutDoubles(found.map(\.data)), timeToLive: life)
            }
            guard let (target, targetLife) = alias(of: name) else { break }
            aliases += 1
            // A circle never ends, so counting finds it.
            guard aliases <= Self.aliasesMax else { return .failure(.aliasLoop) }
            life = min(life, targetLife)
            name = target
        }

        let authority = authorityLife(for: name)
        if code == Code.nameError { return .absent(.name, timeToLive: authority.map { min($0, life) }) }
        if let authority { return .absent(.data, timeToLive: min(authority, life)) }
        if aliases > 0 { return .alias(name, timeToLive: life) }
        // Name servers without an SOA are a referral and no absence (RFC 2308 §2.2).
        if authorities.contains(where: { $0.type == .ns }) { return .failure(.lame) }
        return .absent(.data, timeToLive: nil)
    }

    /// Addresses that the answer adds, unasked, by the name that has them, with the shortest of their lives. They count
    /// for the targets of SRV records alone.
    func addedAddresses() -> [DomainName: (addresses: [IPAddress], timeToLive: UInt32)] {
        var added: [DomainName: (addresses: [IPAddress], timeToLive: UInt32)] = [:]
        for record in additionals + answers {
            guard case .address(let address) = record.data else { continue }
            added[record.owner, default: ([], .max)].addresses.append(address)
            let life = added[record.owner]?.timeToLive ?? .max
            added[record.owner]?.timeToLive = min(life, record.timeToLive)
        }
        return added.mapValues { (Self.withoutDoubles($0.addresses), $0.timeToLive) }
    }

    /// Whether addresses of the targets of `services` may have been left out of an answer of `byteCount` bytes because
    /// there was room for `room` alone: a server does so without a word (RFC 2181 §9), even in the middle of a target's
    /// addresses. One that adds addresses to no target at all just does not do that.
    func targetsMayBeCut(_ services: [RecordData], byteCount: Int, room: Int) -> Bool {
        let targets = services.compactMap { data -> DomainName? in
            guard case .service(let service) = data, service.target != .root else { return nil }
            return service.target
        }
        let added = addedAddresses()
        let known = targets.count { added[$0] != nil }
        if known == 0 { return false }
        return known < targets.count || byteCount + Self.addedRecordBytesMax > room
    }

    /// The longest address record: an uncompressed name with its type, class, TTL, length and sixteen bytes.
    private static let addedRecordBytesMax = DomainName.wireBytesMax + 10 + 16

    private func alias(of name: DomainName) -> (DomainName, UInt32)? {
        for record in answers where record.owner == name {
            if case .alias(let target) = record.data { return (target, record.timeToLive) }
        }
        return nil
    }

    /// For how long an absence of `name` is good, if a zone that holds it says so (RFC 2308 §5).
    private func authorityLife(for name: DomainName) -> UInt32? {
        for record in authorities where name.isWithin(record.owner) {
            if case .authority(let minimum) = record.data {
                return min(record.timeToLive, minimum >> 31 == 0 ? minimum : 0)
            }
        }
        return nil
    }

    private static func withoutDoubles<Element: Hashable>(_ elements: [Element]) -> [Element] {
        var seen: Set<Element> = []
        return elements.filter { seen.insert($0).inserted }
    }
}
