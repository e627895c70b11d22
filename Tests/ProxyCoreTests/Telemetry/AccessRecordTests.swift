import Foundation
import Synchronization
import TestTools
import Testing

@testable import ProxyCore

@Suite struct AccessRecordTests {
    /// The line of a request as a worker writes it, into a head buffer.
    private func line(
        _ request: [UInt8], route: String? = "r", service: String? = "s", isTrusted: Bool = true,
        peer: IPAddress = WireText.client,
        _ change: (inout AccessRecord.End) -> Void = { _ in }
    ) throws -> [UInt8] {
        var pool = BufferPool()
        var record = ByteBuffer()
        pool.supply(&record, .head)
        var head = RequestHead(lines: 64)
        let step = try RequestParser.parse(
            request.span, into: &head, limits: HeadLimits(headerBytes: 65_536, requestTargetBytes: 32_768))
        try #require(step == .complete)
        var client = DerivedClient(peer: WireText.client, isTLS: false)
        client.isFromTrustedProxy = isTrusted
        AccessRecord.begin(&record, head, request.span, client: client, peer: peer)
        if let route { AccessRecord.append(route: route, to: &record) }
        if let service { AccessRecord.append(service: service, to: &record) }
        var end = AccessRecord.End(
            status: 200, bytesIn: 1, bytesOut: 2, duration: .milliseconds(1500), upstream: nil, attempts: 1,
            outcome: .ok, endpoint: nil)
        change(&end)
        AccessRecord.end(&record, end)
        var out = ByteBuffer(capacity: record.count + AccessRecord.prefixBytesMax)
        AccessRecord.prefix(WireText.unixSeconds * 1_000_000 + 31_000, WireText.id, to: &out)
        let taken = out.append(from: record)
        try #require(taken == record.count)
        return out.bytes
    }

    private func object(_ line: [UInt8]) throws -> [String: Any] {
        // One object, on one line.
        #expect(line.last == 10 && line.count { $0 == 10 } == 1)
        let object = try JSONSerialization.jsonObject(with: Data(line))
        return try #require(object as? [String: Any])
    }

    @Test func aLineSaysWhatTheContractPromises() throws {
        let request = """
            GET /x?y HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: curl/8\r\nCF-Ray: 8f1-FRA\r\n\
            traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n
            """
        let object = try object(
            try line(Array(request.utf8)) {
                $0.upstream = Instant.Span(nanoseconds: 12_345_678)
                $0.endpoint = NetworkAddress("[2001:db8::1]:8000")
                $0.attempts = 2
                $0.status = 502
                $0.bytesIn = .max
                $0.outcome = .upstreamMalformed(.badChunk)
            })
        let texts = [
            "time": "2026-11-24T09:14:27.031000Z", "level": "info", "event": "request",
            "id": "0123456789abcdef0011223344556677", "client": "192.0.2.1", "peer": "192.0.2.1", "method": "GET",
            "host": "a.example", "target": "/x?y", "route": "r", "service": "s", "endpoint": "[2001:db8::1]:8000",
            "proto": "HTTP/1.1", "cf_ray": "8f1-FRA", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "user_agent": "curl/8", "outcome": "upstream_malformed:bad_chunk",
        ]
        for (key, value) in texts { #expect(object[key] as? String == value, "\(key)") }
        #expect(object["status"] as? Int == 502 && object["attempts"] as? Int == 2)
        #expect(object["bytes_in"] as? UInt64 == .max && object["bytes_out"] as? Int == 2)
        #expect(object["duration_ms"] as? Double == 1500 && object["upstream_ms"] as? Double == 12.345)
        #expect(object.count == texts.count + 6, "\(object.keys.sorted())")
    }

    @Test func theClientIsNotThePeerThatSpeaksForIt() throws {
        let peer = try #require(IPAddress("173.245.48.1"))
        let object = try object(try line(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), peer: peer))
        #expect(object["client"] as? String == "192.0.2.1" && object["peer"] as? String == "173.245.48.1")
    }

    @Test func aRayThatAStrangerNamesIsNotSaid() throws {
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\nCF-Ray: 8f1-FRA\r\n\r\n".utf8)
        #expect(try object(try line(request, isTrusted: false))["cf_ray"] == nil)
    }

    @Test func whatIsNotKnownIsNotSaid() throws {
        let object = try object(
            try line(Array("GET / HTTP/1.0\r\n\r\n".utf8), route: nil, service: nil) {
                $0.endpoint = NetworkAddress("192.0.2.7:80")
            })
        for key in ["cf_ray", "trace_id", "user_agent", "route", "service", "upstream_ms"] {
            #expect(object[key] == nil, "\(key)")
        }
        #expect(object["proto"] as? String == "HTTP/1.0" && object["endpoint"] as? String == "192.0.2.7:80")
    }

