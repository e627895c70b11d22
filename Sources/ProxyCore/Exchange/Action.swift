// What is to be done now? What `Exchange` answers to an event; a wet room carries it out.

/// What an event asks for.
public enum Action: Equatable, Sendable {
    /// Nothing: something else has to happen first.
    case wait
    /// Connect to an endpoint that was not tried yet.
    case connect
    /// Send the request; first tell the client to go on with its body where it waits for that.
    case sendRequest(tellContinue: Bool)
    /// Relay the interim head and go on waiting.
    case relayInterim
    /// Drop the interim head and go on waiting.
    case dropInterim
    /// Relay the head, then the body.
    case relayHead
    /// Relay the head, then bytes both ways.
    case openTunnel
    /// Nothing went out yet: answer ourselves. The upstream connection, if any, is not used again.
    case answer(Outcome)
    /// Part of the response went out: end the client's connection so that it sees the response is cut.
    case cut(Outcome)
    /// Nobody is left to answer: end both connections.
    case abandon(Outcome)
    /// Both messages are over. Keep the client's connection, or close it.
    case finish(keepClient: Bool)
}
