import Discovery
import Foundation
import Testing

@testable import HDProxy
@testable import ProxyCore

@Suite struct MetricsTextTests {
    /// The names that users, dashboards and alerts may rely on, with their labels, as far as they exist by now.
    private static let contract: [String: Set<String>] = [
        "hdproxy_build_info": ["version"],
        "hdproxy_requests_total": ["route", "service", "method", "code"],
        "hdproxy_request_duration_seconds": ["route", "service"],
        "hdproxy_request_bytes_total": ["route"], "hdproxy_response_bytes_total": ["route"],
        "hdproxy_requests_in_flight": ["service"], "hdproxy_requests_waiting": ["service"],
        "hdproxy_client_connections": ["listener"], "hdproxy_client_connections_total": ["listener"],
        "hdproxy_rejected_total": ["reason"],
        "hdproxy_tls_handshakes_total": ["outcome", "version"], "hdproxy_tls_reloads_total": ["outcome"],
        "hdproxy_tls_certificate_expiry_timestamp_seconds": ["name"],
        "hdproxy_upstream_requests_total": ["service", "endpoint", "outcome"],
        "hdproxy_upstream_duration_seconds": ["service"],
        "hdproxy_upstream_connections": ["service", "state"],
        "hdproxy_upstream_connect_total": ["service", "outcome"],
        "hdproxy_retries_total": ["service", "outcome"],
        "hdproxy_endpoint_up": ["service", "endpoint"],
        "hdproxy_endpoint_ejections_total": ["service", "reason"],
        "hdproxy_identity_mismatch_total": ["service", "endpoint"],
        "hdproxy_discovery_synced": ["source"],
        "hdproxy_discovery_last_event_timestamp_seconds": ["source"],
        "hdproxy_discovery_disagreement": ["service"],
        "hdproxy_discovery_errors_total": ["source", "reason"],
        "hdproxy_config_reloads_total": ["outcome"], "hdproxy_handoff_total": ["outcome"],
        "hdproxy_draining": [], "hdproxy_log_dropped_total": [],
        "process_cpu_seconds_total": [], "process_resident_memory_bytes": [], "process_virtual_memory_bytes": [],
        "process_open_fds": [], "process_max_fds": [], "process_start_time_seconds": [],
    ]

    private static func address(_ text: String) -> NetworkAddress { NetworkAddress(text)! }

    /// One of everything.
    private static func figures() -> MetricsFigures {
        var worker = WorkerTelemetry()
        var duration = Histogram()
        duration.record(.milliseconds(2))
        duration.record(.milliseconds(3000))
        worker.routes = [
            WorkerTelemetry.Route(
                route: "b.test", service: "s", requests: [RequestCount(method: .get, code: 200, count: 7)],
                duration: duration, requestBytes: 5, responseBytes: 700),
            WorkerTelemetry.Route(
                route: "b.test", service: "t", requests: [RequestCount(method: .other, code: 0, count: 1)],
                requestBytes: 1, responseBytes: 2),
            WorkerTelemetry.Route(route: "a\\\"\n", service: "é"),
        ]
        worker.services = [
            WorkerTelemetry.Service(
                service: "s", inFlight: 3, upstreamDuration: duration, connected: 4, connectRefused: 1,
                connectTimeout: 2, connectUnreachable: 3, retriesAnswered: 5, retriesFailed: 6, idleConnections: 7,
                activeConnections: 8, connectingConnections: 9)
        ]
        var attempts = WorkerTelemetry.Attempts(service: "s", address: address("[2001:db8::1]:80"))
        attempts.outcomes[.ok] = 2
        attempts.outcomes[.tunnel] = 1
        attempts.outcomes[.connectRefused] = 1
        worker.attempts = [attempts]
        worker.listeners = [WorkerTelemetry.ListenerClients(listener: "http", open: 2, accepted: 9)]
        worker.refusals = [("bad_host", 3)]
        worker.handshakes = [
            HandshakeCount(outcome: .full, version: .v1_3, count: 2),
            HandshakeCount(outcome: .timeout, version: .none, count: 1),
        ]
        worker.droppedLogLines = 1
        var source = SourceStatus(name: "kubernetes")
        source.synced = true
        source.lastEventMicroseconds = 1_700_000_000_500_000
        source.failed("timeout", "no answer")
        let discovery = DiscoveryMetrics(
            services: [
                DiscoveryMetrics.Service(
                    name: "s", disagreements: 2,
                    endpoints: [
                        (address("10.0.0.1:80"), false), (address("10.0.0.2:80"), false),
                        (address("10.0.0.1:80"), true),
                    ])
            ], sources: [source], ejections: [("s", "failures", 3), ("s", "ghost", 1)],
            mismatches: [("s", address("10.0.0.2:80"), 2)])
        var process = ProcessFigures()
        process.centiseconds = 1234
        process.startCentiseconds = 170_000_000_050
        var figures = MetricsFigures(
            version: "1.2.3", workers: [worker, worker], discovery: discovery,
            reloads: (applied: 1, unchanged: 2, refused: 3), isDraining: true, process: process)
        figures.certificates = [DatedFile(name: "/tls.crt", notAfter: 1_800_000_000)]
        return figures
    }

