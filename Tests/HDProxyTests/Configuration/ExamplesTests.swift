import Glibc
import Testing

@testable import HDProxy

/// The files in `Config`, loaded as a user would load them, and then damaged.
@Suite struct ExamplesTests {
    static let folder = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined() + "/Config"

    @Test(arguments: ["demo.json5", "edge.json5"]) func everyExampleIsValidAndPrintsWhatItMeans(name: String) throws {
        let settings = try loadConfiguration(path: Self.folder + "/" + name).get()
        #expect(!settings.routes.isEmpty)
        #expect(try SettingsReader.read(Array(settings.text.utf8), file: name).get() == settings)
    }

    @Test func theDemoServesWhatItPromises() throws {
        let settings = try loadConfiguration(path: Self.folder + "/demo.json5").get()
        #expect(settings.listeners.map(\.address.description) == ["127.0.0.1:8080"])
        #expect(
            settings.services.map { "\($0.name): \($0.endpoints)" } == [
                "api: [127.0.0.1:18001, 127.0.0.1:18002, 127.0.0.1:18003]", "admin: [127.0.0.1:18004]",
            ])
        #expect(
            settings.routes.map(\.host.description) == ["api.myhoneydue.com", "admin.myhoneydue.com", "myhoneydue.com"])
    }

    /// Whatever bytes come, the answer is settings or problems with a place in the text.
    @Test(arguments: UInt64(1)...4) func noBytesTrap(seed: UInt64) throws {
        var random = Xorshift(state: seed &* 0x9E37_79B9_7F4A_7C15)
        let examples = try ["demo.json5", "edge.json5"].map {
            try readFile(Self.folder + "/" + $0, bytesMax: 1 << 20).get()
        }
        let pieces = "{}[]:,'\"\\/*+-.0x1eEuN\n\r\t aä\u{2028}\u{1F600}".unicodeScalars.map { Array(String($0).utf8) }
        for round in 0..<300 {
            var bytes: [UInt8]
            if round % 3 == 0 {
                bytes = (0..<Int.random(in: 0...60, using: &random)).flatMap { _ in
                    pieces.randomElement(using: &random) ?? []
                }
            } else {
                bytes = examples[round % 2]
                for _ in 0..<Int.random(in: 1...4, using: &random) { damage(&bytes, &random) }
            }
            switch SettingsReader.read(bytes, file: "f") {
            case .success(let settings):
                let again = try? SettingsReader.read(Array(settings.text.utf8), file: "f").get()
                #expect(again == settings, "seed \(seed), round \(round)")
            case .failure(let problems):
                #expect(!problems.problems.isEmpty, "seed \(seed), round \(round)")
                let areOneLine = problems.lines.allSatisfy { !$0.utf8.contains { $0 < 0x20 || $0 == 0x7F } }
                #expect(areOneLine, "seed \(seed), round \(round): \(problems.lines)")
            }
        }
    }

    private func damage(_ bytes: inout [UInt8], _ random: inout Xorshift) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[at] = .random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...30, using: &random)))
        case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 20)], at: at)
        default: bytes.insert("{}[]:,'\"\\/*9-".utf8.randomElement(using: &random) ?? 0, at: at)
        }
        if bytes.isEmpty { bytes = [0] }
    }

    @Test func aFileThatCannotBeReadIsAProblem() {
        let cases = [("/nonexistent/x.json5", "No such file or directory"), ("/", "Is a directory")]
        for (path, reason) in cases {
            guard case .failure(let problems) = loadConfiguration(path: path) else {
                Issue.record("\(path) was read")
                continue
            }
            #expect(
                problems.lines == [
                    "\(path): configuration: the file cannot be read: \(reason); a readable file in JSON5"
                ])
        }
    }
}

/// A small generator that replays from its seed.
private struct Xorshift: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
