// How long is a session ticket good? The connections of one worker, whose keys a test changes, and openssl's client.

import Foundation
import TestTools
import Testing

@testable import ProxyCore

@Suite struct TicketTests {
    /// What openssl says while the rig serves it once.
    private func visit(_ rig: inout Rig, _ arguments: [String], in folder: URL) throws -> String {
        let output = folder.appending(path: UUID().uuidString)
        let question = folder.appending(path: "question")
        try Data("GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n".utf8).write(to: question)
        let input = try FileHandle(forReadingFrom: question)
        let command = ["openssl", "s_client", "-connect", "\(rig.front.address)", "-ign_eof"] + arguments
        let pid = try spawn(command, input: input.fileDescriptor, output: output.path)
        try input.close()
        let status = ChildStatus()
        let deadline = ContinuousClock.now + .seconds(20)
        while status.value(of: pid) == nil {
            if deadline < .now { kill(pid, SIGKILL) }
            if case .connection(let socket, let peer) = rig.front.socket.accept() {
                let site = rig.connections.site(of: "s") ?? -1
                rig.connections.accepted(socket, from: peer, listener: .none, site: site)
            }
            rig.turn()
            usleep(500)  // The rig is turned by hand, and nothing tells it when.
        }
        return try String(contentsOf: output, encoding: .utf8)
    }

    @Test(arguments: ["-tls1_2", "-tls1_3"])
    func aTicketIsGoodForAsLongAsItsKeyIsKept(version: String) throws {
        let authority = try CertificateAuthority(name: "test authority")
        let identity = try authority.issue(.server, name: "s", dnsNames: ["s.test"])
        let folder = FileManager.default.temporaryDirectory.appending(path: "tickets-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let terms = try TLSTerms(TLSTermsSpec(identities: [identity]))
        var rig = try Rig(Snapshot())
        let keys = (0..<4).map { _ in TicketKey.random() }
        func provide(_ keys: [TicketKey]) {
            rig.connections.adopt(TLSProvision(terms: ["s": terms], ticketKeys: keys))
        }
        let first = folder.appending(path: "first").path
        let second = folder.appending(path: "second").path
        provide([keys[0]])
        let begun = try visit(&rig, [version, "-sess_out", first], in: folder)
        #expect(begun.contains("New, TLS") && begun.contains("404"), "\(begun)")
        // Another key seals now; the one before still opens, and what comes back is sealed with the new one.
        provide([keys[1], keys[0]])
        let again = try visit(&rig, [version, "-sess_in", first, "-sess_out", second], in: folder)
        #expect(again.contains("Reused, TLS"), "\(again)")
        provide([keys[2], keys[1]])
        let late = try visit(&rig, [version, "-sess_in", first], in: folder)
        #expect(late.contains("New, TLS") && late.contains("404"), "\(late)")
        // Of a session that went on openssl's client keeps a new ticket in TLS 1.3 alone.
        let kept = version == "-tls1_3" ? second : first
        if version == "-tls1_3" {
            let newer = try visit(&rig, [version, "-sess_in", kept], in: folder)
            #expect(newer.contains("Reused, TLS"), "\(newer)")
        }
        // Without a key there is no ticket, and TLS all the same.
        provide([])
        let none = try visit(&rig, [version, "-sess_in", kept], in: folder)
        #expect(none.contains("New, TLS") && none.contains("404"), "\(none)")
    }
}