    private static func lines(_ format: MetricsFormat) -> [String] {
        String(decoding: MetricsText.render(figures(), as: format), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    @Test func samplesAreWhatTheWorkersToldTogether() {
        let text = Set(Self.lines(.prometheus))
        let expected = [
            #"hdproxy_build_info{version="1.2.3"} 1"#,
            #"hdproxy_requests_total{route="b.test",service="s",method="GET",code="200"} 14"#,
            #"hdproxy_requests_total{route="b.test",service="t",method="other",code="0"} 2"#,
            #"hdproxy_request_bytes_total{route="b.test"} 12"#,
            #"hdproxy_response_bytes_total{route="b.test"} 1404"#,
            #"hdproxy_response_bytes_total{route="a\\\"\n"} 0"#,
            #"hdproxy_request_duration_seconds_bucket{route="b.test",service="s",le="0.001"} 0"#,
            #"hdproxy_request_duration_seconds_bucket{route="b.test",service="s",le="0.0025"} 2"#,
            #"hdproxy_request_duration_seconds_bucket{route="b.test",service="s",le="5.0"} 4"#,
            #"hdproxy_request_duration_seconds_bucket{route="b.test",service="s",le="+Inf"} 4"#,
            #"hdproxy_request_duration_seconds_sum{route="b.test",service="s"} 6.004"#,
            #"hdproxy_request_duration_seconds_count{route="b.test",service="s"} 4"#,
            #"hdproxy_requests_in_flight{service="s"} 6"#,
            #"hdproxy_client_connections{listener="http"} 4"#,
            #"hdproxy_client_connections_total{listener="http"} 18"#,
            #"hdproxy_rejected_total{reason="bad_host"} 6"#,
            #"hdproxy_upstream_requests_total{service="s",endpoint="[2001:db8::1]:80",outcome="ok"} 6"#,
            #"hdproxy_upstream_requests_total{service="s",endpoint="[2001:db8::1]:80",outcome="connect_refused"} 2"#,
            #"hdproxy_upstream_connections{service="s",state="idle"} 14"#,
            #"hdproxy_upstream_connections{service="s",state="active"} 16"#,
            #"hdproxy_upstream_connections{service="s",state="connecting"} 18"#,
            #"hdproxy_upstream_connect_total{service="s",outcome="success"} 8"#,
            #"hdproxy_retries_total{service="s",outcome="success"} 10"#,
            #"hdproxy_retries_total{service="s",outcome="failure"} 12"#,
            #"hdproxy_endpoint_up{service="s",endpoint="10.0.0.1:80"} 1"#,
            #"hdproxy_endpoint_up{service="s",endpoint="10.0.0.2:80"} 0"#,
            #"hdproxy_endpoint_ejections_total{service="s",reason="failures"} 3"#,
            #"hdproxy_endpoint_ejections_total{service="s",reason="ghost"} 1"#,
            #"hdproxy_identity_mismatch_total{service="s",endpoint="10.0.0.2:80"} 2"#,
            #"hdproxy_discovery_synced{source="kubernetes"} 1"#,
            #"hdproxy_discovery_last_event_timestamp_seconds{source="kubernetes"} 1700000000.5"#,
            #"hdproxy_discovery_disagreement{service="s"} 2"#,
            #"hdproxy_discovery_errors_total{source="kubernetes",reason="timeout"} 1"#,
            #"hdproxy_config_reloads_total{outcome="refused"} 3"#, "hdproxy_draining 1", "hdproxy_log_dropped_total 2",
            "process_cpu_seconds_total 12.34", "process_start_time_seconds 1700000000.5",
        ]
        for line in expected { #expect(text.contains(line), "\(line)") }
    }

    @Test func totalsGoOnFromWhatWasInheritedSeriesBySeries() {
        let before = MetricsText.counters(Self.figures())
        #expect(!before.families.keys.contains { $0.hasPrefix("process_") || $0 == "hdproxy_requests_in_flight" })
        var figures = Self.figures()
        figures.inherited = before
        figures.inherited.families["hdproxy_requests_total", default: []].append(
            InheritedCounters.Sample(series: #"hdproxy_requests_total{route="gone"}"#, value: 5))
        let text = Set(
            String(decoding: MetricsText.render(figures, as: .prometheus), as: UTF8.self)
                .split(separator: "\n").map(String.init))
        for line in [
            #"hdproxy_requests_total{route="b.test",service="s",method="GET",code="200"} 28"#,
            #"hdproxy_requests_total{route="gone"} 5"#,
            #"hdproxy_request_duration_seconds_bucket{route="b.test",service="s",le="5.0"} 8"#,
            #"hdproxy_request_duration_seconds_sum{route="b.test",service="s"} 12.008"#,
            #"hdproxy_config_reloads_total{outcome="refused"} 6"#, #"hdproxy_requests_in_flight{service="s"} 6"#,
        ] { #expect(text.contains(line), "\(line)") }
        // What is handed on holds all of it, and a process that has counted nothing yet tells all of it.
        let sum = MetricsText.counters(figures)
        #expect(
            sum.families["hdproxy_requests_total"]?.contains { $0.series.contains("gone") && $0.value == 5 } == true)
        var empty = MetricsFigures(
            version: "1", workers: [], discovery: DiscoveryMetrics(), reloads: (0, 0, 0), isDraining: false,
            process: .now())
        empty.inherited = sum
        #expect(MetricsText.counters(empty).count >= sum.count)
        #expect(
            String(decoding: MetricsText.render(empty, as: .openMetrics), as: UTF8.self)
                .contains(#"hdproxy_request_duration_seconds_sum{route="b.test",service="s"} 12.008"#))
    }

    /// A sample's name and labels: `name{a="…",b="…"} value`.
    private func parsed(_ line: String) throws -> (name: String, labels: [String: String]) {
        let match = try #require(
            line.wholeMatch(of: /([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (?:[0-9]+(?:\.[0-9]+)?)/), "\(line)")
        var labels: [String: String] = [:]
        for label in String(match.2 ?? "").matches(of: /([a-z_]+)="((?:[^"\\]|\\.)*)"/) {
            #expect(labels.updateValue(String(label.2), forKey: String(label.1)) == nil, "\(line)")
        }
        return (String(match.1), labels)
    }

    @Test(arguments: [MetricsFormat.prometheus, .openMetrics])
    func everyMetricOfTheContractIsToldAndNoOther(_ format: MetricsFormat) throws {
        var lines = Self.lines(format)
        #expect(lines.popLast() == "", "the last line ends")
        if format == .openMetrics { #expect(lines.popLast() == "# EOF") }
        var missing = Set(Self.contract.keys)
        var family = ""
        var kind = ""
        var seen = Set<String>()
        var families = Set<String>()
        for line in lines {
            if line.hasPrefix("# HELP ") {
                family = String(line.dropFirst(7).prefix { $0 != " " })
                #expect(families.insert(family).inserted, "twice: \(line)")
                #expect(line.count > family.count + 12 && !line.contains("\\"), "\(line)")
                continue
            }
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                #expect(words.count == 4 && words[2] == family, "\(line)")
                kind = String(words[3])
                continue
            }
            var (name, labels) = try parsed(line)
            #expect(seen.insert("\(name) \(labels.sorted { $0.key < $1.key })").inserted, "twice: \(line)")
            switch kind {
            case "histogram":
                let ending = try #require(["_bucket", "_sum", "_count"].first { name == family + $0 }, "\(line)")
                #expect((ending == "_bucket") == (labels.removeValue(forKey: "le") != nil), "\(line)")
                name = family
            case "counter":
                #expect(
                    name == family + (format == .openMetrics ? "_total" : "") && name.hasSuffix("_total"), "\(line)")
            // Its family cannot have the name that the gauge has.
            case "unknown": #expect(format == .openMetrics && name == "hdproxy_client_connections_total", "\(line)")
            default: #expect(kind == "gauge" && name == family && !name.hasSuffix("_total"), "\(line)")
            }
            let known = try #require(Self.contract[name], "\(name) is not in the contract")
            #expect(Set(labels.keys) == known, "\(line)")
            missing.remove(name)
        }
        #expect(missing.isEmpty)
    }

    @Test func architectureTellsOfEachOfThem() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "ARCHITECTURE.md"), encoding: .utf8)
        let told = Set(text.matches(of: /\| `((?:hdproxy|process)_[a-z_]+)/).map { String($0.1) })
        #expect(told == Set(Self.contract.keys))
        #expect(Set(MetricsFamily.all.map(\.name)) == told)
    }

    @Test func openMetricsIsForThoseWhoAskForIt() {
        let cases: [(accept: String, format: MetricsFormat)] = [
            ("", .prometheus), ("*/*", .prometheus), ("text/plain", .prometheus), ("text/html,*/*;q=0.8", .prometheus),
            ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", .openMetrics),
            ("Application/OpenMetrics-Text;version=\"1.0.0\"", .openMetrics),
            ("application/openmetrics-text;version=0.0.1", .prometheus),
            ("application/openmetrics-text;version=2.0.0", .prometheus),
            ("application/openmetrics-text;q=0", .prometheus), ("application/openmetrics-text;q=0.000", .prometheus),
            ("application/openmetrics-text;q=nonsense", .prometheus),
            ("text/plain;q=0.5, application/openmetrics-text;q=0.4", .prometheus),
            ("text/plain;q=0.4, application/openmetrics-text;q=0.45", .openMetrics),
            // What Prometheus 2 and 3 send.
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
                    + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", .openMetrics
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                    + "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.2",
                .openMetrics
            ),
        ]
        for (accept, format) in cases { #expect(MetricsFormat(accept: accept) == format, "\(accept)") }
        #expect(MetricsFormat.prometheus.contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            MetricsFormat.openMetrics.contentType == "application/openmetrics-text; version=1.0.0; charset=utf-8")
    }

    @Test func figuresOfTheProcessAreReadFromProc() {
        let figures = ProcessFigures(
            stat: "42 (odd ) name) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 1000 4096000 250 18446744073709551615",
            system: "cpu 1 2\nbtime 1700000000\nprocesses 3\n",
            limits:
                "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 4096        files\n",
            pageBytes: 4096, ticks: 100)
        #expect(figures.centiseconds == 200 && figures.virtualBytes == 4_096_000 && figures.residentBytes == 1_024_000)
        #expect(figures.startCentiseconds == 170_000_001_000 && figures.maxDescriptors == 1024)
        #expect(
            ProcessFigures(stat: "", system: "", limits: "", pageBytes: 4096, ticks: 100) == ProcessFigures(),
            "without /proc nothing is known")
        let own = ProcessFigures.now()
        #expect(own.residentBytes > 1 << 20 && own.openDescriptors > 2 && own.maxDescriptors >= own.openDescriptors)
        let now = UInt64(Date().timeIntervalSince1970 * 100)
        #expect(own.startCentiseconds < now + 100 && own.startCentiseconds + 100 * 86_400 > now)
    }
}
