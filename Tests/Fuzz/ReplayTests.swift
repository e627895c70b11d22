// Does everything hold that once did not? Each kept input, each finding that lies about, and for a moment their mutations,
// in the ordinary build: cheap enough for every run of the tests. Looking for new ones is `make fuzz`.

import Foundation
import Testing

@Suite struct ReplayTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()

    @Test("every input of the corpus keeps the target's properties", arguments: FuzzTarget.allCases)
    func corpus(_ target: FuzzTarget) throws {
        let inputs = try CorpusFile.read(target, in: Self.folder.appending(path: "Corpus"))
        #expect(inputs.count >= 5, "the corpus of \(target.rawValue) is missing")
        for input in [[]] + inputs { replay(target, input) }
    }

    @Test("nothing that `make fuzz` found is left unmended")
    func findings() throws {
        let folder = Self.folder.appending(path: "Findings")
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [] {
            let longest = FuzzTarget.allCases.filter { name.hasPrefix($0.rawValue + "-") }
            guard let target = longest.max(by: { $0.rawValue.count < $1.rawValue.count }) else { continue }
            replay(target, Array(try Data(contentsOf: folder.appending(path: name))))
        }
    }

    @Test("inputs made from those of the corpus by chance keep them, too", arguments: FuzzTarget.allCases)
    func mutations(_ target: FuzzTarget) throws {
        let seed = UInt64.random(in: .min ... .max)
        var dice = Mutator(seed: seed)
        let inputs = try CorpusFile.read(target, in: Self.folder.appending(path: "Corpus"))
            .filter { $0.count <= 2048 }
        let end = ContinuousClock.now + .milliseconds(500)
        while ContinuousClock.now < end {
            let input = dice.mutate(inputs)
            do {
                try target.check(input)
            } catch {
                Issue.record("\(target.rawValue), seed \(seed): \(error)\n\(CorpusFile.line(input))")
                return
            }
        }
    }

    @Test("an input is written into a corpus as it is read from it")
    func lines() throws {
        var dice = Mutator(seed: 7)
        for _ in 0..<500 {
            let input = dice.mutate([Array("# a\\b\r\n\t\0".utf8), [0xFF, 0x20], [1]])
            if input.isEmpty { continue }
            #expect(try CorpusFile.inputs(CorpusFile.line(input)) == [input])
        }
    }

    private func replay(_ target: FuzzTarget, _ input: [UInt8]) {
        do {
            try target.check(input)
        } catch {
            Issue.record("\(target.rawValue): \(error)\n\(CorpusFile.line(input))")
        }
    }
}

/// Changes inputs by chance, the same way for the same seed.
private struct Mutator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// One of `inputs`, with a few bytes changed, removed, doubled, or taken from another one.
    mutating func mutate(_ inputs: [[UInt8]]) -> [UInt8] {
        var bytes = inputs.randomElement(using: &self) ?? []
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let at = Int.random(in: 0...bytes.count, using: &self)
            let count = min(bytes.count - at, Int.random(in: 0...12, using: &self))
            switch Int.random(in: 0..<6, using: &self) {
            case 0 where at < bytes.count: bytes[at] = UInt8.random(in: .min ... .max, using: &self)
            case 1 where at < bytes.count: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 2: bytes.removeSubrange(at..<(at + count))
            case 3: bytes.insert(contentsOf: bytes[at..<(at + count)], at: at)
            case 4: bytes.insert("\r\n\0 :;,/%.0".utf8.randomElement(using: &self)!, at: at)
            default:
                let other = inputs.randomElement(using: &self) ?? []
                let from = Int.random(in: 0...other.count, using: &self)
                bytes.insert(contentsOf: other[from..<min(other.count, from + count)], at: at)
            }
        }
        return bytes
    }
}
