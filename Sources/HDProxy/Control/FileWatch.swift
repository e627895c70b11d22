// Did the configuration change? The file's folder is watched, not the file: editors and ConfigMaps replace it, the
// latter by a swap of the symbolic link `..data` in the folder.

import CLinux
import Glibc
import ProxyCore

/// Watches the folders that decide what some paths read.
struct FileWatch: ~Copyable {
    private let descriptor: FileDescriptor
    private var paths: [String]
    private var folders: [String: Int32] = [:]

    /// Watches the files at `paths`.
    init(paths: [String]) throws(SystemError) {
        let number = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        guard number >= 0 else { throw SystemError("inotify_init1", doing: "watching \(paths.first ?? "nothing")") }
        descriptor = FileDescriptor(owning: number)
        self.paths = paths
        follow()
    }

    /// Watches these files from now on.
    mutating func watch(_ paths: [String]) {
        self.paths = paths
        follow()
    }

    /// Its descriptor, readable when something changed.
    var number: Int32 { descriptor.number }

    /// Takes all that was noticed, and watches the folders that the path leads through now.
    mutating func clear() {
        var memory = [UInt8](repeating: 0, count: 4096)
        // Safety: as much room as is said. What exactly changed does not matter: the file is read anew.
        while unsafe read(number, &memory, memory.count) > 0 {}
        follow()
    }

    private mutating func follow() {
        let wanted = paths.reduce(into: Set<String>()) { $0.formUnion(Self.folders(of: $1)) }
        watch(folders: wanted)
    }

    /// The folder of the path as it is named, and of each file that symbolic links lead to.
    private static func folders(of path: String) -> Set<String> {
        var wanted: Set<String> = []
        var at = path
        for _ in 0..<16 {
            let folder = folder(of: at)
            wanted.insert(folder)
            guard let target = linkTarget(at) else { break }
            at = target.hasPrefix("/") ? target : folder + "/" + target
        }
        // The real file, in case that a folder on the way is a link, as `..data` is.
        if let real = realPath(path) { wanted.insert(folder(of: real)) }
        return wanted
    }

    private mutating func watch(folders wanted: Set<String>) {
        let bits =
            UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO) | UInt32(IN_CREATE) | UInt32(IN_DELETE)
            | UInt32(IN_ATTRIB) | UInt32(IN_ONLYDIR)
        // Again also for those that are watched: a folder may be another one of the same name by now.
        for folder in wanted {
            // Safety: a NUL-terminated copy of the path for the length of the call.
            let watch = unsafe inotify_add_watch(number, folder, bits)
            if watch >= 0 { folders[folder] = watch }
        }
        for (folder, watch) in folders where !wanted.contains(folder) {
            _ = inotify_rm_watch(number, watch)
            folders[folder] = nil
        }
    }

    private static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func linkTarget(_ path: String) -> String? {
        var memory = [UInt8](repeating: 0, count: 4096)
        // Safety: as much room as is said.
        let n = unsafe memory.withUnsafeMutableBytes { room in
            unsafe readlink(path, room.baseAddress!.assumingMemoryBound(to: CChar.self), room.count)
        }
        return n > 0 ? String(decoding: memory[..<n], as: UTF8.self) : nil
    }

    private static func realPath(_ path: String) -> String? {
        // Safety: realpath allocates the text, which is freed here.
        guard let text = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }
}
