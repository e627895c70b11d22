// Which metrics are there? One entry each; a new one is a line here, its name in the contract, and a row of
// ARCHITECTURE.md's table. Names and label names are promises: dashboards use them.

import Discovery
import ProxyCore

/// A metric: its name, what it means, and how its samples come from the figures.
struct MetricsFamily: Sendable {
    enum Kind: String, Sendable { case counter, gauge, histogram }

    /// As samples spell it; counters end in `_total`.
    let name: String
    let kind: Kind
    let help: String
    let write: @Sendable (MetricsFigures, inout MetricsText) -> Void

    private init(
        _ kind: Kind, _ name: String, _ help: String,
        _ write: @escaping @Sendable (MetricsFigures, inout MetricsText) -> Void
    ) {
        self.kind = kind
        self.name = name
        self.help = help
        self.write = write
    }

    /// All of them, in the order in which they are told.
    static let all = proxy + clients + upstreams + discovery + process

    private static let proxy = [
        MetricsFamily(.gauge, "hdproxy_build_info", "The program's version; always 1.") { figures, text in
            text.sample(["version": figures.version], 1)
        },
        MetricsFamily(.gauge, "hdproxy_draining", "Whether the process is on its way out.") { figures, text in
            text.sample(figures.isDraining ? 1 : 0)
        },
        MetricsFamily(.counter, "hdproxy_config_reloads_total", "Reloads of the configuration.") { figures, text in
            text.sample(["outcome": "applied"], figures.reloads.applied)
            text.sample(["outcome": "unchanged"], figures.reloads.unchanged)
            text.sample(["outcome": "refused"], figures.reloads.refused)
        },
        MetricsFamily(.counter, "hdproxy_handoff_total", "Handoffs to and from other processes.") { figures, text in
            text.sample(["outcome": "given"], figures.handoffs.given)
            text.sample(["outcome": "taken"], figures.handoffs.taken)
            text.sample(["outcome": "taken_back"], figures.handoffs.takenBack)
            text.sample(["outcome": "failed"], figures.handoffs.failed)
            text.sample(["outcome": "refused"], figures.handoffs.refused)
        },
        MetricsFamily(.counter, "hdproxy_log_dropped_total", "Lines of the access log that found no room.") {
            $1.sample($0.workers.droppedLogLines)
        },
    ]

    private static let clients = [
        MetricsFamily(.counter, "hdproxy_requests_total", "Requests, when they are over; code 0: none was sent.") {
            figures, text in
            for route in figures.workers.routes {
                for request in route.requests {
                    text.sample(
                        [
                            "route": route.route, "service": route.service, "method": request.method.name.description,
                            "code": String(request.code),
                        ], request.count)
                }
            }
        },
        MetricsFamily(
            .histogram, "hdproxy_request_duration_seconds", "From the request's head read to the end of its response."
        ) { figures, text in
            for route in figures.workers.routes where route.duration.count > 0 {
                text.sample(["route": route.route, "service": route.service], route.duration)
            }
        },
        MetricsFamily(.counter, "hdproxy_request_bytes_total", "Bytes of request bodies.") {
            bytes($0, \.requestBytes, &$1)
        },
        MetricsFamily(.counter, "hdproxy_response_bytes_total", "Bytes of responses, heads included.") {
            bytes($0, \.responseBytes, &$1)
        },
        MetricsFamily(.gauge, "hdproxy_requests_in_flight", "Requests under way.") { figures, text in
            for service in figures.workers.services { text.sample(["service": service.service], service.inFlight) }
        },
        MetricsFamily(.gauge, "hdproxy_requests_waiting", "Requests that wait for an endpoint with room.") {
            figures, text in
            for service in figures.workers.services { text.sample(["service": service.service], service.waiting) }
        },
        MetricsFamily(.gauge, "hdproxy_client_connections", "Clients that are connected.") { figures, text in
            for listener in figures.workers.listeners { text.sample(["listener": listener.listener], listener.open) }
        },
        MetricsFamily(.counter, "hdproxy_client_connections_total", "Connections of clients.") { figures, text in
            for listener in figures.workers.listeners {
                text.sample(["listener": listener.listener], listener.accepted)
            }
        },
        MetricsFamily(.counter, "hdproxy_tls_handshakes_total", "TLS handshakes with clients that are over.") {
            figures, text in
            for handshake in figures.workers.handshakes {
                text.sample(
                    ["outcome": handshake.outcome.word.description, "version": handshake.version.word.description],
                    handshake.count)
            }
        },
        MetricsFamily(
            .gauge, "hdproxy_tls_certificate_expiry_timestamp_seconds",
            "When the first certificate of a file ends, by the file."
        ) { figures, text in
            for file in figures.certificates { text.sample(["name": file.name], Int(file.notAfter)) }
        },
        MetricsFamily(
            .counter, "hdproxy_tls_reloads_total", "Changes of certificates, keys and authorities on disk."
        ) { figures, text in
            text.sample(["outcome": "applied"], figures.tlsReloads.applied)
            text.sample(["outcome": "refused"], figures.tlsReloads.refused)
        },
        MetricsFamily(
            .counter, "hdproxy_rejected_total", "Requests and connections that the proxy itself refused."
        ) { figures, text in
            for refusal in figures.workers.refusals {
                text.sample(["reason": refusal.reason.description], refusal.count)
            }
        },
    ]

