// Request heads, read and written: whole as in pieces, as the slow grammar says, and what goes upstream reads as the
// same request with our own lines and nobody else's.

@testable import ProxyCore

enum RequestHeadTarget {
    private static let linesMax = 24
    private static let emptyLinesMax = 2

    static func check(_ input: [UInt8]) throws {
        var input = FuzzInput(input)
        let headerBytes = input.choice([8192, 8192, 64, 16])
        let limits = HeadLimits(headerBytes: headerBytes, requestTargetBytes: headerBytes == 8192 ? 2048 : 16)
        let isTrusted = input.choice([false, true])
        let bytes = input.remainder()

        let whole = try inProportion(to: bytes.count, "a request head") { read(bytes, limits) }
        try expectSteadiness(bytes, whole) { read($0, limits) }
        try expectSlowAgrees(bytes, whole, limits)
        try expectScansAgree(bytes)
        if case .complete(let view) = whole { try expectForwarding(bytes, view, limits, isTrusted) }
    }

    private static func read(_ bytes: [UInt8], _ limits: HeadLimits, lines: Int = linesMax) -> HeadReading {
        var head = RequestHead(lines: lines)
        do throws(Rejection) {
            let step = try RequestParser.parse(bytes.span, into: &head, limits: limits)
            return step == .complete ? .complete(HeadView(head, bytes)) : .needMore
        } catch {
            return .refused(error)
        }
    }

    // MARK: The slow grammar

    private static func expectSlowAgrees(_ bytes: [UInt8], _ whole: HeadReading, _ limits: HeadLimits) throws {
        let slow = SlowHead(bytes, emptyLines: emptyLinesMax, startParts: 3)
        let allowed = slow.map { isAllowed($0, bytes, limits) } ?? false
        switch whole {
        case .complete(let view):
            guard let slow, allowed else { throw Finding("taken, but the grammar says no: \(bytes.escaped)") }
            try expect(view.byteCount == slow.byteCount, "\(view.byteCount) bytes, the grammar says \(slow.byteCount)")
            try expect(
                view.lines.elementsEqual(slow.fields) { $0.name == $1.name && $0.value == $1.value },
                "other lines than the grammar's")
            try expect(view.texts[0] == slow.start[0] && view.texts[1] == slow.start[1], "another request line")
            let lengths = slow.values("content-length")
            let framing: BodyFraming =
                !slow.values("transfer-encoding").isEmpty
                ? .chunked
                : lengths.first.flatMap(SlowHead.number).map { $0 == 0 ? .none : .length($0) } ?? .none
            try expect(view.framing == framing, "framing \(view.framing), the grammar says \(framing)")
        case .needMore: try expect(slow == nil, "needs more, but a whole head is there")
        case .refused(let reason):
            try expect(!allowed, "refused (\(reason)), but the grammar says yes: \(bytes.escaped)")
        }
    }

