// Where does the measurement take place? In a network namespace of its own: no other traffic, no port in use, and one
// congestion control for all (over loopback, BBR's pacing hides what a proxy costs).

import CLinux
import Glibc

/// What became of the wish for a network of our own.
struct NetworkRoom {
    /// Whether this process has a network namespace of its own.
    let isPrivate: Bool
    /// The congestion control that new connections get.
    let congestionControl: String
    /// What could not be had, in sentences.
    let complaints: [String]

    private static let congestionPath = "/proc/sys/net/ipv4/tcp_congestion_control"

    /// Takes this process, and all that it starts, into a new network namespace with Reno. Must come before any thread
    /// is started. What is not possible is told in `complaints`, and the work goes on without it.
    static func enter() -> NetworkRoom {
        var complaints: [String] = []
        let isPrivate: Bool
        do {
            try unshareNetwork()
            try raiseLoopback()
            isPrivate = true
            set(congestionPath, "reno", &complaints)
            // Enough ports for a new connection a request.
            set("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535", &complaints)
        } catch {
            isPrivate = false
            complaints.append("no network namespace of our own (\(error)): the machine's congestion control is used")
        }
        let control = (readSystemFile(congestionPath) ?? "unknown").filter { $0 != "\n" }
        return NetworkRoom(isPrivate: isPrivate, congestionControl: control, complaints: complaints)
    }

    private static func set(_ path: String, _ value: String, _ complaints: inout [String]) {
        do { try writeFile(path, value) } catch { complaints.append("\(error)") }
    }

    private static func unshareNetwork() throws {
        let (user, group) = (geteuid(), getegid())
        if user == 0, unshare(Int32(HD_CLONE_NEWNET)) == 0 { return }
        guard unshare(Int32(HD_CLONE_NEWUSER) | Int32(HD_CLONE_NEWNET)) == 0 else { throw SystemFailure("unshare") }
        // Without a map we would be nobody in the new user namespace, and could not even write our own files.
        try writeFile("/proc/self/setgroups", "deny")
        try writeFile("/proc/self/uid_map", "0 \(user) 1")
        try writeFile("/proc/self/gid_map", "0 \(group) 1")
    }

    /// A new namespace has a loopback device that is down.
    private static func raiseLoopback() throws {
        let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        guard fd >= 0 else { throw SystemFailure("socket") }
        defer { close(fd) }
        // struct ifreq: 16 bytes of name, then a union of 24 bytes that begins with the flags here.
        var request = [UInt8]("lo".utf8) + [UInt8](repeating: 0, count: 38)
        // Safety: both calls use 40 bytes, the size of an ifreq.
        guard unsafe request.withUnsafeMutableBytes({ unsafe ioctl(fd, UInt(SIOCGIFFLAGS), $0.baseAddress!) }) == 0
        else { throw SystemFailure("reading the flags of lo") }
        request[16] |= UInt8(IFF_UP & 0xFF)
        guard unsafe request.withUnsafeMutableBytes({ unsafe ioctl(fd, UInt(SIOCSIFFLAGS), $0.baseAddress!) }) == 0
        else { throw SystemFailure("raising lo") }
    }
}
