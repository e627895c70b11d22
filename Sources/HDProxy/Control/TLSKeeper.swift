// What do workers need for TLS? Terms made of what files hold, anew only for listeners whose files have changed; and keys
// for session tickets, a new one every few hours, so that a key that is stolen opens no more than those hours.

import Discovery
import ProxyCore

/// The terms and the ticket keys of the process.
@ControlThread
final class TLSKeeper {
    /// How often a new key seals tickets. A ticket lives for as long at most, so the key before is enough to open them.
    static let rotation = Instant.Span.milliseconds(6 * 3600 * 1000)
    /// Keys that are kept: the present one, and what still opens tickets.
    private static let keysMax = 3

    /// Whether the kernel takes records (kTLS).
    let kernelHelps = KernelTLS.isAvailable
    private var specs: [String: TLSTermsSpec] = [:]
    private var terms: [String: TLSTerms] = [:]
    /// The keys, the one that seals first.
    private(set) var ticketKeys = [TicketKey.random()]
    /// How often files were taken over, and refused.
    var reloads = (applied: 0, refused: 0)
    /// What was said of certificates that end.
    var expiry = ExpiryWatch()
    /// What was wrong with files last, so that it is said once.
    var complaint: [String] = []

    /// What workers are told.
    var provision: TLSProvision { TLSProvision(terms: terms, ticketKeys: ticketKeys, upstreams: upstreams) }
    private var upstreams: [String: UpstreamTerms] = [:]

    /// Terms that are ready to be used.
    struct Prepared {
        fileprivate var specs: [String: TLSTermsSpec]
        fileprivate var upstreams: [String: UpstreamTerms]
        fileprivate var terms: [String: TLSTerms] = [:]
        /// The listeners that did not have them before.
        var changed: [String] = []
    }

    /// Makes terms of this material, which changes nothing yet.
    func prepare(_ settings: Settings) throws(TLSError) -> Prepared {
        var prepared = Prepared(specs: settings.tlsMaterial, upstreams: settings.upstreamTerms)
        for (name, spec) in settings.tlsMaterial {
            if specs[name] == spec, let same = terms[name] {
                prepared.terms[name] = same
                continue
            }
            var full = spec
            full.prefersKernel = kernelHelps
            prepared.terms[name] = try TLSTerms(full)
            prepared.changed.append(name)
        }
        prepared.changed.sort()
        return prepared
    }

    /// Provides these terms from now on.
    func adopt(_ prepared: Prepared) {
        specs = prepared.specs
        terms = prepared.terms
        upstreams = prepared.upstreams
    }

    /// Seals tickets with a new key from now on.
    func rotate() { ticketKeys = [TicketKey.random()] + ticketKeys.prefix(Self.keysMax - 1) }

    /// Goes on with the keys of an earlier process; what this one has sealed can still be opened.
    func inherit(_ keys: [TicketKey]) {
        if keys.isEmpty { return }
        ticketKeys = Array((keys + ticketKeys).prefix(Self.keysMax + 1))
    }
}

extension ControlLoop {
    /// The keys that session tickets are sealed with, the present one first.
    var ticketKeys: [TicketKey] { tls.ticketKeys }

    /// Warns of certificates that end soon, once an hour.
    func followExpiry() async {
        repeat { warnOfExpiry() } while await ControlThread.sleep(for: .seconds(3600)) == .timedOut
    }

    /// Warns of certificates of which that is due.
    func warnOfExpiry() {
        let now = Clock.wallMicroseconds() / 1_000_000
        for warning in tls.expiry.warnings(settings.datedFiles, at: now) {
            log.write(
                warning.days < 7 ? .error : .warn, "certificate_expires",
                [
                    "file": .text(warning.file.name), "days": .count(warning.days),
                    "at": .text(CivilTime.timestamp(wallMicroseconds: warning.file.notAfter &* 1_000_000)),
                ])
        }
    }

    /// Makes a new key for session tickets now and then.
    func followTicketKeys() async {
        while await ControlThread.sleep(until: Clock.now() + TLSKeeper.rotation) == .timedOut {
            tls.rotate()
            workers.secure(tls.provision)
        }
    }

    /// Takes over certificates, keys and authorities that have changed on disk, and nothing else.
    func adoptCertificates(of new: Settings) -> ReloadOutcome {
        do throws(TLSError) {
            let prepared = try tls.prepare(new)
            tls.adopt(prepared)
            settings = new
            // Probes speak TLS on the same terms.
            discovery.update(settings: new.discovery, services: new.serviceSpecs)
            workers.secure(tls.provision)
            tls.reloads.applied += 1
            tls.complaint = []
            log.write(
                .info, "certificates",
                ["outcome": .text("applied"), "listeners": .text(prepared.changed.joined(separator: ", "))])
            watchFiles(of: settings)
            warnOfExpiry()
            return .applied(generation: generation)
        } catch {
            return refuseCertificates([error.description])
        }
    }

    /// Files do not hold what they should: what was read before stays.
    func refuseCertificates(_ lines: [String]) -> ReloadOutcome {
        if lines != tls.complaint {
            tls.complaint = lines
            tls.reloads.refused += 1
            for line in lines {
                log.write(.error, "certificates", ["outcome": .text("refused"), "problem": .text(line)])
            }
        }
        return .refused(lines)
    }
}
