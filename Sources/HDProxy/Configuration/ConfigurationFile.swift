// The file on disk: read whole, once, by plain system calls. Foundation would add megabytes to a proxy that needs none.

import Glibc

/// Reads and validates the configuration in the file `path`, and the files that it names.
func loadConfiguration(path: String) -> Result<Settings, ConfigurationProblems> {
    switch readFile(path, bytesMax: JSON5Reader.bytesMax + 1) {
    case .success(let bytes):
        switch SettingsReader.read(bytes, file: path) {
        case .failure(let problems): return .failure(problems)
        case .success(let read):
            let (settings, problems) = TLSMaterial.read(read)
            if problems.isEmpty { return .success(settings) }
            return .failure(ConfigurationProblems(file: path, problems: problems, areOfNamedFiles: true))
        }
    case .failure(let refusal):
        let problem = ConfigurationProblem(
            path: "", wrong: "the file cannot be read: \(refusal.text)", allowed: "a readable file in JSON5")
        return .failure(ConfigurationProblems(file: path, problems: [problem]))
    }
}

/// The bytes of a file, at most `bytesMax` of them.
func readFile(_ path: String, bytesMax: Int) -> Result<[UInt8], Refusal> {
    // Safety: `path` becomes a NUL-terminated copy for the time of the call.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .failure(Refusal(stringLiteral: errorText(errno))) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    while bytes.count < bytesMax {
        let wanted = min(chunk.count, bytesMax - bytes.count)
        // Safety: at most `wanted` bytes are written, and `chunk` has at least as many.
        let count = unsafe read(descriptor, &chunk, wanted)
        if count == 0 { break }
        if count < 0 {
            if errno == EINTR { continue }
            return .failure(Refusal(stringLiteral: errorText(errno)))
        }
        bytes.append(contentsOf: chunk[..<count])
    }
    return .success(bytes)
}

/// The system's words for `code`, as in "No such file or directory".
func errorText(_ code: Int32) -> String {
    // Safety: strerror returns a NUL-terminated string, which is copied at once.
    unsafe String(cString: strerror(code))
}
