// Is it up, and does it do the work? A contender that has been started, seen to answer, and checked to set the fields
// that all of them must set.

import CLinux
import Glibc

/// A contender at work.
final class RunningProxy {
    /// Which one.
    let contender: any Contender
    /// Where it listens.
    let port: UInt16
    /// Where it listens for TLS; 0: nowhere.
    let securePort: UInt16
    /// Its processes.
    let meter: ProcessMeter
    private let child: Child

    /// Starts `contender` for `hosts` on core `cpu` and waits until it answers through to the backend. With a certificate
    /// it speaks TLS, too.
    init(
        _ contender: any Contender, backendPort: UInt16, hosts: [String], certificate: SiteCertificate? = nil,
        cpu: Int?,
        folder: TemporaryFolder
    ) throws {
        self.contender = contender
        port = try freePort()
        let securePort: UInt16 = certificate == nil ? 0 : try freePort()
        self.securePort = securePort
        let tls = certificate.map { Site.TLS(port: securePort, certificate: $0) }
        let site = Site(port: port, backendPort: backendPort, hosts: hosts, tls: tls)
        let arguments = try contender.arguments(for: site, in: folder)
        child = try Child(contender.name, contender.program, arguments, cpu: cpu, folder: folder)
        let giveUpAt = monotonicNow() + 15_000_000_000
        var last = "no connection"
        while true {
            if let reply = fetch(port: port, host: hosts[0], path: "/bytes/3") {
                if reply.status == 200 && reply.body == "xxx" { break }
                last = "status \(reply.status)"
            }
            guard child.isRunning, monotonicNow() < giveUpAt, !stopWasAsked else {
                let ending = child.ending ?? "no right answer in time: \(last)"
                child.stop()
                throw Failure("\(contender.name) did not start (\(ending)): \(child.output.suffix(600))")
            }
            pause(milliseconds: 5)
        }
        // nginx's worker may come after the first answer could be had; by now it is there.
        meter = ProcessMeter(child.pid)
    }

    /// The forwarding fields that the backend did not get.
    func missingFields(host: String) -> [String] {
        let head = fetch(port: port, host: host, path: "/head")?.body.lowercased() ?? ""
        let lines = head.split(whereSeparator: \.isNewline)
        return forwardingFields.filter { field in !lines.contains { $0.hasPrefix(field + ": ") } }
    }

    /// Whether it still runs, and how it ended if not.
    var ending: String? { child.ending.map { "\($0): \(child.output.suffix(600))" } }

    /// Its process.
    var pid: pid_t { child.pid }

    /// Ends it.
    func stop() { child.stop(signal: contender.stopSignal) }
}

/// Asks 127.0.0.1:`port` for `path` and waits for the whole answer, at most two seconds; nil where there was none.
func fetch(port: UInt16, host: String, path: String) -> (status: Int, body: String)? {
    let fd = makeSocket(for: loopback(port), isNonblocking: false)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    // Safety: the kernel reads the timeval.
    _ = unsafe setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    guard unsafe withSocketAddress(loopback(port), { unsafe connect(fd, $0, $1) }) == 0 else { return nil }
    let request = Array("GET \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n".utf8)
    // Safety: send reads the request's bytes.
    let sent = unsafe request.withUnsafeBytes { unsafe send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    guard sent == request.count, let text = readAll(fd) else { return nil }
    // Scalars, because to Swift "\r\n" is one character.
    let scalars = Array(text.unicodeScalars)
    guard scalars.count > 12, let status = Int(String(String.UnicodeScalarView(scalars[9..<12]))) else { return nil }
    for at in scalars.indices.dropLast(3)
    where scalars[at] == "\r" && scalars[at + 1] == "\n" && scalars[at + 2] == "\r" && scalars[at + 3] == "\n" {
        return (status, String(String.UnicodeScalarView(scalars[(at + 4)...])))
    }
    return nil
}
