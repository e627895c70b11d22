// What happens to the objects of one resource in one namespace? List, then watch, for ever, over whatever goes wrong.
// The decisions are ``WatchProgress``'s; here they are carried out.

import FoundationEssentials
import ProxyCore

/// Follows one resource in one namespace.
@ControlThread
final class Watch<Object: ClusterObject> {
    /// How it asks.
    struct Manner: Sendable {
        /// For how long a watch is asked, by chance.
        var seconds = 300...600
        /// How much longer it may live.
        var grace = Duration.seconds(15)
        /// After so much silence a second connection asks whether the server is there and knows what we know.
        var quiet = Duration.seconds(20)
        /// Objects of one page.
        var pageLimit = 500
        /// Pages of one list: as many objects as no cluster has.
        var pagesMax = 2000
        /// Whether lists are asked as the beginning of a watch (`sendInitialEvents`). Off: a list is one answer with a
        /// certain end, while the end of initial events hangs on a bookmark that a server may never send.
        var prefersWatchList = false
        /// How long initial events may pause before such a server is not trusted with them.
        var initialSilence = Duration.seconds(5)
    }

    /// Why it stopped.
    enum Ending: Equatable {
        /// Its task was cancelled.
        case cancelled
        /// The server does not have this resource.
        case notServed
        /// A watch came to its end, or the server does not give us this resource, and that is how long it was to go.
        case onceOver
    }

    private let resource: APIResource
    private let namespace: String
    private let manner: Manner
    private let client: APIClient
    /// Asks whether the server is there while the watch is silent; nil where others do so.
    private let prober: APIClient?
    private let reports: WatchReports<Object>

    private var progress = WatchProgress()
    private var decoder = JSONDecoder()
    private var mayWatchList: Bool
    /// What a probe found that ends the watch.
    private var found: APIFailure?
    private var probe: Task<Void, Never>?

    init(
        _ resource: APIResource, in namespace: String, _ client: APIClient, probing prober: APIClient? = nil,
        manner: Manner = Manner(), _ reports: WatchReports<Object>
    ) {
        self.resource = resource
        self.namespace = namespace
        self.client = client
        self.prober = prober
        self.manner = manner
        self.reports = reports
        mayWatchList = manner.prefersWatchList
    }

    /// Lists and watches until the task is cancelled, the server turns out not to have the resource, or, with `once`,
    /// one watch has come to its end or the resource is not given to us.
    func run(once: Bool = false) async -> Ending {
        defer { probe?.cancel() }
        while !Task.isCancelled {
            do throws(APIFailure) {
                switch progress.step {
                case .list(let version): try await mayWatchList ? watchList(version) : list(version)
                case .watch(let version):
                    try await watch(version)
                    if once { return .onceOver }
                }
            } catch {
                if error.reason == .cancelled { break }
                let isFirst = progress.version.isEmpty
                if isFirst, resource == .endpointSlices, await isNotServed(error) { return .notServed }
                reports.failed(error)
                if once, error.reason == .notFound || error.reason == .forbidden { return .onceOver }
                let chance = Double(systemRandom() >> 11) * 0x1p-53
                let pause = progress.failed(error, now: Clock.now(), chance: chance)
                if pause.nanoseconds > 0 { _ = await ControlThread.sleep(until: Clock.now() + pause) }
            }
        }
        return .cancelled
    }

    /// Whether the server does not have the resource. A list in a namespace that is not there is empty, so 404 says it.
    /// An account with few rights gets 403 for what is not there; then its group tells, which everybody may ask for.
    private func isNotServed(_ failure: APIFailure) async -> Bool {
        if failure.reason == .notFound { return true }
        guard failure.reason == .forbidden else { return false }
        do throws(APIFailure) {
            _ = try await client.getAll(resource.group)
            return false
        } catch {
            return error.reason == .notFound
        }
    }

    // MARK: Listing

    private func list(_ version: String?) async throws(APIFailure) {
        var listing = SliceStore.Listing<Object>(objects: [])
        var token = ""
        var newest = ""
        var pages = 0
        var room = APIClient.listBytesMax
        repeat {
            guard pages < manner.pagesMax else { throw APIFailure(.tooLarge, "a list of more than \(pages) pages") }
            pages += 1
            let page = try await page(version, token, &room)
            for item in page.items {
                if case .unreadable(let key, _, let reason) = item { reports.unreadable(key, reason) }
                listing.add(item)
            }
            // All pages are of the first one's version.
            if newest.isEmpty { newest = page.resourceVersion }
            guard page.continueToken != token || token.isEmpty else {
                throw APIFailure(.malformed, "a list that never ends")
            }
            token = page.continueToken
        } while !token.isEmpty
        progress.listed(newest)
        reports.listed(listing)
        reports.heard()
    }

    private func page(
        _ version: String?, _ token: String, _ room: inout Int
    ) async throws(APIFailure) -> ObjectList<Object> {
        var query: [(name: String, value: String)] = []
        if !token.isEmpty {
            query = [("limit", "\(manner.pageLimit)"), ("continue", token)]
        } else if let version {
            query = [("resourceVersion", version)]
            // Pages of a version would be of exactly that version, which may be gone; so no limit here.
            if version != "0" { query.append(("resourceVersionMatch", "NotOlderThan")) }
        } else {
            query = [("limit", "\(manner.pageLimit)")]
        }
        let body = try await client.getAll(resource.path(in: namespace, query), limit: room)
        room -= body.count
        do throws(JSONProblem) { return try .read(body) } catch {
            client.close()
            throw APIFailure(.malformed, "the list of \(resource.plural): \(error)")
        }
    }

