// `admin`: where the process tells how it is.

import ProxyCore

/// Reads `admin`.
enum AdminReader {
    /// The settings in the object `item`, beside these listeners.
    static func read(_ item: Item, listeners: [ListenerSpec]) -> AdminSettings {
        var admin = AdminSettings()
        guard let section = item.section(["address", "socket"]) else { return admin }
        if let item = section["address"] {
            admin.isAddressWritten = true
            if let address = readAddress(item) { admin.address = address }
            checkAgainst(listeners, admin.address, item)
        }
        if let item = section["socket"] {
            admin.isSocketWritten = true
            if let path = readSocket(item) { admin.socket = path.isEmpty ? nil : path }
        }
        return admin
    }

    /// Reports an address that one of `listeners` has, too.
    private static func checkAgainst(_ listeners: [ListenerSpec], _ address: NetworkAddress?, _ item: Item) {
        guard let address, address.port != 0,
            let other = listeners.firstIndex(where: { meets($0.address, address) })
        else { return }
        item.report("listeners[\(other)] is on \(listeners[other].address)", "an address of its own")
    }

    /// Whether a connection to one may arrive at the other.
    private static func meets(_ a: NetworkAddress, _ b: NetworkAddress) -> Bool {
        a.port == b.port && (a.ip == b.ip || a.ip.isUnspecified || b.ip.isUnspecified)
    }

    /// The address, `.some(nil)` for none, nil for a mistake.
    private static func readAddress(_ item: Item) -> NetworkAddress?? {
        let allowed = "an IP address and a port, as in \"127.0.0.1:9090\"; \"\": no such listener"
        guard let text = item.string(allowed) else { return nil }
        if text.isEmpty { return .some(nil) }
        if let address = NetworkAddress(text) { return address }
        item.report("\(item.shown) is not an address with a port", allowed)
        return nil
    }

    private static func readSocket(_ item: Item) -> String? {
        let allowed =
            "an absolute path of at most \(pathBytesMax) bytes, %p in it for the process id; \"\": no such socket"
        guard let path = item.absolutePath(allowed, orWord: "") else { return nil }
        // The longest process id has seven digits.
        let longest = path.replacing("%p", with: "4194304").utf8.count
        if longest <= pathBytesMax, !path.hasSuffix("/") { return path }
        item.report(
            "\(item.shown) \(path.hasSuffix("/") ? "is a folder" : "can become \(longest) bytes long")", allowed)
        return nil
    }

    /// Bytes of a path that a socket can have: `sun_path` without its final NUL (unix(7)).
    private static let pathBytesMax = 107
}
