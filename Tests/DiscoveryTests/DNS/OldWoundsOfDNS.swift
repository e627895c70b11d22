// Famous holes of other proxies in what DNS tells: see Tests/CVE.md.

import ProxyCore
import Testing

@testable import Discovery

@Suite struct OldWoundsOfDNS {
    @Test("CVE-2026-28753 (nginx): a name with CR LF in it ends no line, and is no name to ask or to dial")
    func lineEndsInNames() throws {
        let label = Array("a\r\nX-Evil: 1".utf8)
        let name = [UInt8(label.count)] + label + [0]
        // A CNAME that leads from `a` to that name.
        let owner: [UInt8] = [1, UInt8(ascii: "a"), 0]
        let header: [UInt8] = [0, 1, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0]
        let question = owner + [0, 1, 0, 1]
        let answer: [UInt8] = owner + [0, 5, 0, 1, 0, 0, 0, 60, 0, UInt8(name.count)] + name
        let message = try Message(header + question + answer)
        guard case .alias(let target)? = message.answers.first?.data else {
            Issue.record("no alias: \(message)")
            return
        }
        #expect(target.description.utf8.allSatisfy { (0x21...0x7E).contains($0) })
        #expect(!target.description.contains("\r") && !target.description.contains("\n"))
        #expect(DomainName(target.description) == nil, "it can be configured")
    }
}
