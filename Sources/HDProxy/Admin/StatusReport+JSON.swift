// The status as JSON: every member of the contract, in a fixed order, null where there is nothing to say.

import Discovery
import ProxyCore

extension StatusReport {
    /// The report as JSON. A large one is written in pieces, between which others have their turn.
    @ControlThread
    func json() async -> [UInt8] {
        var text = JSONText()
        text.open("{")
        writeHead(into: &text)
        text.name("services")
        text.open("[")
        for (index, service) in services.enumerated() {
            if index % Self.servicesInOnePiece == Self.servicesInOnePiece - 1 {
                _ = await ControlThread.sleep(until: Clock.now())
            }
            service.write(into: &text)
        }
        text.close("]")
        text.close("}")
        return text.line
    }

    private func writeHead(into text: inout JSONText) {
        text.member("version", version)
        text.member("generation", Int(clamping: generation))
        text.member("state", state.rawValue)
        text.member("pid", pid)
        text.member("time", time)
        text.member("started", started)
        text.member("ready", isReady)
        text.member("conditions", conditions) { text, condition in
            text.object {
                $0.member("name", condition.name)
                $0.member("failure", condition.failure)
            }
        }
        text.member("sources", sources) { text, source in
            text.object {
                $0.member("name", source.name)
                $0.member("synced", source.synced)
                $0.member("stale", source.stale)
                $0.member("lastEvent", source.lastEvent)
                $0.member("error", source.error)
            }
        }
        text.member("workers", workers) { text, worker in
            text.object {
                $0.member("name", worker.name)
                $0.member("lastTurnMs", worker.lastTurnMs)
                $0.member("connections", worker.connections)
                $0.member("inFlight", worker.inFlight)
            }
        }
        text.member("rollouts", rollouts ?? []) { text, rollout in
            text.object {
                $0.member("service", rollout.service)
                $0.member("ended", rollout.ended)
                $0.member("summary", rollout.summary)
            }
        }
        text.member("listeners", listeners) { $1.write(into: &$0) }
        text.member("access", access) { $0.write(into: &$1) }
        text.member("routes", routes) { text, route in
            text.object {
                $0.member("index", route.index)
                $0.member("name", route.name)
                $0.member("services", route.services) { text, share in
                    text.object {
                        $0.member("name", share.name)
                        $0.member("weight", share.weight)
                    }
                }
                $0.member("redirect", route.redirect)
            }
        }
    }

    private static let servicesInOnePiece = 64
}

extension ServiceReport {
    func write(into text: inout JSONText) {
        text.object {
            $0.member("name", name)
            $0.member("source", source)
            $0.member("stale", stale)
            $0.member("problem", problem)
            $0.member("panic", panic)
            $0.member("endpoints", endpoints) { $1.write(into: &$0) }
            $0.member("disagreements", disagreements) { text, disagreement in
                text.object {
                    $0.member("address", disagreement.address)
                    $0.member("witness", disagreement.witness)
                    $0.member("since", disagreement.since)
                    $0.member("text", disagreement.text)
                }
            }
        }
    }
}

extension EndpointReport {
    func write(into text: inout JSONText) {
        text.object {
            $0.member("address", address)
            $0.member("id", id)
            $0.member("pod", pod)
            $0.member("node", node)
            $0.member("zone", zone)
            $0.member("sources", sources)
            $0.member("ready", ready)
            $0.member("serving", serving)
            $0.member("terminating", terminating)
            $0.member("health", health.rawValue)
            $0.member("ejected", ejected)
            $0.member("ejections", ejections)
            $0.member("usable", usable)
            $0.member("reason", reason)
            $0.member("since", since)
            $0.member("inFlight", inFlight)
            $0.member("latencyMs", latencyMs)
        }
    }
}
