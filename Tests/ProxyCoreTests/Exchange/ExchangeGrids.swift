// Every state of an exchange that can be reached, times every event: what is to be done, and what the state then is.
// States are reached by events alone, so the tables are also a list of what can happen.

import Testing

@testable import ProxyCore

/// An event as the tables name it.
struct ExchangeEvent: Sendable {
    var name: String
    var apply: @Sendable (inout Exchange) -> Action?

    private static let again = Exchange.NextTry()
    private static let noMore = Exchange.NextTry(hasEndpoint: false)

    static let all: [ExchangeEvent] = [
        ExchangeEvent(name: "attempt began") {
            $0.attemptBegan(); return nil
        },
        ExchangeEvent(name: "connected") { $0.connected() },
        ExchangeEvent(name: "connect failed, another is there") { $0.connectFailed(.refused, canTryAnother: true) },
        ExchangeEvent(name: "connect failed, no other is there") { $0.connectFailed(.timeout, canTryAnother: false) },
        ExchangeEvent(name: "endpoint left unsent") { $0.endpointLeft() },
        ExchangeEvent(name: "head 200") { $0.responseHeadArrived(status: 200) },
        ExchangeEvent(name: "head 100") { $0.responseHeadArrived(status: 100) },
        ExchangeEvent(name: "head 103") { $0.responseHeadArrived(status: 103) },
        ExchangeEvent(name: "head 101 asked for") { $0.responseHeadArrived(status: 101, offersUpgrade: true) },
        ExchangeEvent(name: "head 101 not asked for") { $0.responseHeadArrived(status: 101, offersUpgrade: false) },
        ExchangeEvent(name: "response ended") { $0.responseBodyEnded() },
        ExchangeEvent(name: "upstream closed, to repeat") { $0.upstreamClosed(wasSentTo: true, next: again) },
        ExchangeEvent(name: "upstream closed, no more") { $0.upstreamClosed(wasSentTo: true, next: noMore) },
        ExchangeEvent(name: "upstream malformed") { $0.upstreamMalformed(.badChunk, next: noMore) },
        ExchangeEvent(name: "malformed, to repeat") { $0.upstreamMalformed(.badChunk, next: again) },
        ExchangeEvent(name: "malformed, head unsent") { $0.upstreamMalformed(.badChunk, isUnsent: true, next: noMore) },
        ExchangeEvent(name: "ghost, to repeat") { $0.ghostAnswered(next: again) },
        ExchangeEvent(name: "ghost, no more") { $0.ghostAnswered(next: noMore) },
        ExchangeEvent(name: "try timed out, to repeat") { $0.tryTimedOut(next: again) },
        ExchangeEvent(name: "try timed out, no more") { $0.tryTimedOut(next: noMore) },
        ExchangeEvent(name: "request body began") {
            $0.requestBodyBegan(); return nil
        },
        ExchangeEvent(name: "request ended") {
            $0.requestBodyEnded(); return nil
        },
        ExchangeEvent(name: "request malformed") { $0.requestMalformed(.badChunk) },
        ExchangeEvent(name: "client ended") { $0.clientEnded() },
        ExchangeEvent(name: "client failed") { $0.clientFailed() },
        ExchangeEvent(name: "response timeout") { $0.failed(.responseTimeout) },
        ExchangeEvent(name: "body timeout") { $0.failed(.bodyTimeout) },
        ExchangeEvent(name: "client stalled") { $0.failed(.clientStalled) },
        ExchangeEvent(name: "drain over") { $0.failed(.drained) },
        ExchangeEvent(name: "redirected") { $0.failed(.redirected) },
        ExchangeEvent(name: "connection shall end") {
            $0.endsConnection(); return nil
        },
    ]

    static func named(_ name: String) throws -> ExchangeEvent {
        try #require(all.first { $0.name == name }, "no event \(name)")
    }
}

/// What a table says of one state.
struct ExchangeGrid: Sendable {
    /// Events that lead here from the beginning.
    var path: [String]
    var opening = Exchange.Opening()
    /// A line for each event: `event | action | request response [closes]`; `-` for a state that stays.
    var rows: String
}

