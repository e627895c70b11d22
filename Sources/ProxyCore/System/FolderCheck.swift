// Is there anything in a folder?

import Glibc

/// Looks into folders.
enum FolderCheck {
    /// Whether the folder `path` can be read and holds something.
    static func hasEntries(_ path: String) -> Bool {
        // Safety: the folder is closed here; an entry is only compared with nil.
        guard let folder = unsafe opendir(path) else { return false }
        defer { unsafe _ = closedir(folder) }
        // `.` and `..` are always there.
        for _ in 0..<3 { if unsafe readdir(folder) == nil { return false } }
        return true
    }
}
