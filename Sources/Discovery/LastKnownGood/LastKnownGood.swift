// What did an earlier process know? One file in the state directory, `endpoints.json`: a JSON object whose first member
// is the SHA-256 of every byte after it, so that a file is believed whole or not at all. It is replaced as a whole
// (written beside, synced, renamed), so two processes that keep their state in the same directory may overwrite each
// other's file but never mix them.

import FoundationEssentials
import Glibc
import ProxyCore

/// The file in which what was known survives a restart.
public enum LastKnownGood {
    /// Its name in the state directory.
    public static let fileName = "endpoints.json"
    /// Larger files are refused; 10,000 endpoints take some 3 MB.
    static let bytesMax = 32 * 1024 * 1024

    /// What reading came to.
    public enum Reading: Sendable, Equatable {
        /// There is no file.
        case nothing
        /// This was known.
        case known(KeptState)
        /// There is something that is not believed, for this reason.
        case refused(String)
    }

    private static let prefix = Array(#"{"sha256":""#.utf8)
    private static let separator = Array(#"","#.utf8)
    private static let digestCharacters = 64

    // MARK: Bytes

    /// The file for `state`, in which members have the order of their names.
    static func encode(_ state: KeptState) throws -> [UInt8] {
        var encoder = KeptEncoder()
        return try encoder.encode(state)
    }

    /// The file whose members `rest` holds, from behind the checksum on.
    static func seal(_ rest: [UInt8]) -> [UInt8] {
        var bytes = prefix
        bytes.reserveCapacity(rest.count + 128)
        bytes += checksum(rest)
        bytes += separator
        bytes += rest
        return bytes
    }

    /// What a file says.
    static func decode(_ bytes: [UInt8]) -> Reading {
        let head = prefix.count + digestCharacters + separator.count
        guard bytes.count > head, bytes.starts(with: prefix),
            bytes[(prefix.count + digestCharacters)..<head].elementsEqual(separator)
        else { return .refused("it does not begin as a file of endpoints does") }
        let rest = Array(bytes[head...])
        guard checksum(rest).elementsEqual(bytes[prefix.count..<(prefix.count + digestCharacters)]) else {
            return .refused("its checksum does not match what it holds")
        }
        var json = [UInt8(ascii: "{")]
        json += rest
        let document: KeptDocument
        do {
            let version = try JSONDecoder().decode(KeptDocument.Version.self, from: Data(json)).version
            guard version == KeptDocument.version else { return .refused("its format has version \(version)") }
            document = try JSONDecoder().decode(KeptDocument.self, from: Data(json))
        } catch {
            return .refused("it is not what is written there: \(error)")
        }
        do throws(KeptDocument.Absurdity) {
            return .known(try document.state())
        } catch {
            return .refused(error.text)
        }
    }

    private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return Digest.sha256(bytes).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    }

    // MARK: Files

    /// Reads what an earlier process knew. Blocks for as long as the disk takes: to be called before serving.
    public static func read(directory: String) -> Reading {
        let path = "\(directory)/\(fileName)"
        // A name that is no file, a FIFO or a directory, must not be waited for.
        // Safety: the path is a NUL-terminated string for the length of the call.
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else {
            return errno == ENOENT ? .nothing : .refused("open: \(SystemError.text(errno))")
        }
        let file = FileDescriptor(owning: number)
        var status = stat()
        // Safety: room for one stat.
        guard unsafe fstat(file.number, &status) == 0 else { return .refused("fstat: \(SystemError.text(errno))") }
        guard status.st_mode & S_IFMT == S_IFREG else { return .refused("it is not a file") }
        guard status.st_size <= bytesMax else { return .refused("it has \(status.st_size) bytes") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            // Safety: at most as many bytes as the chunk holds.
            let count = unsafe Glibc.read(file.number, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .refused("read: \(SystemError.text(errno))") }
            if count == 0 { break }
            bytes += chunk[..<count]
            if bytes.count > bytesMax { return .refused("it has more than \(bytesMax) bytes") }
        }
        return decode(bytes)
    }

    /// Puts `bytes` in the place of the file: whoever reads sees the old one or the new one, also after a crash.
    static func write(_ bytes: [UInt8], directory: String) throws(SystemError) {
        let path = "\(directory)/\(fileName)"
        let doing = "keeping what is known in \(path)"
        // A process of another container may have the same process id.
        let temporary = "\(directory)/\(temporaryPrefix)\(String(systemRandom(), radix: 16))"
        // Safety: paths are NUL-terminated strings for the length of each call.
        unsafe mkdir(directory, 0o700)
        let number = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard number >= 0 else { throw SystemError("open", doing: doing) }
        let file = FileDescriptor(owning: number)
        do throws(SystemError) {
            try write(bytes, to: file.number, doing)
            guard fsync(file.number) == 0 else { throw SystemError("fsync", doing: doing) }
            // Safety: as above.
            guard unsafe rename(temporary, path) == 0 else { throw SystemError("rename", doing: doing) }
        } catch {
            // Safety: as above.
            unsafe unlink(temporary)
            throw error
        }
        // Only now does the name survive a power cut.
        // Safety: as above.
        let folder = FileDescriptor(owning: unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
        guard folder.isOpen, fsync(folder.number) == 0 else { throw SystemError("fsync", doing: doing) }
    }

    private static func write(_ bytes: [UInt8], to file: Int32, _ doing: String) throws(SystemError) {
        var sent = 0
        while sent < bytes.count {
            // Safety: the range lies in the array.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress! + sent, $0.count - sent)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemError("write", doing: doing) }
            sent += count
        }
    }

    private static let temporaryPrefix = ".\(fileName)."

    /// Removes files that a process left half written an hour ago or earlier.
    static func removeLeftovers(directory: String) {
        let files = FileManager.default
        for name in (try? files.contentsOfDirectory(atPath: directory)) ?? [] where name.hasPrefix(temporaryPrefix) {
            let path = "\(directory)/\(name)"
            guard let date = (try? files.attributesOfItem(atPath: path))?[.modificationDate] as? Date,
                date.timeIntervalSinceNow < -3600
            else { continue }
            try? files.removeItem(atPath: path)
        }
    }
}
