// `hdproxy status [--admin URL] [--json] [--watch]`

extension Command {
    static let status = Command(
        name: "status", summary: "show listeners, routes, services and endpoints of a running proxy (not yet)",
        synopsis: "[--admin URL] [--json] [--watch]",
        details: "Not supported yet: it asks the admin listener, which this version does not have.\n",
        options: [
            .admin, Option(name: "--json", help: "as JSON"), Option(name: "--watch", help: "again and again"),
        ]
    ) { (_) throws(UsageError) in
        throw "`status` is not supported yet: it asks the admin listener, which this version does not have"
    }
}
