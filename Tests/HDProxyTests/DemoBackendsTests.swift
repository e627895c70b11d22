// The demo backends over real sockets: what they answer, that they frame it rightly, and that no client hurts another.

import Glibc
import ProxyCore
import Testing

@testable import HDProxy

@Suite struct DemoBackendsTests {
    /// A whole conversation: what is sent, how the answer begins, what else it holds, how it ends.
    struct Case: CustomTestStringConvertible {
        let rule: String
        let request: String
        let status: String
        var holds: [String] = []
        var ends = ""
        var testDescription: String { rule }
    }

    static let cases = [
        Case(
            rule: "a request is told back line by line",
            request: "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nX-One:  2 \r\nConnection: close\r\n\r\n",
            status: "200",
            holds: ["X-Backend: api-1\r\n", "api-1 received:\n\nGET /a?b=c HTTP/1.1\nHost: x\nX-One: 1\nX-One: 2\n"],
            ends: "\nbody: 0 bytes\n"),
        Case(
            rule: "it is told back as JSON to who prefers that",
            request: "GET / HTTP/1.0\r\nAccept: application/json, */*;q=0.5\r\nX: a\"\u{e9}\r\n\r\n",
            status: "200",
            holds: [
                "Content-Type: application/json\r\n", #"["X","a\"\u00c3\u00a9"]]"#,
                #""backend":"api-1","method":"GET""#,
            ],
            ends: "\"bodyBytes\":0}\n"),
        Case(
            rule: "text stays text where JSON weighs less",
            request: "GET / HTTP/1.0\r\nAccept: application/json;q=0.3, text/plain\r\n\r\n",
            status: "200", holds: ["Content-Type: text/plain"]),
        Case(
            rule: "a body of known length is counted",
            request: "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
            status: "200", ends: "body: 5 bytes\n"),
        Case(
            rule: "a body in chunks is counted, extensions and trailers aside",
            request: "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5;a=b\r\nhello\r\n0a\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
            status: "200", ends: "body: 15 bytes\n"),
        Case(
            rule: "HEAD gets the head alone", request: "HEAD / HTTP/1.0\r\n\r\n", status: "200",
            holds: ["Content-Length: 48\r\n"], ends: "Connection: close\r\n\r\n"),
        Case(
            rule: "a stream to HTTP/1.0 ends with the connection", request: "GET /stream/130 HTTP/1.0\r\n\r\n",
            status: "200", ends: ".\n01"),
        Case(
            rule: "a stream to HTTP/1.1 comes in chunks",
            request: "GET /stream/65 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            status: "200", holds: ["Transfer-Encoding: chunked\r\n"], ends: ".\n0\r\n0\r\n\r\n"),
        Case(
            rule: "an empty stream is one last chunk",
            request: "GET /stream/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            status: "200", ends: "\r\n\r\n0\r\n\r\n"),
        Case(rule: "a stream needs a number", request: "GET /stream/ten HTTP/1.0\r\n\r\n", status: "400"),
        Case(
            rule: "a number too large is refused", request: "GET /stream/99999999999999999999 HTTP/1.0\r\n\r\n",
            status: "400"),
        Case(
            rule: "a status is given on demand", request: "GET /status/503 HTTP/1.0\r\n\r\n", status: "503",
            ends: "answers 503\n"),
        Case(
            rule: "204 has no body", request: "GET /status/204 HTTP/1.0\r\n\r\n", status: "204", ends: "close\r\n\r\n"),
        Case(
            rule: "304 has no body", request: "GET /status/304 HTTP/1.0\r\n\r\n", status: "304", ends: "close\r\n\r\n"),
        Case(
            rule: "205 has an empty body", request: "GET /status/205 HTTP/1.0\r\n\r\n", status: "205",
            holds: ["Content-Length: 0\r\n"]),
        Case(
            rule: "an interim status comes before a 200",
            request: "GET /status/103 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            status: "103", holds: ["\r\n\r\nHTTP/1.1 200 OK\r\n"], ends: "interim 103 before this\n"),
        Case(rule: "HTTP/1.0 gets no interim status", request: "GET /status/103 HTTP/1.0\r\n\r\n", status: "200"),
        Case(rule: "101 is for WebSockets", request: "GET /status/101 HTTP/1.0\r\n\r\n", status: "400"),
        Case(
            rule: "sleep answers afterwards", request: "GET /sleep/1 HTTP/1.0\r\n\r\n", status: "200",
            ends: "slept for 1 ms\n"),
        Case(
            rule: "/ws without a handshake says how", request: "GET /ws HTTP/1.0\r\n\r\n", status: "426",
            holds: ["Upgrade: websocket"]),
        Case(
            rule: "the absolute form is understood",
            request: "GET http://x/status/500 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", status: "500"),
        Case(
            rule: "who expects 100-continue gets it",
            request:
                "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
            status: "100", ends: "body: 1 bytes\n"),
        Case(rule: "a request needs a Host", request: "GET / HTTP/1.1\r\n\r\n", status: "400"),
        Case(rule: "and one only", request: "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", status: "400"),
        Case(rule: "noise is refused", request: "\u{16}\u{3}\u{1}\r\n\r\n", status: "400"),
        Case(rule: "a bare LF is refused", request: "GET / HTTP/1.1\nHost: x\n\n", status: "400"),
        Case(rule: "another version is refused", request: "GET / HTTP/2.0\r\nHost: x\r\n\r\n", status: "505"),
        Case(
            rule: "two framings are refused",
            request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            status: "400"),
        Case(
            rule: "an odd length is refused", request: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
            status: "400"),
        Case(
            rule: "an unknown coding is refused",
            request: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", status: "501"),
        Case(
            rule: "a chunk size beyond all measure is refused",
            request: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            status: "400"),
        Case(
            rule: "a chunk without its end is refused",
            request: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", status: "400"),
        Case(rule: "a folded line is refused", request: "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", status: "400"),
        Case(
            rule: "an endless head is refused",
            request: "GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 300_000), status: "431"),
    ]

    @Test("each rule of the backends holds whole and byte by byte") func conversations() throws {
        try withDemoBackends { backends in
            for entry in Self.cases {
                for isWhole in [true, false] where isWhole || entry.request.utf8.count < 1000 {
                    let client = DemoClient(backends.apiAddresses[0])
                    let bytes = Array(entry.request.utf8)
                    if isWhole { client.send(bytes) } else { for byte in bytes { client.send([byte]) } }
                    let answer = String(decoding: client.readToEnd(), as: UTF8.self)
                    #expect(answer.hasPrefix("HTTP/1.1 \(entry.status) "), "\(entry.rule): \(answer)")
                    for part in entry.holds { #expect(answer.contains(part), "\(entry.rule): \(answer)") }
                    #expect(
                        answer.utf8.suffix(entry.ends.utf8.count).elementsEqual(entry.ends.utf8),
                        "\(entry.rule): \(answer)")
                }
            }
        }
    }

    @Test("each backend says its own name, and requests in a row are answered in order") func pipelining() throws {
        try withDemoBackends { backends in
            let all = [("api-1", 0), ("api-2", 1), ("api-3", 2)].map { ($0.0, backends.apiAddresses[$0.1]) }
            for (name, address) in all + [("admin-1", backends.adminAddress)] {
                let client = DemoClient(address)
                client.send(
                    "GET /first HTTP/1.1\r\nHost: x\r\n\r\nPOST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                        + "\r\nHEAD /status/404 HTTP/1.1\r\nHost: x\r\n\r\nGET /third HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(client.readAnswer().body.hasPrefix("\(name) received:\n\nGET /first "))
                #expect(client.readAnswer().body.hasSuffix("body: 3 bytes\n"))
                let head = client.readHead()
                #expect(head.hasPrefix("HTTP/1.1 404 "))
                #expect(client.readAnswer().body.contains("GET /third "))
            }
        }
    }

    @Test("a stream is exactly as long as asked for", arguments: [65_535, 65_536, 65_537, 3_000_000])
    func streaming(count: Int) throws {
        try withDemoBackends { backends in
            let client = DemoClient(backends.apiAddresses[1])
            client.send("GET /stream/\(count) HTTP/1.0\r\n\r\n")
            let bytes = client.readToEnd()
            let end = try #require(bytes.indices.first { bytes[$0...].starts(with: [13, 10, 13, 10]) })
            #expect(bytes.count - end - 4 == count)
        }
    }

    @Test("echo gives each piece back before the next one is sent, in either framing") func echo() throws {
        try withDemoBackends { backends in
            let client = DemoClient(backends.adminAddress)
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 6\r\n\r\n")
            let head = "Content-Type: a/b\r\nContent-Length: 6\r\n\r\n"
            #expect(client.readHead().hasSuffix(head))
            for piece in ["one", "two"] {
                client.send(piece)
                #expect(client.read(3) == Array(piece.utf8))
            }
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            #expect(client.readHead().contains("Transfer-Encoding: chunked\r\n"))
            for piece in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
                client.send(piece)
                #expect(client.read(piece.utf8.count) == Array(piece.utf8))
            }
            // What was promised cannot be taken back: a broken body ends the connection without a second status line.
            client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
            _ = client.readHead()
            #expect(client.readToEnd().isEmpty)
        }
    }

    @Test("a client that waits, stalls or leaves delays nobody, and stop ends them all") func independence() throws {
        let any = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
        let backends = try DemoBackends.start(api: [any], admin: any)
        let address = backends.apiAddresses[0]
        let waiting = DemoClient(address)
        waiting.send("GET /sleep/600000 HTTP/1.1\r\nHost: x\r\n\r\n")
        let stalled = DemoClient(address)
        stalled.send("GET /stream/1000000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        let half = DemoClient(address)
        half.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        for _ in 0..<200 {
            let client = DemoClient(address)
            client.send("GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        }
        let client = DemoClient(address)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(client.readAnswer().body.hasPrefix("api-1 received:"))
        backends.stop()
        #expect(half.readToEnd().isEmpty)
        #expect(client.readToEnd().isEmpty)
        // Every descriptor is given back: the same port can be had again at once.
        let again = try DemoBackends.start(api: [address], admin: any)
        again.stop()
    }

    @Test("an address that is taken is named, and nothing is left running") func takenAddress() throws {
        try withDemoBackends { backends in
            let any = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 0)
            let taken = backends.apiAddresses[2]
            let error = #expect(throws: DemoStartError.self) {
                try DemoBackends.start(api: [any, taken], admin: any)
            }
            #expect(error?.description.hasPrefix("cannot start a demo backend on \(taken): ") == true)
        }
    }

    @Test("the configuration inside the program is Config/demo.json5, and names the demo's ports") func configuration()
        throws
    {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        // Safety: the path is a Swift string, NUL-terminated for the call.
        let file = unsafe open("/\(root)/Config/demo.json5", O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        // Safety: the kernel writes at most `count` bytes into the array.
        let count = unsafe read(file, &bytes, bytes.count)
        try #require(count > 0)
        #expect(String(decoding: bytes[..<count], as: UTF8.self) == demoConfiguration)
        for port in demoAPIPorts + [demoAdminPort] { #expect(demoConfiguration.contains("\"127.0.0.1:\(port)\"")) }
    }
}
