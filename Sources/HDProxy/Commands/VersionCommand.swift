// `hdproxy version`

import ProxyCore

/// The version of this program.
let hdproxyVersion = "0.1.0"

extension Command {
    static let version = Command(
        name: "version", summary: "tell the version of the program and of what it is built with", synopsis: "",
        details: "Also as `hdproxy --version`.\n"
    ) { _ in
        Reply(status: 0, output: "hdproxy \(hdproxyVersion)\nSwift \(swiftVersion)\n\(opensslVersion())\n")
    }
}

/// The compiler's version, as far as a program can know it.
private var swiftVersion: String {
    #if compiler(>=6.4)
        "6.4 or later"
    #elseif compiler(>=6.3)
        "6.3"
    #else
        "6.2"
    #endif
}
