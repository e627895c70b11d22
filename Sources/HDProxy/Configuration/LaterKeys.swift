// Which keys belong to the configuration but not to this version? They are refused, never ignored: a proxy that starts
// without the protection that its file asks for is worse than one that does not start. Their inner keys are known too,
// so that a misspelling shows up before the function arrives.

/// What may stand under a key whose function comes later.
indirect enum LaterKey: Sendable {
    /// A plain value.
    case value
    /// An object with these keys.
    case object([(String, LaterKey)])
    /// A list of such.
    case list(LaterKey)

    static let tracing = LaterKey.object([("endpoint", .value), ("tokenFile", .value), ("sample", .value)])

    static let middlewares = LaterKey.list(.object([("basicAuth", .object([("usersFile", .value)]))]))
}
