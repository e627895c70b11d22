import Testing

@testable import HDProxy

/// The tree of `text` as plain JSON on one line, or the first problem as `LINE:COL path: wrong`.
private func read(_ bytes: [UInt8]) -> String {
    let (root, problems) = JSON5Reader.read(bytes)
    if let problem = problems.first {
        let (line, column) = LineIndex(bytes).position(of: problem.offset)
        return "\(line):\(column) \(problem.path): \(problem.wrong)"
    }
    guard let root else { return "neither a value nor a problem" }
    let lines = JSON5Writer.write(root.value).split(separator: "\n")
    return lines.map { $0.drop { $0 == " " } }.joined(separator: " ")
}

private func read(_ text: String) -> String { read(Array(text.utf8)) }

@Suite struct JSON5ReaderTests {
    @Test func whatJSON5AllowsIsRead() {
        let cases: [(text: String, json: String)] = [
            // Plain JSON.
            ("null", "null"), ("true", "true"), ("false", "false"), ("[]", "[]"), ("{}", "{}"), ("\"\"", "\"\""),
            ("{\"a\": [1, {\"b\": null}]}", "{ \"a\": [ 1, { \"b\": null } ] }"),
            // Objects: names without quotes, with single ones, with escapes and other scripts, a comma at the end.
            (
                "{a: 1, $b_2: 2, 'c d': 3, ünï: 4, \\u0061b: 5, null: 6, }",
                "{ \"a\": 1, \"$b_2\": 2, \"c d\": 3, \"ünï\": 4, \"ab\": 5, \"null\": 6 }"
            ),
            ("[1,2,]", "[ 1, 2 ]"),
            // Strings.
            ("'it\\'s \"so\"'", "\"it's \\\"so\\\"\""), ("\"'\"", "\"'\""),
            (
                "'\\b\\f\\n\\r\\t\\v\\0\\x41\\u00e4\\ud83d\\ude00\\q\\\\'",
                "\"\\u0008\\u000c\\n\\r\\t\\u000b\\u0000Aä😀q\\\\\""
            ),
            ("'one \\\ntwo \\\r\nthree\\\rfour\\\u{2028}five'", "\"one two threefourfive\""),
            ("'\u{2028}\t\\ä'", "\"\u{2028}\\tä\""),
            // Numbers keep their spelling.
            (
                "[0, -0, +1, 1.5, .5, 5., 1e3, 1E-3, 0xDeadBeef, -0x1, Infinity, -Infinity, +NaN]",
                "[ 0, -0, +1, 1.5, .5, 5., 1e3, 1E-3, 0xDeadBeef, -0x1, Infinity, -Infinity, +NaN ]"
            ),
            // White space and comments.
            (
                "\u{FEFF}// one\n/* two * / **/ {\u{A0}\u{3000}\u{B}\u{C}\u{2029}a /*x*/ : // y\r 1 } // end",
                "{ \"a\": 1 }"
            ),
        ]
        for (text, json) in cases { #expect(read(text) == json, "\(text)") }
    }

    @Test func whatIsWrongIsToldWithItsPlace() {
        let cases: [(text: String, problem: String)] = [
            ("", "1:1 : there is nothing in it"),
            (" // only this\n", "2:1 : there is nothing in it"),
            ("{} x", "1:4 : `x` after the end of the value"),
            ("{a: 1} {b: 2}", "1:8 : `{` after the end of the value"),
            ("{a 1}", "1:4 a: `1` after the key"),
            ("{a:}", "1:4 a: `}` where a value should be"),
            ("{a:", "1:4 a: the text ends where a value should be"),
            ("{a: 1 b: 2}", "1:7 : `b` after the value of \"a\""),
            ("{a: 1,, b: 2}", "1:7 : `,` where a key should be"),
            ("{1: 2}", "1:2 : `1` where a key should be"),
            ("{\n  x: {\n    y: [1, 2\n  }\n}", "4:3 x.y: `}` after element 2 of the list"),
            ("{\n  x: [", "2:6 x: the list that begins here is not closed"),
            ("{\n", "1:1 : the object that begins here is not closed"),
            ("{ a: 1", "1:1 : the object that begins here is not closed"),
            ("{a: yes}", "1:5 a: `yes` is not a value"),
            ("{a: 10s}", "1:5 a: this is not a number"),
            ("[,]", "1:2 [0]: `,` where a value should be"),
            ("[010]", "1:2 [0]: a number must not begin with 0"),
            ("[-]", "1:2 [0]: this is not a number"), ("[.]", "1:2 [0]: this is not a number"),
            ("[1e]", "1:2 [0]: this is not a number"), ("[0x]", "1:2 [0]: this is not a number"),
            ("[0xg]", "1:2 [0]: this is not a number"), ("[1.2.3]", "1:5 : `.` after element 1 of the list"),
            ("[--1]", "1:2 [0]: this is not a number"), ("[1_000]", "1:2 [0]: this is not a number"),
            ("'abc", "1:1 : the text is not closed"), ("'a\nb'", "1:1 : the text is not closed on its line"),
            ("'\\", "1:2 : the text ends in an escape"),
            ("'\\x4'", "1:2 : \\x without two hexadecimal digits"),
            ("'\\u12'", "1:2 : \\u without four hexadecimal digits"),
            ("'\\ud83d'", "1:2 : half of a surrogate pair"), ("'\\udc00\\ud83d'", "1:2 : half of a surrogate pair"),
            ("'\\1'", "1:2 : a digit cannot be escaped"), ("'\\01'", "1:2 : a digit cannot be escaped"),
            ("/* no end", "1:1 : the comment is not closed"), ("/", "1:1 : a slash that begins no comment"),
            ("{\\u0020: 1}", "1:2 : the escape stands for nothing that a name may hold"),
            ("{a: 1, 'a': 2}", "1:8 a: stands twice in the same object"),
            ("ä\u{1}", "1:1 : `ä` is not a value"),
            ("\u{1}", "1:1 : control character 0x01 where a value should be"),
            ("/*ä*/ {b: }", "1:11 b: `}` where a value should be"),
            (
                String(repeating: "[", count: 65),
                "1:65 \(String(repeating: "[0]", count: 64)): "
                    + "objects and lists stand in one another too deep"
            ),
        ]
        for (text, problem) in cases { #expect(read(text) == problem, "\(text)") }
    }

    @Test func bytesThatAreNoUTF8AreRefused() {
        let cases: [(bytes: [UInt8], offset: Int?)] = [
            ([0x27, 0xC3, 0xA4, 0x27], nil), ([0x27, 0xF4, 0x8F, 0xBF, 0xBF, 0x27], nil),
            ([0x27, 0x80, 0x27], 1), ([0x27, 0xC0, 0xAF, 0x27], 1), ([0x27, 0xE0, 0x80, 0x80, 0x27], 1),
            ([0x27, 0xED, 0xA0, 0x80, 0x27], 1), ([0x27, 0xF4, 0x90, 0x80, 0x80, 0x27], 1), ([0x27, 0xF5, 0x27], 1),
            ([0x27, 0xC3], 1), ([0x27, 0xE2, 0x82], 1), ([0x27, 0x41, 0xC3, 0x41], 2),
        ]
        for (bytes, offset) in cases { #expect(UTF8Check.firstInvalid(in: bytes) == offset, "\(bytes)") }
        #expect(read([0x27, 0xFF, 0x27]) == "1:2 : byte 0xff is not UTF-8 here")
        let large = [UInt8](repeating: 0x20, count: JSON5Reader.bytesMax + 1)
        #expect(read(large) == "1:1 : the text has 4194305 bytes")
    }

    @Test func numbersAreWholeOnlyWhereNothingIsLost() {
        let cases: [(text: String, value: Int?)] = [
            ("0", 0), ("-0", 0), ("+5", 5), ("0x10", 16), ("-0X10", -16), ("5.0", 5), ("1e3", 1000), ("1.5e1", 15),
            ("9223372036854775807", .max), ("-9223372036854775808", .min), ("9223372036854775808", nil),
            ("0xFFFFFFFFFFFFFFFFFF", nil), ("1.5", nil), (".5", nil), ("1e-3", nil), ("1e400", nil), ("1e17", nil),
            ("Infinity", nil), ("-Infinity", nil), ("NaN", nil),
        ]
        for (text, value) in cases { #expect(JSON5Value.integer(text) == value, "\(text)") }
    }

    @Test func aLineEndsWithEachOfTheThreeWays() {
        let lines = LineIndex(Array("a\nb\r\nc\rdä!".utf8))
        let cases = [(0, 1, 1), (1, 1, 2), (2, 2, 1), (5, 3, 1), (7, 4, 1), (10, 4, 3), (99, 4, 4)]
        for (offset, line, column) in cases { #expect(lines.position(of: offset) == (line, column), "\(offset)") }
    }
}
