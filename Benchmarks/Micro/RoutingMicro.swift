// The room Routing: does the time of a lookup stay flat from 10 to 10,000 hosts?

import ProxyCore

func routingBenchmarks() -> [MicroBenchmark] { [10, 1000, 10_000].map(match) }

private func match(hosts: Int) -> MicroBenchmark {
    let routes = (0..<hosts).map {
        Route(host: .exact("h\($0).bench.test"), action: .forward([WeightedService(service: 0)]))
    }
    let table = TableBox(Snapshot(services: [Service(name: "bench", endpoints: [])], routes: routes))
    // Enough different hosts that not only the last one is warm; in one array, so that no reference is counted.
    var names: [UInt8] = []
    var places: [Range<Int>] = []
    for i in 0..<64 {
        let name = Array("h\(i * hosts / 64).bench.test".utf8)
        places.append(names.count..<names.count + name.count)
        names += name
    }
    let (wanted, ranges) = opaque((names, places))
    let path = opaque(Array("/api/residences/".utf8))
    return MicroBenchmark(name: "RouteTable.match/\(hosts) hosts", inputBytes: 0) { count in
        let hosts = wanted.span
        for i in 0..<count {
            blackHole(table.routes.match(host: hosts.extracting(ranges[i & 63]), path: path.span))
        }
    }
}

/// Holds a table, which cannot be copied, for a closure, which can.
private final class TableBox {
    let routes: RouteTable

    init(_ snapshot: Snapshot) { routes = RouteTable(snapshot, seed: 1) }
}
