import Foundation
import Testing

@testable import HDProxy

/// `hdproxy cloudflare-ips`, as a script would call it.
@Suite struct CloudflareIPsTests {
    private static let file = ExamplesTests.folder + "/cloudflare-ips.txt"

    private func check(_ text: String) throws -> Reply {
        let file = FileManager.default.temporaryDirectory.appending(path: "ips-\(UUID().uuidString)")
        try text.write(to: file, atomically: false, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        var reply = reply(to: ["cloudflare-ips", "--check", file.path])
        reply.errors = reply.errors.replacing(file.path, with: "FILE")
        return reply
    }

    @Test func theListIsPrintedOneRangeALine() throws {
        let reply = reply(to: ["cloudflare-ips"])
        #expect(reply.status == 0 && reply.errors.isEmpty)
        let lines = reply.output.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(
            lines.count == 23 && lines.first == "173.245.48.0/20" && lines[21] == "2c0f:f248::/32" && lines[22].isEmpty)
    }

    @Test func theSameListInAnyOrderAndDressIsNoDifference() throws {
        #expect(reply(to: ["cloudflare-ips", "--check", Self.file]) == Reply(status: 0))
        let reversed = CloudflareRanges.texts.reversed()
        #expect(try check(reversed.joined(separator: "\n")) == Reply(status: 0), "no line end at the end")
        #expect(try check(reversed.joined(separator: " # comment\r\n\r\n") + "\r\n") == Reply(status: 0))
    }

    @Test func eachDifferenceIsALine() throws {
        let changed = CloudflareRanges.texts.dropFirst() + ["192.0.2.0/24", "2001:db8::/32", "192.0.2.0/24"]
        let output = "+ 192.0.2.0/24\n+ 2001:db8::/32\n- 173.245.48.0/20\n"
        #expect(try check(changed.joined(separator: "\n")) == Reply(status: 1, output: output))
    }

    @Test func whatIsNoListIsTroubleAndNoDifference() throws {
        let cases = [
            ("", "hdproxy: FILE: there is no range in it\n"),
            ("# nothing\n", "hdproxy: FILE: there is no range in it\n"),
            ("<html>\n", "hdproxy: FILE:1: `<html>` is no range of addresses\n"),
            ("10.0.0.0/8\n104.16.0.0/12 x\n", "hdproxy: FILE:2: `104.16.0.0/12 x` is no range of addresses\n"),
            // Two lists without a line end between them.
            (
                "131.0.72.0/222400:cb00::/32",
                "hdproxy: FILE:1: `131.0.72.0/222400:cb00::/32` is no range of addresses\n"
            ),
            ("10.1.0.0/8\n", "hdproxy: FILE:1: `10.1.0.0/8` is no range of addresses\n"),
            ("\u{1B}[2J\n", "hdproxy: FILE:1: ` [2J` is no range of addresses\n"),
        ]
        for (text, errors) in cases { #expect(try check(text) == Reply(status: 2, errors: errors), "\(text)") }
        #expect(
            reply(to: ["cloudflare-ips", "--check", "/nonexistent"])
                == Reply(status: 2, errors: "hdproxy: /nonexistent: No such file or directory\n"))
        #expect(reply(to: ["cloudflare-ips", "x"]).status == 2)
    }
}
