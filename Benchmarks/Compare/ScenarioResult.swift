// What came of a scenario: samples by proxy and figure, and how they stand to the peers and to the targets.

/// The figures of one scenario.
struct ScenarioResult {
    /// Which one.
    let scenario: Scenario
    /// Samples, by the proxy's name.
    private(set) var samples: [String: [Figure: Sample]] = [:]
    /// What went wrong, by the proxy's name.
    private(set) var failures: [String: String] = [:]
    /// System calls a request, by the proxy's name, where they were counted.
    var systemCalls: [String: SystemCallCount] = [:]
    /// The rate of an open loop.
    var rate: Double?

    /// Nothing yet of `scenario`.
    init(_ scenario: Scenario) { self.scenario = scenario }

    /// Adds what one round gave.
    mutating func add(_ figure: Figure, _ proxy: String, _ value: Double) {
        samples[proxy, default: [:]][figure, default: Sample()].values.append(value)
    }

    /// Something went wrong for `proxy`; the first is kept.
    mutating func fail(_ proxy: String, _ text: String) { if failures[proxy] == nil { failures[proxy] = text } }

    /// The sample of a figure.
    func sample(_ figure: Figure, _ proxy: String) -> Sample? { samples[proxy]?[figure] }

    /// The figures that were measured, in order.
    var figures: [Figure] { Figure.allCases.filter { figure in samples.values.contains { $0[figure] != nil } } }

    /// `proxy` over `peer`, round by round; nil where one was not measured or failed.
    func ratio(_ figure: Figure, _ proxy: String, over peer: String) -> Sample? {
        guard failures[proxy] == nil, failures[peer] == nil, let own = sample(figure, proxy),
            let other = sample(figure, peer)
        else { return nil }
        return own.over(other)
    }

    /// The peer whose median is the best.
    func betterPeer(_ figure: Figure, of peers: [String]) -> String? {
        let measured = peers.filter { sample(figure, $0) != nil && failures[$0] == nil }
        return measured.min { left, right in
            let (a, b) = (sample(figure, left)?.median ?? .nan, sample(figure, right)?.median ?? .nan)
            return figure.lessIsBetter ? a < b : a > b
        }
    }

    /// How a target stands; nil where it could not be measured.
    func value(of target: Target, proxy: String, peers: [String]) -> (sample: Sample, against: String)? {
        switch target.subject {
        case .value:
            guard failures[proxy] == nil, let sample = sample(target.figure, proxy) else { return nil }
            return (sample, "")
        case .ratio:
            guard let peer = betterPeer(target.figure, of: peers),
                let ratio = ratio(target.figure, proxy, over: peer)
            else { return nil }
            return (ratio, peer)
        }
    }

    /// For results files and baselines.
    func metrics(of proxies: [String]) -> [Metric] {
        proxies.flatMap { proxy in
            figures.compactMap { figure in
                sample(figure, proxy).map {
                    Metric(
                        name: "\(scenario.name)/\(proxy)/\(figure.rawValue)", unit: figure.unit,
                        lessIsBetter: figure.lessIsBetter, sample: $0)
                }
            }
        }
    }
}
