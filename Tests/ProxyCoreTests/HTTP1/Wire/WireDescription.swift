// What a head says, spelled out, so that a case can be compared with it line by line.

import TestTools

@testable import ProxyCore

/// A head as named values; a name may have several.
struct WireDescription: Equatable {
    private var values: [String: [String]] = [:]

    private mutating func set(_ name: String, _ value: String) { values[name, default: []].append(value) }

    init(_ head: borrowing RequestHead, _ bytes: [UInt8]) {
        func text(_ range: ByteRange) -> String { bytes[range.range].escaped }
        set("method", "\(head.method.name)")
        set("spelled", text(head.methodBytes))
        set("form", "\(head.target.form)")
        set("target", text(head.target.whole))
        set("path", text(head.target.path))
        set("path and query", text(head.target.pathAndQuery))
        set("version", head.isHTTP10 ? "1.0" : "1.1")
        set("host", text(head.authority.host))
        set("port", head.authority.port.map { "\($0)" } ?? "none")
        set("upgrade", text(head.upgrade))
        set("max-forwards", head.maxForwards.map { "\($0)" } ?? "none")
        set("own hops", "\(head.ownHops)")
        addCommon(head.framing, head.fields, bytes)
        var flags = flags(head.connection)
        if head.expectsContinue { flags.append("expects-continue") }
        if head.acceptsTrailers { flags.append("accepts-trailers") }
        if head.saysLength { flags.append("says-length") }
        if !head.upgrade.isEmpty { flags.append("may-upgrade") }
        set("flags", flags.sorted().joined(separator: ", "))
    }

    init(_ head: borrowing ResponseHead, _ bytes: [UInt8]) {
        func text(_ range: ByteRange) -> String { bytes[range.range].escaped }
        set("status", "\(head.status)")
        set("reason", text(head.reason))
        set("version", head.isHTTP10 ? "1.0" : "1.1")
        set("length", head.contentLength.map { "\($0)" } ?? "none")
        set("idle seconds", head.keepAliveSeconds.map { "\($0)" } ?? "none")
        set("upgrade", text(head.upgrade))
        addCommon(head.framing, head.fields, bytes)
        var flags = flags(head.connection)
        if head.isChunked { flags.append("chunked") }
        if head.hasDate { flags.append("date") }
        if head.isInterim { flags.append("interim") }
        set("flags", flags.sorted().joined(separator: ", "))
    }

    private mutating func addCommon(_ framing: BodyFraming, _ fields: borrowing FieldSection, _ bytes: [UInt8]) {
        switch framing {
        case .none: set("framing", "none")
        case .length(let count): set("framing", "length \(count)")
        case .chunked: set("framing", "chunked")
        case .untilClose: set("framing", "close")
        }
        set("fields", "\(fields.lines.count)")
        for i in 0..<fields.lines.count {
            let line = fields.lines[i]
            set("line", "\(bytes[line.name.range].escaped): \(bytes[line.value.range].escaped)")
        }
    }

    private func flags(_ options: ConnectionOptions) -> [String] {
        var flags: [String] = []
        if options.close { flags.append("close") }
        if options.keepAlive { flags.append("keep-alive") }
        if options.upgrade { flags.append("upgrade") }
        if options.te { flags.append("te") }
        if options.nominatesFields { flags.append("nominates") }
        return flags
    }

    /// Which of `conditions` do not hold. Flags that are not named must not be there.
    func complaints(_ conditions: [String]) throws -> [String] {
        var wanted = conditions
        if !wanted.contains(where: { $0 == "flags" || $0.hasPrefix("flags ") }) { wanted.append("flags") }
        return try wanted.compactMap { condition in
            guard
                let name = values.keys.filter({ condition == $0 || condition.hasPrefix($0 + " ") }).max(by: {
                    $0.count < $1.count
                })
            else {
                if condition.hasPrefix("line ") { return "expected \(condition), got no line" }
                throw WireError("no such condition: \(condition)")
            }
            var value = String(condition.dropFirst(name.count + 1))
            if name == "flags" {
                value = value.split(separator: ", ").sorted().joined(separator: ", ")
            } else {
                value = try WireText.bytes(value).escaped
            }
            let got = values[name] ?? []
            return got.contains(value) ? nil : "expected \(condition), got \(got)"
        }
    }
}
