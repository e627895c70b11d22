// What does this machine say about names now? `resolv.conf` and `hosts`, read again when they have changed: a mounted
// file is replaced under us, and nobody restarts a proxy for that.

import Glibc
import ProxyCore

/// The two files, as they were at most a second ago.
@ControlThread
final class MachineFiles {
    private struct File {
        let path: String
        var stamp: Stamp?
    }

    /// What changes when a file is written or replaced.
    private struct Stamp: Equatable {
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int64
        var nanoseconds: Int64
    }

    /// What `resolv.conf` says.
    private(set) var configuration = ResolverConfiguration()
    /// What `hosts` says.
    private(set) var hosts = HostsFile()

    private var configurationFile: File
    private var hostsFile: File
    private let port: UInt16
    private let lookEvery: Instant.Span
    private var nextLook = Instant(nanoseconds: .min)

    /// The files at these paths, not read yet. The servers of `resolv.conf` are asked at `port`.
    init(
        configuration: String, hosts: String, port: UInt16 = ResolverConfiguration.port,
        lookEvery: Duration = .seconds(1)
    ) {
        configurationFile = File(path: configuration)
        hostsFile = File(path: hosts)
        self.port = port
        self.lookEvery = Instant.Span(lookEvery)
    }

    /// Reads what has changed, and looks at most once a second. Whether the configuration is another one now.
    func refresh(_ now: Instant) -> Bool {
        guard now >= nextLook else { return false }
        nextLook = now + lookEvery
        if let text = Self.changed(&hostsFile, bytesMax: Self.hostsBytesMax) { hosts = HostsFile(text) }
        guard let text = Self.changed(&configurationFile, bytesMax: Self.configurationBytesMax) else { return false }
        var new = ResolverConfiguration(text)
        for index in new.servers.indices { new.servers[index].port = port }
        // A file that is being written may be empty for a moment; servers that were good stay until there are others.
        if new.servers.isEmpty { new.servers = configuration.servers }
        defer { configuration = new }
        return new != configuration
    }

    /// The text of a file that is another one than the last time; nil where it is the same, or cannot be read: what was
    /// read before stays.
    private static func changed(_ file: inout File, bytesMax: Int) -> String? {
        // Safety: the path is a NUL-terminated string for the length of the call.
        let descriptor = FileDescriptor(owning: unsafe open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK))
        guard descriptor.isOpen else { return nil }
        var status = stat()
        // Safety: room for one stat.
        guard unsafe fstat(descriptor.number, &status) == 0 else { return nil }
        let stamp = Stamp(
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: Int64(status.st_mtim.tv_sec), nanoseconds: Int64(status.st_mtim.tv_nsec))
        guard stamp != file.stamp else { return nil }
        guard let text = text(of: descriptor, bytesMax: bytesMax) else { return nil }
        file.stamp = stamp
        return text
    }

    private static func text(of descriptor: borrowing FileDescriptor, bytesMax: Int) -> String? {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 * 1024)
        while bytes.count < bytesMax {
            // Safety: the kernel writes at most as many bytes as there is room for.
            let count = unsafe read(descriptor.number, &piece, piece.count)
            if count < 0 { return nil }
            if count == 0 { break }
            bytes += piece[..<count]
        }
        return String(decoding: bytes.prefix(bytesMax), as: UTF8.self)
    }

    private static let configurationBytesMax = 64 * 1024
    private static let hostsBytesMax = 4 * 1024 * 1024
}