    private static let upstreams = [
        MetricsFamily(
            .counter, "hdproxy_upstream_requests_total",
            "Attempts at endpoints by how they ended, retried ones included."
        ) { figures, text in
            for attempt in figures.workers.attempts {
                for (word, count) in attempt.words {
                    text.sample(
                        ["service": attempt.service, "endpoint": attempt.address.description, "outcome": word], count)
                }
            }
        },
        MetricsFamily(
            .histogram, "hdproxy_upstream_duration_seconds",
            "From the request's last byte sent to the first byte of the response."
        ) { figures, text in
            for service in figures.workers.services where service.upstreamDuration.count > 0 {
                text.sample(["service": service.service], service.upstreamDuration)
            }
        },
        MetricsFamily(.gauge, "hdproxy_upstream_connections", "Connections to endpoints.") { figures, text in
            for service in figures.workers.services {
                text.sample(["service": service.service, "state": "idle"], service.idleConnections)
                text.sample(["service": service.service, "state": "active"], service.activeConnections)
                text.sample(["service": service.service, "state": "connecting"], service.connectingConnections)
            }
        },
        MetricsFamily(
            .counter, "hdproxy_upstream_connect_total", "Connections to endpoints that were made, or could not be."
        ) { figures, text in
            for service in figures.workers.services {
                text.sample(["service": service.service, "outcome": "success"], service.connected)
                text.sample(["service": service.service, "outcome": "refused"], service.connectRefused)
                text.sample(["service": service.service, "outcome": "timeout"], service.connectTimeout)
                text.sample(["service": service.service, "outcome": "unreachable"], service.connectUnreachable)
                text.sample(["service": service.service, "outcome": "insecure"], service.connectInsecure)
            }
        },
        MetricsFamily(
            .counter, "hdproxy_retries_total", "Attempts after the first one: success where a response was delivered."
        ) { figures, text in
            for service in figures.workers.services {
                text.sample(["service": service.service, "outcome": "success"], service.retriesAnswered)
                text.sample(["service": service.service, "outcome": "failure"], service.retriesFailed)
            }
        },
        MetricsFamily(.gauge, "hdproxy_endpoint_up", "Whether the endpoint gets requests.") { figures, text in
            for service in figures.discovery.services {
                for (address, isUp) in service.addresses {
                    text.sample(["service": service.name, "endpoint": address], isUp ? 1 : 0)
                }
            }
        },
        MetricsFamily(
            .counter, "hdproxy_endpoint_ejections_total", "How often endpoints were let alone: failures, ghost."
        ) { figures, text in
            for item in figures.discovery.ejections {
                text.sample(["service": item.service, "reason": item.reason], item.count)
            }
        },
        MetricsFamily(
            .counter, "hdproxy_identity_mismatch_total", "Answers that did not come from the service that was asked."
        ) { figures, text in
            for item in figures.discovery.mismatches {
                text.sample(["service": item.service, "endpoint": item.address.description], item.count)
            }
        },
    ]

