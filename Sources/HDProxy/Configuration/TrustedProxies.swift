// `trustedProxies`: whose word about the client is believed.

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

    /// The valid ones of the list `item`.
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
