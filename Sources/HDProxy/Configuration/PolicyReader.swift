// How is a service treated? Balancing, retries, health, identity and ejection: the keys of a service that say neither
// where it lives nor how long anything may take.

import Discovery
import ProxyCore

/// Reads how a service is treated.
enum PolicyReader {
    // MARK: Balancing and retries

    /// `balance`, `slowStart`, `maxConcurrent`, `queue` and `queueTimeout` of a service.
    static func readBalance(_ section: Section, _ balance: inout BalanceSpec) {
        if let word = section["balance"]?.choice(BalanceSpec.Method.allCases.map(\.rawValue)) {
            balance.method = BalanceSpec.Method(rawValue: word) ?? balance.method
        }
        section.set(&balance.slowStart, "slowStart", atLeast: 0)
        section.set(&balance.maxConcurrent, "maxConcurrent", in: 0...1_000_000)
        section.set(&balance.queue, "queue", in: 0...1_000_000)
        section.set(&balance.queueTimeout, "queueTimeout")
    }

    /// `retry`.
    static func readRetry(_ item: Item, _ retry: inout RetrySpec) {
        guard let section = item.section(["attempts", "budgetPercent"]) else { return }
        section.set(&retry.attempts, "attempts", in: 0...10)
        section.set(&retry.budgetPercent, "budgetPercent", in: 0...100)
    }

    // MARK: Health

    /// `health`, `identity`, `outlier` and `prefer` of a service.
    static func readCare(_ section: Section, _ care: inout CareSpec) {
        if let word = section["prefer"]?.choice(Preference.allCases.map(\.rawValue)) {
            care.prefer = Preference(rawValue: word) ?? care.prefer
        }
        if let health = section["health"] { care.health = readHealth(health) }
        if let identity = section["identity"] { care.identity = readIdentity(identity) }
        if let outlier = section["outlier"] { readOutlier(outlier, &care.outlier) }
    }

    private static func readHealth(_ item: Item) -> HealthSpec? {
        let known = [
            "path", "host", "interval", "timeout", "healthyAfter", "unhealthyAfter", "expectStatus",
        ]
        guard let section = item.section(known) else { return nil }
        let usual = HealthSpec()
        var (interval, timeout) = (usual.interval, usual.timeout)
        var (healthyAfter, unhealthyAfter) = (usual.healthyAfter, usual.unhealthyAfter)
        section.set(&interval, "interval", atLeast: shortest)
        section.set(&timeout, "timeout", atLeast: shortest)
        section.set(&healthyAfter, "healthyAfter", in: 1...100)
        section.set(&unhealthyAfter, "unhealthyAfter", in: 1...100)
        if section["path"] == nil {
            for key in ["host", "expectStatus"] {
                section[key]?.report("`path` is missing beside it: nothing is asked for", "path: \"/healthz\" as well")
            }
        }
        return HealthSpec(
            path: section["path"].flatMap(readPath), host: section["host"].flatMap(readHost), interval: interval,
            timeout: timeout, healthyAfter: healthyAfter, unhealthyAfter: unhealthyAfter,
            expectStatus: section["expectStatus"].flatMap(readStatuses) ?? usual.expectStatus)
    }

    private static func readPath(_ item: Item) -> String? {
        let allowed =
            "a path as it travels, as in \"/healthz\" or \"/healthz?full=1\"; left out, a connection is enough"
        guard let text = item.string(allowed) else { return nil }
        if HealthSpec.isPath(text) { return text }
        item.report("\(item.shown) \(text.hasPrefix("/") ? "cannot be asked for" : "does not begin with /")", allowed)
        return nil
    }

    private static func readHost(_ item: Item) -> String? {
        let allowed = "a host name, perhaps with a port; left out, the endpoint's own address"
        guard let text = item.string(allowed) else { return nil }
        if HealthSpec.isHost(text) { return text }
        item.report("\(item.shown) is not a host", allowed)
        return nil
    }

    private static func readStatuses(_ item: Item) -> ExpectedStatuses? {
        let allowed = "statuses from 200 to 599 and ranges of them, as in \"200-299,401\""
        if case .number(let text) = item.node.value {
            if let statuses = ExpectedStatuses(text) { return statuses }
        } else {
            guard let text = item.string(allowed) else { return nil }
            if let statuses = ExpectedStatuses(text) { return statuses }
        }
        item.report("\(item.shown) is not a set of statuses", allowed)
        return nil
    }

    /// Anything less would be a load of its own.
    private static let shortest = 10

    // MARK: Identity and ejection

    private static func readIdentity(_ item: Item) -> IdentitySpec? {
        guard let section = item.section(["header", "value"]) else { return nil }
        let headerAllowed = "the name of a field that each answer carries, as in \"X-Service\""
        let valueAllowed = "the field's value, printable ASCII, as in \"honeydue-api\""
        let header = section.required("header", headerAllowed).flatMap { item -> String? in
            guard let text = item.string(headerAllowed) else { return nil }
            if 1...256 ~= text.utf8.count, text.utf8.allSatisfy({ ASCII.isToken($0) }) { return text }
            item.report("\(item.shown) is not the name of a field", headerAllowed)
            return nil
        }
        let value = section.required("value", valueAllowed).flatMap { item -> String? in
            guard let text = item.string(valueAllowed) else { return nil }
            let isPlain = text.utf8.allSatisfy { 0x20...0x7E ~= $0 }
            // A parser takes the white space around a value away (RFC 9112 §5), so that none could ever be met.
            let isTrimmed = !text.hasPrefix(" ") && !text.hasSuffix(" ")
            if isPlain, isTrimmed, 1...1024 ~= text.utf8.count { return text }
            item.report("\(item.shown) is not the value of a field", valueAllowed)
            return nil
        }
        guard let header, let value else { return nil }
        return IdentitySpec(header: header, value: value)
    }

    private static func readOutlier(_ item: Item, _ outlier: inout OutlierSpec) {
        guard let section = item.section(["consecutiveFailures", "ejectFor", "maxEjectedPercent"]) else { return }
        section.set(&outlier.consecutiveFailures, "consecutiveFailures", in: 0...1000)
        section.set(&outlier.ejectFor, "ejectFor", atLeast: shortest)
        section.set(&outlier.maxEjectedPercent, "maxEjectedPercent", in: 0...100)
    }
}

extension Section {
    /// Sets `value` to the whole number under `key`, where one stands there.
    fileprivate func set(_ value: inout Int, _ key: String, in range: ClosedRange<Int>) {
        if let read = self[key]?.integer(in: range) { value = read }
    }
}
