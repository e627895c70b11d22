// One service's care with a clock that is moved by hand, and short words for what is seen.

import ProxyCore

@testable import Discovery

struct CareStage {
    var caretaker: Caretaker
    var now = Instant(nanoseconds: 1_000_000_000_000)
    var events: [CareEvent] = []
    /// What workers were told last.
    var told: [Endpoint] = []
    var spec: ServiceSpec

    /// A service `api` of as many endpoints as `letters` has, each called by its letter.
    init(_ letters: String, _ change: (inout CareSpec) -> Void = { _ in }) {
        var care = CareSpec()
        care.identity = IdentitySpec(header: "X-Service", value: "api")
        change(&care)
        spec = ServiceSpec(name: "api", care: care)
        caretaker = Caretaker([spec])
        usable(letters)
    }

    static func endpoint(_ letter: Character) -> Endpoint {
        Endpoint(id: EndpointID("\(letter)"), address: address(letter))
    }

    static func address(_ letter: Character) -> NetworkAddress {
        NetworkAddress(ip: IPAddress(v4: 0x0A00_0001), port: UInt16(letter.asciiValue ?? 1))
    }

    mutating func usable(_ letters: String, known: String? = nil) {
        var turn = Caretaker.Turn()
        caretaker.take(
            EndpointsChange(service: "api", endpoints: letters.map(Self.endpoint)),
            known: Set((known ?? letters).map { EndpointID("\($0)") }), now: now, &turn)
        take(turn)
    }

    mutating func fails(_ letters: String) {
        for letter in letters {
            take(caretaker.sighted([sighting(letter, .failures(3, last: .connectRefused))], now: now))
        }
    }

    mutating func ghost(_ letter: Character) {
        take(caretaker.sighted([sighting(letter, .ghost(seen: "nothing"))], now: now))
    }

    func sighting(_ letter: Character, _ kind: Sighting.Kind) -> Sighting {
        Sighting(service: "api", endpoint: EndpointID("\(letter)"), address: Self.address(letter), kind: kind)
    }

    mutating func probed(
        _ letters: String, _ health: EndpointHealth, ghost: Bool = false, isSilent: Bool = false
    ) {
        let changes = letters.map { letter in
            HealthChange(
                service: "api", id: EndpointID("\(letter)"), address: Self.address(letter), health: health,
                isGhost: ghost, isSilent: isSilent, reason: ghost ? "status 200, no X-Service" : health.rawValue,
                latency: nil)
        }
        take(caretaker.probed(changes, now: now))
    }

    /// Moves the clock, stopping at each deadline on the way.
    mutating func wait(_ seconds: Int64) {
        let end = now + .milliseconds(seconds * 1000)
        while caretaker.nextDeadline <= end {
            now = max(now, caretaker.nextDeadline)
            take(caretaker.advance(now: now))
        }
        now = end
    }

    mutating func update(_ change: (inout CareSpec) -> Void) {
        change(&spec.care)
        take(caretaker.update([spec], now: now))
    }

    private mutating func take(_ turn: Caretaker.Turn) {
        events += turn.events
        for change in turn.changes { told = change.endpoints }
    }

    /// What workers hold: endpoints that get requests, and behind a slash those that are held back.
    var list: String {
        let out = told.filter(\.traits.isHeldBack).map(\.id.description).joined()
        return told.filter { !$0.traits.isHeldBack }.map(\.id.description).joined() + (out.isEmpty ? "" : "/\(out)")
    }

    func patient(_ letter: Character) -> ServiceCare.Patient? { caretaker.patient("api", EndpointID("\(letter)")) }

    /// The words for what happened, in order, and nothing is left of them.
    mutating func heard() -> [String] {
        defer { events = [] }
        return events.map { event in
            let notice = event.notice(pod: nil, expected: spec.care.identity)
            return "\(notice.event)\(event.id.map { " \($0)" } ?? "")"
        }
    }
}
