// What did only the start need? Pages of the program's text that were read once, for configuration and set-up, stay
// mapped for ever; given back, those that are needed come again from the page cache.

import CLinux
import Glibc

/// Unmaps the program's text, and that of its libraries, so that only what is used from now on is mapped again. Text is
/// never written, so nothing is lost. Does nothing where `/proc` is not mounted.
public func releaseStartupPages() {
    // Safety: a constant path.
    let maps = FileDescriptor(owning: unsafe open("/proc/self/maps", O_RDONLY | O_CLOEXEC))
    guard maps.isOpen else { return }
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
        // Safety: as much room as is said.
        let n = unsafe read(maps.number, &chunk, chunk.count)
        if n <= 0 { break }
        text.append(contentsOf: chunk[..<n])
    }
    // 55d0c8a00000-55d0c8f00000 r-xp 00200000 fe:00 1234  /usr/bin/hdproxy
    for line in text.split(separator: UInt8(ascii: "\n")) {
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: true)
        guard words.count >= 6, words[1].elementsEqual("r-xp".utf8), words[5].first == UInt8(ascii: "/") else {
            continue
        }
        let ends = words[0].split(separator: UInt8(ascii: "-")).map {
            UInt(String(decoding: $0, as: UTF8.self), radix: 16)
        }
        guard ends.count == 2, let start = ends[0], let end = ends[1], start < end else { continue }
        // Safety: a mapping of a file that is read and executed and never written; what is dropped is read again.
        _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
    }
}
