import Testing

@testable import ProxyCore

@Suite struct MailTests {
    private func change(_ service: String, _ ids: String...) -> EndpointsChange {
        let address = NetworkAddress(ip: IPAddress(v4: 0x7F00_0001), port: 80)
        return EndpointsChange(
            service: service, endpoints: ids.map { Endpoint(id: EndpointID($0), address: address) })
    }

    /// Mail as words.
    private func spelled(_ mail: [Mail]) -> [String] {
        mail.map { item in
            switch item {
            case .adopt(let snapshot, _, _, _): "adopt \(snapshot.generation)"
            case .secure(let provision): "secure \(provision.ticketKeys.count)"
            case .letGo: "letGo"
            case .drain: "drain"
            case .report: "report"
            case .ping: "ping"
            case .endpoints(let changes):
                changes.map { "\($0.service)=\($0.endpoints.map(\.id.description).joined(separator: ","))" }
                    .joined(separator: " ")
            }
        }
    }

    @Test func changesThatComeOneAfterAnotherAreOneWithTheLatestOfEachService() throws {
        let mailbox = try Mailbox()
        mailbox.send(.endpoints([change("s", "a"), change("t", "x")]))
        mailbox.send(.endpoints([change("s", "a", "b")]))
        mailbox.send(.endpoints([change("u")]))
        mailbox.send(.endpoints([change("s", "b")]))
        #expect(spelled(mailbox.take()) == ["s=b t=x u="])
        #expect(mailbox.take().isEmpty)
    }

    @Test func ofTermsOfTLSOnlyTheLatestWaitAndOthersKeepTheirPlace() throws {
        let mailbox = try Mailbox()
        mailbox.send(.secure(TLSProvision(ticketKeys: [.random()])))
        mailbox.send(.secure(TLSProvision(ticketKeys: [.random(), .random()])))
        mailbox.send(.endpoints([change("s", "a")]))
        mailbox.send(.secure(TLSProvision()))
        #expect(spelled(mailbox.take()) == ["secure 2", "s=a", "secure 0"])
    }

    @Test func theirOrderWithSnapshotsIsKept() throws {
        let mailbox = try Mailbox()
        mailbox.send(.endpoints([change("s", "a")]))
        mailbox.send(.adopt(Snapshot(generation: 2), added: [], removed: []))
        mailbox.send(.endpoints([change("s", "b")]))
        mailbox.send(.endpoints([change("s", "c")]))
        mailbox.send(.drain(DrainSpec()))
        mailbox.send(.endpoints([change("s", "d")]))
        #expect(spelled(mailbox.take()) == ["s=a", "adopt 2", "s=c", "drain", "s=d"])
    }

    @Test func aWorkerThatIsStuckFindsNoMoreChangesThanThereAreServices() throws {
        let mailbox = try Mailbox()
        for round in 0..<20_000 { mailbox.send(.endpoints([change("s\(round % 100)", "e\(round)")])) }
        guard case .endpoints(let changes) = try #require(mailbox.take().first) else {
            Issue.record("no changes")
            return
        }
        #expect(changes.count == 100 && changes[7].endpoints[0].id.description == "e19907")
    }

    @Test func mailThatCameAfterTheLastWasTakenWakesAgain() throws {
        let mailbox = try Mailbox()
        let poller = try Poller()
        let isAdded = poller.addLevel(mailbox.wake.number, Token(.wake, .none))
        #expect(isAdded)
        for _ in 0..<3 {
            let before = poller.wait(milliseconds: 0)
            mailbox.send(.endpoints([change("s", "a")]))
            mailbox.send(.endpoints([change("s", "b")]))
            let after = poller.wait(milliseconds: 0)
            #expect(before == 0 && after == 1)
            #expect(mailbox.take().count == 1)
        }
    }

    /// The request is in the batch before the mail is, and yet it goes where the mail says.
    @Test func noRequestOfABatchGoesToAnEndpointWhoseDepartureHadArrived() throws {
        let a = try PeerServer(), b = try PeerServer()
        let front = try Socket.listening(on: loopback)
        let address = try #require(front.localAddress() as NetworkAddress?)
        let mailbox = try Mailbox()
        let listener = ListeningSocket(spec: ListenerSpec(name: "http", address: address), descriptor: front.release())
        var worker = try Worker(
            Rig.snapshot([a.endpoint("a")]), sockets: [listener], mailbox: mailbox, cap: ConnectionCap(),
            log: AccessLog { _ in true })
        let client = try connected(to: address)
        _ = worker.turn()
        client.write(getRequest)
        mailbox.send(.endpoints([EndpointsChange(service: "s", endpoints: [b.endpoint("b")])]))
        _ = worker.turn()
        #expect(a.accept() == nil)
        _ = worker.turn()
        let atB = try #require(b.accept())
        #expect(atB.read()?.hasPrefix("GET / ") == true)
    }
}
