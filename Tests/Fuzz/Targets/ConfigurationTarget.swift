// Configuration files: whatever stands in one, there is an answer that points at a place in it, and settings that are
// printed are read as the same settings.

@testable import HDProxy
@testable import ProxyCore

enum ConfigurationTarget {
    static func check(_ bytes: [UInt8]) throws {
        let (root, problems) = try inProportion(to: bytes.count, "a JSON5 text") { JSON5Reader.read(bytes) }
        try expect(root != nil || !problems.isEmpty, "neither a value nor a problem")
        if problems.contains(where: { $0.offset < 0 || $0.offset > bytes.count }) {
            throw Finding("a problem elsewhere")
        }
        if let root, problems.isEmpty {
            let text = JSON5Writer.write(root.value)
            let (again, new) = JSON5Reader.read(Array(text.utf8))
            try expect(new.isEmpty, "what was written has problems: \(new)")
            try expect(again.map { plain($0.value) } == plain(root.value), "what was written reads otherwise: \(text)")
            try expect(text.utf8.count <= 80 * bytes.count + 1024, "\(bytes.count) bytes became \(text.utf8.count)")
        }
        try expectSettings(bytes, hasSyntax: root != nil && problems.isEmpty)
    }

    /// The value without the places where it stood.
    private static func plain(_ value: JSON5Value) -> JSON5Value {
        switch value {
        case .null, .bool, .number, .string: value
        case .array(let nodes): .array(nodes.map { JSON5Node(value: plain($0.value)) })
        case .object(let members):
            .object(members.map { JSON5Member(name: $0.name, node: JSON5Node(value: plain($0.node.value))) })
        }
    }

    private static func expectSettings(_ bytes: [UInt8], hasSyntax: Bool) throws {
        switch try inProportion(to: bytes.count, "a configuration", { SettingsReader.read(bytes, file: "f") }) {
        case .failure(let found):
            try expect(!found.problems.isEmpty, "refused without a reason")
            let lines = bytes.count { $0 == 10 || $0 == 13 } + 1
            for problem in found.problems {
                try expect((1...lines).contains(problem.line ?? 0), "line \(problem.line ?? 0) of \(lines)")
                try expect((1...(bytes.count + 1)).contains(problem.column ?? 0), "column \(problem.column ?? 0)")
                let line = problem.text(file: "f")
                let hasControls = line.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
                try expect(!hasControls, "a message with control characters: \(Array(line.utf8).escaped)")
            }
        case .success(let settings):
            try expect(hasSyntax, "settings out of a text that cannot be read")
            let text = settings.text
            guard case .success(let again) = SettingsReader.read(Array(text.utf8), file: "f") else {
                throw Finding("what was printed is refused: \(text)")
            }
            try expect(again == settings, "what was printed reads otherwise: \(text)")
            // Names and indices that do not fit one another would trap here.
            let snapshot = settings.snapshot(generation: 1)
            try expect(snapshot.routes.count == settings.routes.count, "a route was lost")
            _ = RouteTable(snapshot, seed: 1).match(host: "a".utf8Bytes.span, path: "/".utf8Bytes.span)
        }
    }
}

extension String {
    var utf8Bytes: [UInt8] { Array(utf8) }
}
