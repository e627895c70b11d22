// Who is believed, and does whoever wrote the configuration know it? What `hdproxy check` says of `trustedProxies`:
// `CF-Connecting-IP` is believed of each of them, because a tunnel or another proxy may stand between Cloudflare and us; so
// each has to be one that sets that field, or removes it.

import ProxyCore

/// Looks at whom a valid configuration trusts.
enum TrustCheck {
    /// What there is to say of `settings`.
    static func remarks(_ settings: Settings) -> [CheckRemark] {
        var remarks: [CheckRemark] = []
        let others = settings.trustedProxies.flatMap { proxy -> [AddressRange] in
            switch proxy {
            case .cloudflare: []
            case .range(let range): CloudflareRanges.all.contains { $0.contains(range) } ? [] : [range]
            }
        }
        if let everybody = others.first(where: { $0.prefixBits == ($0.isIPv4 ? 96 : 0) }) {
            remarks.append(
                CheckRemark(
                    path: "trustedProxies", text: "\(everybody) is everybody: any client can say who it is",
                    isWarning: true))
        }
        if !others.isEmpty {
            let names = others.map(\.description).joined(separator: ", ")
            remarks.append(
                CheckRemark(
                    path: "trustedProxies",
                    text:
                        "CF-Connecting-IP and X-Forwarded-For are believed of \(names), too, which is not Cloudflare: "
                        + "whatever connects from there has to set or remove both itself",
                    isWarning: true))
        }
        return remarks
    }
}

/// A line of what `hdproxy check` says of a valid configuration.
struct CheckRemark: Equatable {
    /// The key, as in `listeners[1].tls.certificates[0]`.
    var path: String
    /// What there is to say.
    var text: String
    /// Whether somebody should do something.
    var isWarning: Bool
}