    @Test func nothingThatAClientSendsBreaksTheLine() throws {
        var random = RandomSource(seed: 12)
        for round in 0..<300 {
            func noise(_ count: Int, _ isFit: (UInt8) -> Bool) -> [UInt8] {
                var bytes: [UInt8] = []
                while bytes.count < count {
                    let byte =
                        round % 3 == 0
                        ? [UInt8(ascii: "\""), UInt8(ascii: "\\"), 0xFF][random.below(3)]
                        : UInt8(truncatingIfNeeded: random.next())
                    if isFit(byte) { bytes.append(byte) } else if round % 3 == 0 { bytes.append(UInt8(ascii: "\\")) }
                }
                return bytes
            }
            let isValue = { (byte: UInt8) in byte == 9 || (byte >= 0x20 && byte != 0x7F) }
            let target = noise(random.below(3000)) { $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }
            let agent = noise(random.below(600), isValue)
            let ray = noise(random.below(100), isValue)
            let trace = noise(random.below(100), isValue)
            let request =
                Array("GET /".utf8) + target + Array(" HTTP/1.1\r\nHost: a\r\nUser-Agent: ".utf8) + agent
                + Array("\r\nCF-Ray: ".utf8) + ray + Array("\r\ntraceparent: ".utf8) + trace + Array("\r\n\r\n".utf8)
            let text = try line(request)
            #expect(text.count <= BufferPool.headCapacity + AccessRecord.prefixBytesMax)
            let object = try object(text)
            let shown = try #require(object["target"] as? String)
            let whole = String(decoding: Array("/".utf8) + target, as: UTF8.self)
            #expect(whole.hasPrefix(shown) && shown.utf8.count <= 1024 && (shown == whole || shown.utf8.count > 500))
            #expect(object["outcome"] as? String == "ok")
        }
    }

    @Test func controlBytesAndForeignOnesAreEscaped() throws {
        let request =
            Array("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: \"a\\b\"\tc".utf8) + [0xE9] + Array("d\r\n\r\n".utf8)
        let object = try object(try line(request, route: "a\"b\\c\n", service: "s"))
        #expect(object["user_agent"] as? String == "\"a\\b\"\tc\u{E9}d")
        #expect(object["route"] as? String == "a\"b\\c\n")
    }

    @Test func namesWithoutEndLeaveRoomForTheRest() throws {
        let long = String(repeating: "\"", count: 5000)
        let request =
            "GET /\(String(repeating: "\\", count: 3000)) HTTP/1.1\r\nHost: a\r\nUser-Agent: \(long.prefix(900))\r\n\r\n"
        let object = try object(try line(Array(request.utf8), route: long, service: long))
        #expect(object["outcome"] as? String == "ok" && object["route"] != nil && object["service"] != nil)
    }

    @Test func aBrokenRequestHasALineToo() throws {
        var record = ByteBuffer(capacity: BufferPool.headCapacity)
        AccessRecord.begin(&record, client: IPAddress("2001:db8::1")!, peer: IPAddress("2001:db8::1")!)
        AccessRecord.end(
            &record,
            AccessRecord.End(
                status: 400, bytesIn: 0, bytesOut: 0, duration: Instant.Span(nanoseconds: -5), upstream: nil,
                attempts: 0, outcome: .rejected(.badHost), endpoint: nil))
        var out = ByteBuffer(capacity: BufferPool.headCapacity)
        AccessRecord.prefix(0, WireText.id, to: &out)
        _ = out.append(from: record)
        let object = try object(out.bytes)
        #expect(object["peer"] as? String == "2001:db8::1" && object["outcome"] as? String == "rejected:bad_host")
        #expect(object["duration_ms"] as? Double == 0 && object["time"] as? String == "1970-01-01T00:00:00.000000Z")
    }

    @Test func linesAreHandedOverInWholeAndCountedWhereThereIsNoRoom() {
        let handed = Handed()
        var log = AccessLog { bytes in
            handed.take(bytes)
        }
        #expect(log.due == .never)
        var record = ByteBuffer(capacity: 4096)
        record.append(",\"x\":\"")
        for _ in 0..<900 { record.append(UInt8(ascii: "y")) }
        record.append("\"}\n")
        let start = Instant(nanoseconds: 1_000_000_000)
        for i in 0..<100 {
            log.write(record, id: WireText.id, wallMicroseconds: Int64(i), at: start + .milliseconds(Int64(i)))
            if i == 0 { #expect(log.due == start + .milliseconds(100)) }
        }
        log.flush()
        #expect(log.due == .never && log.dropped == 0)
        #expect(handed.lines == 100 && handed.pieces > 2 && handed.pieces < 8 && handed.endInLines)
        handed.hasRoom = false
        log.write(record, id: WireText.id, wallMicroseconds: 0, at: start)
        log.write(record, id: WireText.id, wallMicroseconds: 0, at: start)
        log.flush()
        log.flush()
        #expect(log.dropped == 2 && handed.lines == 100)
    }
}

/// Where lines go.
private final class Handed: Sendable {
    private let state = Mutex((pieces: 0, lines: 0, endInLines: true, hasRoom: true))

    func take(_ bytes: [UInt8]) -> Bool {
        state.withLock { state in
            guard state.hasRoom else { return false }
            state.pieces += 1
            state.lines += bytes.count { $0 == 10 }
            if bytes.last != 10 || bytes.first != UInt8(ascii: "{") { state.endInLines = false }
            return true
        }
    }

    var pieces: Int { state.withLock { $0.pieces } }
    var lines: Int { state.withLock { $0.lines } }
    var endInLines: Bool { state.withLock { $0.endInLines } }
    var hasRoom: Bool {
        get { state.withLock { $0.hasRoom } }
        set { state.withLock { $0.hasRoom = newValue } }
    }
}