/// The tables. `=` in the last column: nothing changes. `closes`: the client's connection cannot go on. `not yet`: the
/// state is another one, which is a bug that is known.
let exchangeGrids: [ExchangeGrid] = [
    // MARK: The body is still coming
    ExchangeGrid(
        path: [], opening: Exchange.Opening(hasBody: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | send                          | receiving awaiting
            connect failed, another is there  | connect                       | =
            connect failed, no other is there | answer connect_timeout        | abandoned answered closes
            endpoint left unsent              | connect                       | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | wait                          | =
            upstream closed, to repeat        | wait                          | =
            upstream closed, no more          | wait                          | =
            upstream malformed                | answer upstream_malformed     | abandoned answered closes
            malformed, head unsent            | answer upstream_malformed     | abandoned answered closes
            malformed, to repeat              | answer upstream_malformed     | abandoned answered closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | complete connecting
            request malformed                 | answer rejected               | abandoned answered closes
            client ended                      | abandon client_closed         | abandoned complete closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | answer timeout                | abandoned answered closes
            body timeout                      | answer body_timeout           | abandoned answered closes
            client stalled                    | abandon client_stalled        | abandoned complete closes
            drain over                        | abandon drained               | abandoned complete closes
            redirected                        | answer redirected             | abandoned answered closes
            connection shall end              | -                             | receiving connecting closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected"], opening: Exchange.Opening(hasBody: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | connect                       | receiving connecting
            head 200                          | relay head                    | receiving relaying closes
            head 100                          | relay interim                 | =
            head 103                          | relay interim                 | =
            head 101 asked for                | answer upstream_malformed     | abandoned answered closes
            head 101 not asked for            | answer upstream_malformed     | abandoned answered closes
            response ended                    | wait                          | =
            upstream closed, to repeat        | connect                       | receiving connecting
            upstream closed, no more          | answer upstream_reset         | abandoned answered closes
            upstream malformed                | answer upstream_malformed     | abandoned answered closes
            malformed, head unsent            | answer upstream_malformed     | abandoned answered closes
            malformed, to repeat              | connect                       | receiving connecting
            ghost, to repeat                  | connect                       | receiving connecting
            ghost, no more                    | answer ghost                  | abandoned answered closes
            try timed out, to repeat          | connect                       | receiving connecting
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | complete awaiting
            request malformed                 | answer rejected               | abandoned answered closes
            client ended                      | abandon client_closed         | abandoned complete closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | answer timeout                | abandoned answered closes
            body timeout                      | answer body_timeout           | abandoned answered closes
            client stalled                    | abandon client_stalled        | abandoned complete closes
            drain over                        | abandon drained               | abandoned complete closes
            redirected                        | answer redirected             | abandoned answered closes
            connection shall end              | -                             | receiving awaiting closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected", "head 200"], opening: Exchange.Opening(hasBody: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | wait                          | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | finish close                  | abandoned complete closes
            upstream closed, to repeat        | cut upstream_reset            | receiving complete closes
            upstream closed, no more          | cut upstream_reset            | receiving complete closes
            upstream malformed                | cut upstream_malformed        | abandoned complete closes
            malformed, head unsent            | answer upstream_malformed     | abandoned answered closes
            malformed, to repeat              | cut upstream_malformed        | abandoned complete closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | complete relaying closes
            request malformed                 | cut rejected                  | abandoned complete closes
            client ended                      | abandon client_closed         | abandoned complete closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | cut timeout                   | abandoned complete closes
            body timeout                      | cut body_timeout              | abandoned complete closes
            client stalled                    | cut client_stalled            | abandoned complete closes
            drain over                        | cut drained                   | abandoned complete closes
            redirected                        | cut redirected                | abandoned complete closes
            connection shall end              | -                             | =
            """),
    // MARK: All of the request is there
    ExchangeGrid(
        path: [],
        rows: """
            attempt began                     | -                             | =
            connected                         | send                          | complete awaiting
            connect failed, another is there  | connect                       | =
            connect failed, no other is there | answer connect_timeout        | complete answered
            endpoint left unsent              | connect                       | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | wait                          | =
            upstream closed, to repeat        | wait                          | =
            upstream closed, no more          | wait                          | =
            upstream malformed                | answer upstream_malformed     | complete answered
            malformed, head unsent            | answer upstream_malformed     | complete answered
            malformed, to repeat              | answer upstream_malformed     | complete answered
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | answer rejected               | complete answered closes
            client ended                      | wait                          | complete connecting closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | answer timeout                | complete answered
            body timeout                      | answer body_timeout           | complete answered closes
            client stalled                    | abandon client_stalled        | abandoned complete closes
            drain over                        | abandon drained               | abandoned complete closes
            redirected                        | answer redirected             | complete answered
            connection shall end              | -                             | complete connecting closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected"], opening: Exchange.Opening(asksUpgrade: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | connect                       | complete connecting
            head 200                          | relay head                    | complete relaying
            head 100                          | relay interim                 | =
            head 103                          | relay interim                 | =
            head 101 asked for                | open tunnel                   | complete tunnel closes
            head 101 not asked for            | answer upstream_malformed     | complete answered
            response ended                    | wait                          | =
            upstream closed, to repeat        | connect                       | complete connecting
            upstream closed, no more          | answer upstream_reset         | complete answered
            upstream malformed                | answer upstream_malformed     | complete answered
            malformed, head unsent            | answer upstream_malformed     | complete answered
            malformed, to repeat              | connect                       | complete connecting
            ghost, to repeat                  | connect                       | complete connecting
            ghost, no more                    | answer ghost                  | complete answered
            try timed out, to repeat          | connect                       | complete connecting
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | answer rejected               | complete answered closes
            client ended                      | wait                          | complete awaiting closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | answer timeout                | complete answered
            body timeout                      | answer body_timeout           | complete answered closes
            client stalled                    | abandon client_stalled        | abandoned complete closes
            drain over                        | abandon drained               | abandoned complete closes
            redirected                        | answer redirected             | complete answered
            connection shall end              | -                             | complete awaiting closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected", "head 200"],
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | wait                          | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | finish keep                   | complete complete
            upstream closed, to repeat        | cut upstream_reset            | complete complete closes
            upstream closed, no more          | cut upstream_reset            | complete complete closes
            upstream malformed                | cut upstream_malformed        | abandoned complete closes
            malformed, head unsent            | answer upstream_malformed     | complete answered
            malformed, to repeat              | cut upstream_malformed        | abandoned complete closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | cut rejected                  | abandoned complete closes
            client ended                      | wait                          | complete relaying closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | cut timeout                   | abandoned complete closes
            body timeout                      | cut body_timeout              | abandoned complete closes
            client stalled                    | cut client_stalled            | abandoned complete closes
            drain over                        | cut drained                   | abandoned complete closes
            redirected                        | cut redirected                | abandoned complete closes
            connection shall end              | -                             | complete relaying closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected", "head 101 asked for"], opening: Exchange.Opening(asksUpgrade: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | wait                          | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | finish close                  | complete complete closes
            upstream closed, to repeat        | finish close                  | complete complete closes
            upstream closed, no more          | finish close                  | complete complete closes
            upstream malformed                | abandon upstream_malformed    | complete complete closes
            malformed, head unsent            | abandon upstream_malformed    | complete complete closes
            malformed, to repeat              | abandon upstream_malformed    | complete complete closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | abandon rejected              | complete complete closes
            client ended                      | wait                          | =
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | abandon timeout               | complete complete closes
            body timeout                      | abandon body_timeout          | complete complete closes
            client stalled                    | abandon client_stalled        | complete complete closes
            drain over                        | abandon drained               | complete complete closes
            redirected                        | abandon redirected            | complete complete closes
            connection shall end              | -                             | =
            """),
    ExchangeGrid(
        path: ["response timeout"],
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | wait                          | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | finish keep                   | complete complete
            upstream closed, to repeat        | wait                          | =
            upstream closed, no more          | wait                          | =
            upstream malformed                | cut upstream_malformed        | abandoned complete closes
            malformed, head unsent            | cut upstream_malformed        | abandoned complete closes
            malformed, to repeat              | cut upstream_malformed        | abandoned complete closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | cut rejected                  | abandoned complete closes
            client ended                      | wait                          | complete answered closes
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | cut timeout                   | abandoned complete closes
            body timeout                      | cut body_timeout              | abandoned complete closes
            client stalled                    | cut client_stalled            | abandoned complete closes
            drain over                        | cut drained                   | abandoned complete closes
            redirected                        | cut redirected                | abandoned complete closes
            connection shall end              | -                             | complete answered closes
            """),
    ExchangeGrid(
        path: ["attempt began", "connected", "head 200", "response ended"],
        rows: over("complete complete")),
    // MARK: The rest of the request is not wanted
    ExchangeGrid(
        path: ["response timeout"], opening: Exchange.Opening(hasBody: true),
        rows: """
            attempt began                     | -                             | =
            connected                         | wait                          | =
            connect failed, another is there  | wait                          | =
            connect failed, no other is there | wait                          | =
            endpoint left unsent              | wait                          | =
            head 200                          | wait                          | =
            head 100                          | wait                          | =
            head 103                          | wait                          | =
            head 101 asked for                | wait                          | =
            head 101 not asked for            | wait                          | =
            response ended                    | finish close                  | abandoned complete closes
            upstream closed, to repeat        | wait                          | =
            upstream closed, no more          | wait                          | =
            upstream malformed                | cut upstream_malformed        | abandoned complete closes
            malformed, head unsent            | cut upstream_malformed        | abandoned complete closes
            malformed, to repeat              | cut upstream_malformed        | abandoned complete closes
            ghost, to repeat                  | wait                          | =
            ghost, no more                    | wait                          | =
            try timed out, to repeat          | wait                          | =
            try timed out, no more            | wait                          | =
            request body began                | -                             | =
            request ended                     | -                             | =
            request malformed                 | cut rejected                  | abandoned complete closes
            client ended                      | wait                          | =
            client failed                     | abandon client_closed         | abandoned complete closes
            response timeout                  | cut timeout                   | abandoned complete closes
            body timeout                      | cut body_timeout              | abandoned complete closes
            client stalled                    | cut client_stalled            | abandoned complete closes
            drain over                        | cut drained                   | abandoned complete closes
            redirected                        | cut redirected                | abandoned complete closes
            connection shall end              | -                             | =
            """),
    ExchangeGrid(path: ["client failed"], rows: over("abandoned complete closes")),
    ExchangeGrid(
        path: ["attempt began", "connected", "head 200", "upstream closed, to repeat"],
        opening: Exchange.Opening(hasBody: true),
        rows: over("receiving complete closes", ended: "complete complete closes")),
]

/// The rows of a state behind which nothing comes: whatever still happens, nothing is to be done.
private func over(_ state: String, ended: String = "=") -> String {
    let closes = state.hasSuffix("closes") ? "=" : state + " closes"
    return ExchangeEvent.all.map { event in
        switch event.name {
        case "attempt began", "request body began": "\(event.name) | - | ="
        case "request ended": "\(event.name) | - | \(ended)"
        case "connection shall end": "\(event.name) | - | \(closes)"
        case "client ended": "\(event.name) | wait | \(closes)"
        default: "\(event.name) | wait | ="
        }
    }.joined(separator: "\n")
}

extension Action {
    /// As the tables spell it.
    var spelled: String {
        switch self {
        case .wait: "wait"
        case .connect: "connect"
        case .sendRequest(let tellContinue): tellContinue ? "send, tell continue" : "send"
        case .relayInterim: "relay interim"
        case .dropInterim: "drop interim"
        case .relayHead: "relay head"
        case .openTunnel: "open tunnel"
        case .answer(let outcome): "answer \(outcome.word)"
        case .cut(let outcome): "cut \(outcome.word)"
        case .abandon(let outcome): "abandon \(outcome.word)"
        case .finish(let keepClient): keepClient ? "finish keep" : "finish close"
        }
    }
}

extension Exchange {
    /// As the tables spell it.
    var spelled: String { "\(request) \(response)" + (keepsClient ? "" : " closes") }
}