    // MARK: Watching

    private func watch(_ version: String) async throws(APIFailure) {
        let seconds = watchSeconds()
        let begin = Clock.now()
        let path = resource.path(
            in: namespace,
            [
                ("watch", "1"), ("resourceVersion", version), ("allowWatchBookmarks", "true"),
                ("timeoutSeconds", "\(seconds)"),
            ])
        // A version is only good at the server that gave it: behind a new connection there may be another one, or the
        // same with its history lost.
        if try await !client.getOnSameConnection(path) {
            guard progress.connectionWasLost() else { return }
            try await client.get(path)
        }
        progress.watching(since: Clock.now())
        reports.heard()
        let heardAnything = try await follow(begin, seconds, initial: nil)
        if let failure = progress.ended(now: Clock.now(), heardAnything: heardAnything) { throw failure }
    }

    /// A list as the beginning of a watch. A server that does not have it is not asked again.
    private func watchList(_ version: String?) async throws(APIFailure) {
        let seconds = watchSeconds()
        let begin = Clock.now()
        var query: [(name: String, value: String)] = [
            ("watch", "1"), ("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"),
            ("allowWatchBookmarks", "true"), ("timeoutSeconds", "\(seconds)"),
        ]
        if let version, version != "0" { query.append(("resourceVersion", version)) }
        do throws(APIFailure) {
            try await client.get(resource.path(in: namespace, query))
        } catch {
            guard error.reason == .refused else { throw error }
            mayWatchList = false
            return try await list(version)
        }
        progress.watching(since: Clock.now())
        let heardAnything = try await follow(begin, seconds, initial: SliceStore.Listing(objects: []))
        if let failure = progress.ended(now: Clock.now(), heardAnything: heardAnything) { throw failure }
    }

    private func watchSeconds() -> Int {
        let span = UInt64(manner.seconds.upperBound - manner.seconds.lowerBound + 1)
        return manner.seconds.lowerBound + Int(systemRandom() % span)
    }

    /// Takes events until the watch ends; whether there were any. `initial` collects those that stand for a list.
    private func follow(
        _ begin: Instant, _ seconds: Int, initial: SliceStore.Listing<Object>?
    ) async throws(APIFailure) -> Bool {
        var framer = EventFramer()
        var batch = WatchBatch(initial: initial)
        let end = begin + Instant.Span(.seconds(seconds)) + Instant.Span(manner.grace)
        found = nil
        defer {
            probe?.cancel()
            probe = nil
        }
        var mayComeMore = true
        while mayComeMore {
            let quiet = batch.initial == nil ? manner.quiet : manner.initialSilence
            var failure: APIFailure?
            do throws(APIFailure) {
                mayComeMore = try await client.moreBody(until: min(Clock.now() + Instant.Span(quiet), end)) {
                    framer.append($0)
                }
            } catch {
                failure = error
            }
            if let failure {
                if let found { throw found }
                guard failure.reason == .timeout else { throw failure }
                if batch.initial != nil {
                    client.close()
                    mayWatchList = false
                    throw APIFailure(.timeout, "initial events of \(resource.plural) without an end")
                }
                guard Clock.now() < end else {
                    client.close()
                    throw APIFailure(.timeout, "a watch of \(resource.plural) outlived its time")
                }
                askWhetherThere()
                continue
            }
            failure = take(&framer, &batch)
            batch.flush(to: reports)
            if let failure {
                client.close()
                throw failure
            }
        }
        if let found { throw found }
        if framer.isInsideObject { throw APIFailure(.malformed, "a watch of \(resource.plural) ended within an event") }
        if batch.initial != nil {
            mayWatchList = false
            throw APIFailure(.closed, "initial events of \(resource.plural) without an end")
        }
        return batch.heardAnything
    }

    /// Reads all events that are complete. What is wrong with the next one, or nil.
    private func take(_ framer: inout EventFramer, _ batch: inout WatchBatch<Object>) -> APIFailure? {
        while true {
            let event: WatchEvent<Object>
            do throws(EventFramer.Refusal) {
                guard let bytes = try framer.next() else { return nil }
                do throws(JSONProblem) { event = try .read(bytes, decoder) } catch {
                    return APIFailure(.malformed, "an event of \(resource.plural): \(error)")
                }
            } catch {
                if case .tooLarge = error { return APIFailure(.tooLarge, error.description) }
                return APIFailure(.malformed, error.description)
            }
            if case .failed(let status) = event { return .of(status) }
            batch.take(event, &progress, reports)
        }
    }

    // MARK: Probing

    /// Asks over a second connection whether the server is there, and whether it knows the version that we wait behind:
    /// a watch says nothing of either while nothing happens.
    private func askWhetherThere() {
        guard let prober, probe == nil else { return }
        let version = progress.version
        probe = ControlThread.spawn { [self] in
            let path = resource.path(
                in: namespace,
                [("limit", "1"), ("resourceVersion", version), ("resourceVersionMatch", "NotOlderThan")])
            do throws(APIFailure) {
                _ = try await prober.getAll(path)
                if Task.isCancelled { return }
                reports.heard()
            } catch {
                // The watch that was asked about is over: what is on the client's connection now is something else.
                if Task.isCancelled { return }
                switch error.reason {
                case .behind, .expired:
                    found = error
                    client.abort()
                default: reports.failed(error)
                }
            }
            probe = nil
        }
    }
}
