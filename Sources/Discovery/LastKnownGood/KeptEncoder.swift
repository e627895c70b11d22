// How is a state spelled that is nearly the one before? Piece by piece, one for each service and each address: what has not
// changed since the last file is not encoded again. In a cluster where something changes all the time this is most of it.

import FoundationEssentials
import ProxyCore

/// Makes files of states, and remembers the pieces of the latest one.
struct KeptEncoder {
    private struct Piece<Value> {
        var value: Value
        var bytes: [UInt8]
    }

    private struct References: Hashable {
        var kubernetes: KubernetesReference?
        var dns: DNSReference?
    }

    private var services: [References: Piece<KeptState.Service>] = [:]
    private var owners: [IPAddress: Piece<KeptState.Owner>] = [:]
    private let encoder: JSONEncoder

    /// An encoder that remembers nothing yet.
    init() {
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    }

    /// The file for `state`, in which members have the order of their names.
    mutating func encode(_ state: KeptState) throws -> [UInt8] {
        var rest = Array(#""owners":["#.utf8)
        var nextOwners: [IPAddress: Piece<KeptState.Owner>] = [:]
        nextOwners.reserveCapacity(state.owners.count)
        for (index, owner) in state.owners.enumerated() {
            if index > 0 { rest.append(UInt8(ascii: ",")) }
            let piece = try piece(of: owner)
            rest += piece.bytes
            nextOwners[owner.ip] = piece
        }
        owners = nextOwners
        rest += Array(#"],"services":["#.utf8)
        var nextServices: [References: Piece<KeptState.Service>] = [:]
        nextServices.reserveCapacity(state.services.count)
        for (index, service) in state.services.enumerated() {
            if index > 0 { rest.append(UInt8(ascii: ",")) }
            let piece = try piece(of: service)
            // The time is told with every state, and stands first among the members.
            rest += Array(#"{"asOfMicroseconds":\#(service.asOfMicroseconds),"#.utf8)
            rest += piece.bytes
            nextServices[References(kubernetes: service.kubernetes, dns: service.dns)] = piece
        }
        services = nextServices
        rest += Array(
            #"],"version":\#(KeptDocument.version),"writtenMicroseconds":\#(state.writtenMicroseconds)}"#.utf8)
        rest.append(UInt8(ascii: "\n"))
        return LastKnownGood.seal(rest)
    }

    private func piece(of owner: KeptState.Owner) throws -> Piece<KeptState.Owner> {
        if let known = owners[owner.ip], known.value == owner { return known }
        return Piece(value: owner, bytes: Array(try encoder.encode(KeptDocument.Owner(owner))))
    }

    /// A service without its time: the members behind it, up to the closing brace.
    private func piece(of service: KeptState.Service) throws -> Piece<KeptState.Service> {
        var timeless = service
        timeless.asOfMicroseconds = 0
        if let known = services[References(kubernetes: service.kubernetes, dns: service.dns)], known.value == timeless {
            return known
        }
        let whole = try encoder.encode(KeptDocument.Service(timeless))
        return Piece(value: timeless, bytes: Array(whole.dropFirst(Self.timeless.count)))
    }

    private static let timeless = Array(#"{"asOfMicroseconds":0,"#.utf8)
}
