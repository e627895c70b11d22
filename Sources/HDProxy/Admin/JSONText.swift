// JSON as it is written out: members in the order in which they are told, straight into bytes. A report may be large,
// and no tree of it is needed.

/// JSON that grows.
struct JSONText {
    /// What is written.
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// `bytes` with a line feed.
    var line: [UInt8] { bytes + [UInt8(ascii: "\n")] }

    // MARK: Values

    mutating func object(_ members: (inout JSONText) -> Void) { nest("{", members, "}") }

    mutating func array<Elements: Sequence>(_ elements: Elements, _ element: (inout JSONText, Elements.Element) -> Void)
    {
        nest("[", { text in for each in elements { element(&text, each) } }, "]")
    }

    mutating func value(_ text: String) { raw(JSON5Writer.quoted(text)) }

    mutating func value(_ number: Int) { raw(String(number)) }

    // MARK: Members

    mutating func member(_ name: String, _ text: String?) { member(name) { $0.optional(text) { $0.value($1) } } }

    mutating func member(_ name: String, _ number: Int) { member(name) { $0.value(number) } }

    mutating func member(_ name: String, _ bool: Bool) { member(name) { $0.raw(bool ? "true" : "false") } }

    /// A number with at most three digits behind its point.
    mutating func member(_ name: String, _ number: Double?) {
        member(name) { text in
            let isNumber = number.map { $0.isFinite && $0.magnitude < 1e15 } ?? false
            let rounded = isNumber ? ((number ?? 0) * 1000).rounded() / 1000 : 0
            text.raw(isNumber ? (rounded == rounded.rounded() ? String(Int(rounded)) : String(rounded)) : "null")
        }
    }

    mutating func member(_ name: String, _ texts: [String]) {
        member(name) { $0.array(texts) { $0.value($1) } }
    }

    mutating func member<Element>(
        _ name: String, _ elements: [Element], _ element: (inout JSONText, Element) -> Void
    ) {
        member(name) { $0.array(elements, element) }
    }

    /// What `write` writes, or null.
    mutating func member<Value>(_ name: String, _ value: Value?, _ write: (Value, inout JSONText) -> Void) {
        member(name) { $0.optional(value) { write($1, &$0) } }
    }

    mutating func member(_ name: String, _ value: (inout JSONText) -> Void) {
        raw(JSON5Writer.quoted(name))
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
        value(&self)
    }

    // MARK: Spelling

    /// Opens a list that is filled, and closed, later.
    mutating func open(_ bracket: Unicode.Scalar) {
        raw(String(bracket))
        needsComma = false
    }

    /// Closes what was opened.
    mutating func close(_ bracket: Unicode.Scalar) {
        needsComma = false
        raw(String(bracket))
    }

    /// Begins a member whose value is written next.
    mutating func name(_ name: String) { member(name) { _ in } }

    private mutating func optional<Value>(_ value: Value?, _ write: (inout JSONText, Value) -> Void) {
        if let value { write(&self, value) } else { raw("null") }
    }

    private mutating func nest(_ open: Unicode.Scalar, _ body: (inout JSONText) -> Void, _ close: Unicode.Scalar) {
        self.open(open)
        body(&self)
        self.close(close)
    }

    private mutating func raw(_ text: String) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        bytes.append(contentsOf: text.utf8)
        needsComma = true
    }
}
