// What may a terminal be sent? Colour where it is one, and never a control character that came from elsewhere.

import Glibc

/// Text for terminals.
enum TerminalText {
    /// How a piece of text looks.
    enum Style: String {
        case plain = ""
        case bold = "1"
        case dim = "2"
        case good = "32"
        case warning = "33"
        case bad = "1;31"
        case alarm = "1;97;41"
    }

    /// `text` in `style`, where `isColoured`.
    static func styled(_ text: String, _ style: Style, _ isColoured: Bool) -> String {
        isColoured && style != .plain && !text.isEmpty ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// Whether colours are wanted there: a terminal that has some, and no NO_COLOR.
    static func isColoured(descriptor: Int32) -> Bool {
        isatty(descriptor) == 1 && environment("NO_COLOR").isEmpty && environment("TERM") != "dumb"
    }

    /// `text` on one line, without control characters.
    static func line(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? " " : $0 }))
    }

    /// `text` without control characters but line feeds.
    static func lines(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) && $0 != "\n" ? " " : $0 }))
    }

    /// C0, DEL and C1: what a terminal acts upon; and what turns the direction of text.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || 0x7F...0x9F ~= scalar.value || 0x202A...0x202E ~= scalar.value
            || 0x2066...0x2069 ~= scalar.value
    }

    private static func environment(_ name: String) -> String {
        // Safety: a NUL-terminated copy of the name; the value is copied at once.
        unsafe getenv(name).map { unsafe String(cString: $0) } ?? ""
    }
}
