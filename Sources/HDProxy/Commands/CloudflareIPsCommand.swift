// `hdproxy cloudflare-ips [--check FILE]`

import ProxyCore

extension Command {
    static let cloudflareIPs = Command(
        name: "cloudflare-ips", summary: "print the ranges that \"cloudflare\" in trustedProxies stands for",
        synopsis: "[--check FILE]",
        details: """
            With --check nothing is printed where FILE names the same ranges, in whatever order;
            else one line for each difference:
              + RANGE   only FILE has it: it can be trusted by writing it into trustedProxies
              - RANGE   only this version has it

            FILE has one range a line, as Cloudflare publishes them; `-` is standard input:
              for v in 4 6; do curl -fsS https://www.cloudflare.com/ips-v$v; echo; done |
                hdproxy cloudflare-ips --check -

            Exit status: 0 when there is no difference, 1 when there is one, 2 when FILE cannot
            be read or is no such list.

            """,
        options: [Option(name: "--check", value: "FILE", help: "compare with the list in FILE")]
    ) { (arguments) throws(UsageError) in
        guard let file = try arguments.one("--check") else {
            return Reply(status: 0, output: CloudflareRanges.all.map { "\($0)\n" }.joined())
        }
        return compared(with: file)
    }

    /// Bytes that a list has at most.
    private static let listBytesMax = 1 << 20

    private static func compared(with file: String) -> Reply {
        let bytes: [UInt8]
        switch readFile(file == "-" ? "/dev/stdin" : file, bytesMax: listBytesMax) {
        case .failure(let refusal): return Reply(status: 2, errors: "hdproxy: \(file): \(refusal.text)\n")
        case .success(let read): bytes = read
        }
        let theirs: [AddressRange]
        do throws(CloudflareRanges.ListFault) {
            theirs = try CloudflareRanges.read(String(decoding: bytes, as: UTF8.self))
        } catch {
            let line = TerminalText.line(String(error.text.prefix(80)))
            return Reply(status: 2, errors: "hdproxy: \(file):\(error.line): `\(line)` is no range of addresses\n")
        }
        // What a failed download leaves is no news that Cloudflare has no addresses.
        if theirs.isEmpty { return Reply(status: 2, errors: "hdproxy: \(file): there is no range in it\n") }
        return Reply(comparing: theirs, with: CloudflareRanges.all)
    }
}

extension Reply {
    /// The differences between a list and ours, a line each.
    fileprivate init(comparing theirs: [AddressRange], with ours: [AddressRange]) {
        var seen: Set<AddressRange> = []
        let added = theirs.filter { !ours.contains($0) && seen.insert($0).inserted }
        let removed = ours.filter { !theirs.contains($0) }
        let lines = added.map { "+ \($0)\n" } + removed.map { "- \($0)\n" }
        self.init(status: lines.isEmpty ? 0 : 1, output: lines.joined())
    }
}