    private static let discovery = [
        MetricsFamily(
            .gauge, "hdproxy_discovery_synced", "Whether the source has told everything and is in touch."
        ) { figures, text in
            for source in figures.discovery.sources { text.sample(["source": source.name], source.synced ? 1 : 0) }
        },
        MetricsFamily(
            .gauge, "hdproxy_discovery_last_event_timestamp_seconds", "When the source was heard last, since 1970."
        ) { figures, text in
            for source in figures.discovery.sources {
                guard let last = source.lastEventMicroseconds else { continue }
                text.sample(["source": source.name], UInt64(max(0, last)), digits: 6)
            }
        },
        MetricsFamily(
            .gauge, "hdproxy_discovery_disagreement", "Addresses of which the witnesses disagree now."
        ) { figures, text in
            for service in figures.discovery.services { text.sample(["service": service.name], service.disagreements) }
        },
        MetricsFamily(.counter, "hdproxy_discovery_errors_total", "Errors of the source.") { figures, text in
            for source in figures.discovery.sources {
                for (reason, count) in source.errorCounts.sorted(by: { $0.key < $1.key }) {
                    text.sample(["source": source.name, "reason": reason], count)
                }
            }
            if figures.discovery.keepingFailures > 0 {
                text.sample(["source": "state", "reason": "write"], figures.discovery.keepingFailures)
            }
        },
    ]

    private static let process = [
        MetricsFamily(.counter, "process_cpu_seconds_total", "Processor time, user and system.") {
            $1.sample($0.process.centiseconds, digits: 2)
        },
        MetricsFamily(.gauge, "process_resident_memory_bytes", "Memory in use.") {
            $1.sample($0.process.residentBytes)
        },
        MetricsFamily(.gauge, "process_virtual_memory_bytes", "Address space.") {
            $1.sample($0.process.virtualBytes)
        },
        MetricsFamily(.gauge, "process_open_fds", "Descriptors that are open.") {
            $1.sample($0.process.openDescriptors)
        },
        MetricsFamily(.gauge, "process_max_fds", "Descriptors that may be open.") {
            $1.sample($0.process.maxDescriptors)
        },
        MetricsFamily(.gauge, "process_start_time_seconds", "When the process started, since 1970.") {
            $1.sample($0.process.startCentiseconds, digits: 2)
        },
    ]

    /// A sum for each rule, over its services.
    private static func bytes(
        _ figures: MetricsFigures, _ part: KeyPath<WorkerTelemetry.Route, UInt64>, _ text: inout MetricsText
    ) {
        var sums: [(route: String, bytes: UInt64)] = []
        // They are in the order of their rules.
        for route in figures.workers.routes {
            if sums.last?.route == route.route {
                sums[sums.count - 1].bytes &+= route[keyPath: part]
            } else {
                sums.append((route.route, route[keyPath: part]))
            }
        }
        for (route, bytes) in sums { text.sample(["route": route], bytes) }
    }
}

extension WorkerTelemetry.Attempts {
    /// Counts above zero by the outcome's word; two outcomes that have the same one are one.
    fileprivate var words: [(word: String, count: UInt64)] {
        var words: [(word: String, count: UInt64)] = []
        for kind in Outcome.Kind.allCases where outcomes[kind] > 0 {
            let word = kind.word.description
            if let at = words.firstIndex(where: { $0.word == word }) {
                words[at].count &+= outcomes[kind]
            } else {
                words.append((word, outcomes[kind]))
            }
        }
        return words
    }
}

extension DiscoveryMetrics.Service {
    /// Each address once, up where any endpoint that has it is.
    fileprivate var addresses: [(address: String, isUp: Bool)] {
        var places: [NetworkAddress: Int] = [:]
        var addresses: [(address: String, isUp: Bool)] = []
        for (address, isUp) in endpoints {
            if let place = places[address] {
                addresses[place].isUp = addresses[place].isUp || isUp
            } else {
                places[address] = addresses.count
                addresses.append((address.description, isUp))
            }
        }
        return addresses
    }
}
