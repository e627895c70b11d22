import FoundationEssentials
import ProxyCore
import Testing

@testable import Discovery

@Suite struct RecordedAnswersTests {
    @Test("every recorded answer is read alike, whole, byte by byte and cut anywhere", arguments: Recording.all)
    func cuts(_ name: String) throws {
        let recording = try Recording(name)
        var cutter = Cutter()
        let whole = ReadAnswer(cutter.pieces(recording.response, .whole))
        #expect(whole.rejection == nil)
        // Two were cut short when they were recorded.
        let isCut = name == "stop/watch-at-sigkill" || name == "stop/list-on-idle-connection-after-sigterm"
        #expect(whole.isComplete == !isCut)
        if !recording.response.isEmpty {
            #expect(whole.heads.count == 1)
            let status = String(decoding: recording.response[9..<12], as: UTF8.self)
            #expect(whole.heads.first?.status == Int(status))
        }
        for _ in 0..<5 {
            for manner in Cutter.Manner.allCases {
                let cut = ReadAnswer(cutter.pieces(recording.response, manner))
                #expect(cut.heads == whole.heads, "seed \(Cutter.seed)")
                #expect(cut.body == whole.body, "seed \(Cutter.seed)")
                #expect(cut.isComplete == whole.isComplete, "seed \(Cutter.seed)")
                if manner == .single && recording.response.count > 20_000 { break }
            }
            if recording.response.count > 20_000 { break }
        }
    }

    @Test("the head tells when to ask again, and that a coding nobody asked for was used")
    func heads() throws {
        let throttled = ReadAnswer([try Recording("errors/429-list").response[...]])
        #expect(throttled.heads == [APIAnswer(status: 429, retryAfterSeconds: 1, closes: false)])
        let future = ReadAnswer([try Recording("errors/504-list-rv-in-the-future").response[...]])
        #expect(future.heads.first?.retryAfterSeconds == 1)
        let gzip = ReadAnswer([try Recording("large/list-gzip").response[...]])
        #expect(gzip.heads.first?.coding == "gzip")
        let plain = ReadAnswer([try Recording("large/list-small-gzip-asked").response[...]])
        #expect(plain.heads.first?.coding == nil)
    }

    @Test("three answers on one connection are told apart")
    func keepAlive() throws {
        let bytes = try ["1-list", "2-watch", "3-list"].map { try Recording("keepalive/" + $0).response }
        var reader = AnswerReader()
        let all = bytes.flatMap(\.self)
        var at = 0
        var heads = 0
        var ends: [Int] = []
        while at < all.count || ends.count < 3 {
            switch try reader.next(all.span, at: &at) {
            case .needMore:
                Issue.record("nothing is missing")
                return
            case .head: heads += 1
            case .body: break
            case .end: ends.append(at)
            }
        }
        #expect(heads == 3)
        #expect(ends == [bytes[0].count, bytes[0].count + bytes[1].count, all.count])
    }

    @Test(
        "what is no HTTP is refused",
        arguments: [
            "hello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nx: " + String(repeating: "y", count: 40_000),
        ])
    func garbage(_ text: String) {
        #expect(ReadAnswer([Array(text.utf8)[...]]).rejection != nil)
    }

    @Test("interim answers are passed over") func interim() {
        let text = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        let answer = ReadAnswer([Array(text.utf8)[...]])
        #expect(answer.heads.map(\.status) == [200])
        #expect(answer.body == Array("{}".utf8))
        #expect(answer.isComplete)
    }

    @Test("failures are read as the Status that they are, and plain text as none") func statuses() throws {
        func status(_ name: String) throws -> APIStatus? {
            APIStatus.read(ReadAnswer([try Recording(name).response[...]]).body)
        }
        #expect(try status("errors/401-bad-token")?.code == 401)
        #expect(try status("errors/403-no-rbac")?.message.contains("cannot list resource \"endpointslices\"") == true)
        #expect(try status("errors/404-unknown-path") == nil)
        #expect(try status("errors/429-list") == nil)
        let gone = try status("errors/410-continue-page2-after-compaction")
        #expect(gone?.code == 410 && gone?.reason == "Expired" && gone?.continueToken?.isEmpty == false)
        let future = try status("errors/504-list-rv-in-the-future")
        #expect(future?.causes == ["ResourceVersionTooLarge"] && future?.retryAfterSeconds == 1)
    }
}
