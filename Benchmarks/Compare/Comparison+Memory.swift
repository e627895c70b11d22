// What does a connection hold that says nothing? Memory, before and while many of them are open.

extension Comparison {
    /// Each round starts every proxy anew: a proxy that has worked holds memory that an idle one never needed.
    func measureMemory(_ scenario: Scenario, _ result: inout ScenarioResult) throws {
        stopProxies()
        guard raiseDescriptorLimit() > settings.idleConnections + 64 else {
            throw Failure(
                "\(settings.idleConnections) connections do not fit under the limit of descriptors (ulimit -n)")
        }
        for round in 1...min(3, settings.rounds) {
            for contender in settings.contenders where result.failures[contender.name] == nil && !stopWasAsked {
                progress.show("\(scenario.name), round \(round): \(contender.name)")
                do {
                    try measureMemory(contender, scenario, &result)
                } catch {
                    result.fail(contender.name, "\(error)")
                }
            }
        }
    }

    private func measureMemory(
        _ contender: any Contender, _ scenario: Scenario, _ result: inout ScenarioResult
    ) throws {
        let proxy = try RunningProxy(
            contender, backendPort: backendPort, hosts: Self.hosts(of: scenario),
            certificate: scenario.isSecure ? certificate : nil, cpu: proxyCore, folder: folder)
        defer { proxy.stop() }
        var plan = plan(scenario, for: proxy)
        plan.connections = settings.idleConnections
        pause(milliseconds: 300)
        let idle = proxy.meter.memory()
        var generator = try LoadGenerator(plan)
        try generator.run(.oncePerConnection(window: 64))
        if stopWasAsked { return }
        let load = LoadResult(generator, ownCPU: 0)
        guard load.errors.total == 0, load.requests == settings.idleConnections else {
            throw Failure("\(load.requests) of \(settings.idleConnections) answered: \(load.errors.text)")
        }
        pause(milliseconds: 300)
        let full = proxy.meter.memory()
        guard generator.reconnects == 0 else { throw Failure("idle connections were closed") }
        let megabyte = 1e6
        result.add(.residentIdle, contender.name, Double(idle.resident) / megabyte)
        result.add(.proportionalIdle, contender.name, Double(idle.proportional) / megabyte)
        result.add(.residentFull, contender.name, Double(full.resident) / megabyte)
        result.add(.proportionalFull, contender.name, Double(full.proportional) / megabyte)
        let added = Double(full.proportional - idle.proportional) / Double(settings.idleConnections)
        result.add(.perConnection, contender.name, added)
    }
}