    private static func isAllowed(_ slow: SlowHead, _ bytes: [UInt8], _ limits: HeadLimits) -> Bool {
        guard slow.start.count == 3, let method = slow.start.first else { return false }
        let target = slow.start[1]
        let isHTTP10 = slow.start[2] == Array("HTTP/1.0".utf8)
        guard isHTTP10 || slow.start[2] == Array("HTTP/1.1".utf8) else { return false }
        guard (1...32).contains(method.count), method.allSatisfy(SlowHead.isTokenByte) else { return false }
        guard target.count <= limits.requestTargetBytes, slow.fields.count <= linesMax else { return false }
        guard !target.isEmpty, target.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }) else {
            return false
        }
        let section = fieldBytes(slow, bytes)
        guard section <= limits.headerBytes, slow.hasAllowedConnection else { return false }
        return hasAllowedHost(slow, method, target, isHTTP10) && hasAllowedFraming(slow, isHTTP10)
            && (isHTTP10 || slow.values("expect").allSatisfy { SlowHead.lower($0) == "100-continue" })
    }

    /// Bytes of the field lines as they came.
    private static func fieldBytes(_ slow: SlowHead, _ bytes: [UInt8]) -> Int {
        var at = 0
        while SlowHead.isCRLF(bytes, at) { at += 2 }
        return slow.byteCount - 2 - ((SlowHead.lineEnd(bytes, from: at) ?? 0) + 2)
    }

    private static func hasAllowedHost(
        _ slow: SlowHead, _ method: [UInt8], _ target: [UInt8], _ isHTTP10: Bool
    ) -> Bool {
        let hosts = slow.values("host")
        guard hosts.count == 1 || (hosts.isEmpty && isHTTP10) else { return false }
        let host = hosts.first.map { SlowAuthority($0) }
        if let host, host == nil { return false }
        let method = String(decoding: method, as: UTF8.self)
        let text = String(decoding: target, as: UTF8.self)
        if method == "CONNECT" || text.hasPrefix("/") || (text == "*" && method == "OPTIONS") { return true }
        let scheme = text.prefix { $0 != ":" }.lowercased()
        guard scheme == "http" || scheme == "https", text.dropFirst(scheme.count).hasPrefix("://") else { return false }
        let named = Array(
            target.dropFirst(scheme.count + 3).prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") })
        guard let authority = SlowAuthority(named) else { return false }
        guard let host, let host else { return true }
        let usual: UInt64 = scheme == "https" ? 443 : 80
        return SlowHead.lower(authority.host) == SlowHead.lower(host.host)
            && (authority.port ?? usual) == (host.port ?? usual)
    }

    private static func hasAllowedFraming(_ slow: SlowHead, _ isHTTP10: Bool) -> Bool {
        let lengths = slow.values("content-length")
        let codings = slow.values("transfer-encoding")
        if codings.isEmpty { return lengths.isEmpty || (lengths.count == 1 && SlowHead.number(lengths[0]) != nil) }
        return lengths.isEmpty && !isHTTP10 && codings.count == 1 && SlowHead.lower(codings[0]) == "chunked"
    }

    // MARK: What the upstream gets

    private static func expectForwarding(
        _ bytes: [UInt8], _ view: HeadView, _ limits: HeadLimits, _ isTrusted: Bool
    ) throws {
        var head = RequestHead(lines: linesMax)
        _ = try RequestParser.parse(bytes.span, into: &head, limits: limits)
        // What is answered without an upstream is never written.
        if head.method == .connect || head.method == .trace || head.ownHops > 4 { return }
        if head.method == .options && (head.maxForwards == 0 || head.target.form == .asterisk) { return }
        let peer = IPAddress(v4: 0xC000_0201)
        let trusted = AddressSet(isTrusted ? [AddressRange(peer), AddressRange(IPAddress(v4: 0x0102_0304))] : [])
        let client = DerivedClient.derive(head, bytes.span, peer: peer, isTLS: false, trusted: trusted)
        try expect(client == slowClient(view, peer, trusted), "the client is \(client), slowly otherwise")
        let roomMax =
            view.byteCount + HeadWriter.requestGrowthMax + view.texts[4].count + 6 + view.texts[5].count
        var out = ByteBuffer(capacity: roomMax)
        try inProportion(to: view.byteCount, "writing a request head") {
            out.clear()
            let forwarding = Forwarding(client, id: RequestID(high: 1, low: 2))
            HeadWriter.write(head, bytes.span, forwarding: forwarding, into: &out)
        }
        let written = out.withReadable { span in span.indices.map { span[$0] } }

        let wide = HeadLimits(headerBytes: 1 << 20, requestTargetBytes: 1 << 16)
        let reading = read(written, wide, lines: linesMax + 16)
        guard case .complete(let sent) = reading else {
            throw Finding("what was written reads as \(reading): \(written.escaped)")
        }
        try expect(sent.byteCount == written.count, "a head of \(sent.byteCount) bytes was written in \(written.count)")
        try expect(sent.texts[0] == view.texts[0], "another method")
        try expect(!sent.isHTTP10, "another version than ours")
        let path = view.texts[2]
        try expect(
            sent.texts[1] == path || sent.texts[1] == [UInt8(ascii: "/")] + path
                || (path.isEmpty && sent.texts[1] == [UInt8(ascii: "*")]),
            "target \(sent.texts[1].escaped) out of \(path.escaped)")
        try expect(sent.framing == view.framing, "framing \(sent.framing) out of \(view.framing)")
        if !view.texts[4].isEmpty {
            // An absolute target may spell the default port, and Host may not.
            let usual: UInt64? = head.target.form == .absolute ? head.target.isHTTPS ? 443 : 80 : nil
            try expect(
                SlowHead.lower(sent.texts[4]) == SlowHead.lower(view.texts[4])
                    && (sent.numbers[0] ?? usual) == (view.numbers[0] ?? usual),
                "host \(sent.texts[4].escaped) out of \(view.texts[4].escaped)")
        }
        for name in ["x-forwarded-for", "x-real-ip"] {
            try expect(
                sent.values(name) == [Array(client.address.description.utf8)],
                "\(name) is \(sent.values(name).map(\.escaped))")
        }
        for name in ["x-forwarded-proto", "x-forwarded-host", "x-request-id", "host"] {
            try expect(sent.values(name).count == 1, "\(sent.values(name).count) lines \(name)")
        }
        try expect(sent.values("content-length").count + sent.values("transfer-encoding").count <= 1, "framed twice")
        let upgrades = view.texts[5].isEmpty ? [] : [view.texts[5]]
        try expect(sent.values("upgrade") == upgrades, "upgrade \(sent.values("upgrade").map(\.escaped))")
        try expect(sent.values("connection").count == upgrades.count, "a Connection line of a stranger's")
        for line in sent.lines where line.known == .forged { throw Finding("\(line.name.escaped) of a stranger's") }
        try expectOrder(view, sent, isTrusted)
    }

    /// Who the client is, by the words of the issue: read over texts, from the end.
    private static func slowClient(_ view: HeadView, _ peer: IPAddress, _ trusted: borrowing AddressSet)
        -> DerivedClient
    {
        var client = DerivedClient(peer: peer, isTLS: false)
        guard trusted.contains(peer) else { return client }
        client.isFromTrustedProxy = true
        func single(_ name: String) -> String? {
            let values = view.values(name)
            return values.count == 1 ? String(decoding: values[0], as: UTF8.self) : nil
        }
        func address(_ text: String?) -> IPAddress? {
            text.flatMap { IPAddress($0) }.flatMap { $0.isUnspecified ? nil : $0 }
        }
        let proto = single("x-forwarded-proto").map { SlowHead.lower(Array($0.utf8)) }
        client.isHTTPS = proto == "https"
        if let v6 = address(single("cf-connecting-ipv6")), !v6.isIPv4 {
            client.address = v6
        } else if let told = address(single("cf-connecting-ip")) {
            client.address = told
        } else {
            let entries = view.values("x-forwarded-for").flatMap { $0.split(separator: UInt8(ascii: ",")) }
                .map { SlowHead.trimmed(Array($0)) }.filter { !$0.isEmpty }
            for entry in entries.reversed() {
                // With a port it is spelled like a host; without one it may be a bare IPv6 address.
                let authority = SlowAuthority(entry)
                var text = String(decoding: entry, as: UTF8.self)
                if IPAddress(text) == nil, let authority, entry.last != UInt8(ascii: ":") {
                    text = String(decoding: authority.host, as: UTF8.self)
                    if text.hasPrefix("[") { text = String(text.dropFirst().dropLast()) }
                }
                guard let told = address(text) else { break }
                client.address = told
                if !trusted.contains(told) { break }
            }
        }
        return client
    }

    /// Lines that are not ours travel in their order and unchanged, and none that guards something is lost.
    private static func expectOrder(_ view: HeadView, _ sent: HeadView, _ isTrusted: Bool) throws {
        let ours: Set<FieldName> = [
            .host, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xRealIP, .xRequestID, .via, .maxForwards,
            .contentLength, .transferEncoding, .connection, .upgrade,
        ]
        let theirs = sent.lines.filter { !ours.contains($0.known) }
        var came = view.lines[...]
        for line in theirs {
            guard let at = came.firstIndex(of: line) else { throw Finding("\(line.name.escaped) is out of order") }
            came = came[(at + 1)...]
        }
        for guarded in [FieldName.cookie, .authorization, .guarded] {
            let (before, after) = (view.lines.count { $0.known == guarded }, theirs.count { $0.known == guarded })
            try expect(before == after, "\(before) lines \(guarded) became \(after)")
        }
        for cloudflares in [FieldName.cfConnectingIP, .cfConnectingIPv6, .cfRay, .cloudflare] {
            let before = isTrusted ? view.lines.count { $0.known == cloudflares } : 0
            let after = theirs.count { $0.known == cloudflares }
            try expect(before == after, "\(before) lines \(cloudflares) became \(after)")
        }
    }

    // MARK: Fast searches

    private static func expectScansAgree(_ bytes: [UInt8]) throws {
        for from in cuts(bytes.count) where from % 3 == 0 {
            let control = bytes[from...].firstIndex { ($0 < 0x20 && $0 != 9) || $0 == 0x7F } ?? bytes.count
            try expect(Scan.firstControl(bytes.span, from: from) == control, "firstControl from \(from)")
            let end = bytes[from...].firstIndex { $0 < 0x21 || $0 > 0x7E || $0 == UInt8(ascii: "#") } ?? bytes.count
            try expect(Scan.endOfTarget(bytes.span, from: from) == end, "endOfTarget from \(from)")
        }
    }
}
