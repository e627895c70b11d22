// `trustedProxies`: whose word about the client is believed. `originLockdown`: whether anybody else may connect.

import ProxyCore

/// One entry of `trustedProxies`.
enum TrustedProxy: Hashable, Sendable {
    /// The ranges that Cloudflare publishes, as this version knows them.
    case cloudflare
    /// These addresses.
    case range(AddressRange)

    /// Its addresses.
    var ranges: [AddressRange] {
        switch self {
        case .cloudflare: CloudflareRanges.all
        case .range(let range): [range]
        }
    }

    /// As the configuration spells it.
    var text: String {
        switch self {
        case .cloudflare: "cloudflare"
        case .range(let range): range.description
        }
    }
}

/// Reads `trustedProxies`.
enum TrustedProxiesReader {
    private static let allowed =
        "\"cloudflare\", an address, or a range as in \"10.42.0.0/16\" or \"2001:db8::/32\""

    /// The valid entries of the list `item`.
    static func read(_ item: Item) -> [TrustedProxy] {
        guard let items = item.list("a list of \"cloudflare\", addresses and ranges") else { return [] }
        return items.compactMap(entry)
    }

    private static func entry(_ item: Item) -> TrustedProxy? {
        guard let text = item.string(allowed) else { return nil }
        if text == "cloudflare" { return .cloudflare }
        do throws(AddressRange.Fault) {
            return .range(try AddressRange(text))
        } catch {
            switch error {
            case .noAddress:
                let nearest = NearestName.hint(for: text, among: ["cloudflare"], quote: "\"")
                item.report("\(item.shown) is no address\(nearest)", allowed)
            case .badPrefix: item.report("\(item.shown) has no number of bits behind its slash", allowed)
            case .hostBits(let range):
                item.report("\(item.shown) goes on behind its prefix", "\"\(range)\", or the address alone")
            }
            return nil
        }
    }
}

/// `originLockdown`: whether only trusted proxies may connect.
struct OriginLockdown: Hashable, Sendable {
    /// Who may, too, though nobody believes them anything.
    var allow: [TrustedProxy] = []
}

/// Reads `originLockdown`.
enum OriginLockdownReader {
    /// `true`, or an object that says who else may connect; nil: everybody may.
    static func read(_ item: Item, trusted: [TrustedProxy]) -> OriginLockdown? {
        var lockdown = OriginLockdown()
        switch item.node.value {
        case .bool(false): return nil
        case .bool(true): break
        case .object:
            guard let section = item.section(["allow"]) else { return nil }
            lockdown.allow = section["allow"].map(TrustedProxiesReader.read) ?? []
        case .null, .number, .string, .array:
            item.report("\(item.node.value.kind) stands here", "true, false, or { allow: [\"10.42.0.0/16\"] }")
            return nil
        }
        if trusted.isEmpty, lockdown.allow.isEmpty {
            item.report("nobody could connect", "trustedProxies that may, or allow in here")
        }
        return lockdown
    }
}
