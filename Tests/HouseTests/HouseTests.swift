// The house itself: what ARCHITECTURE.md and CONTRIBUTING.md promise about the tree and can be read off it.

import Foundation
import Testing

@Suite("The house")
struct HouseTests {
    private let tree: SourceTree

    init() throws { tree = try SourceTree.project.get() }

    /// Fails with all of `faults`, one a line.
    private func expectNone(_ faults: [String]) {
        #expect(faults.isEmpty, "\n\(faults.joined(separator: "\n"))")
    }

    @Test("every file of ProxyCore stands in a room of the floor plan")
    func everyFileHasARoom() {
        #expect(tree.rooms.count > 10, "the table in ARCHITECTURE.md was not understood")
        let known = tree.rooms.map(\.name) + ["C"]
        expectNone(
            tree.swift(below: "Sources/ProxyCore").filter { $0.parts.count < 4 || !known.contains($0.parts[2]) }
                .map { "\($0.path): no room of this name in ARCHITECTURE.md" })
    }

    @Test("a room mentions only types of its own and of rooms above it")
    func orderOfRooms() {
        let order = tree.rooms.map(\.name)
        let files = tree.swift(below: "Sources/ProxyCore")
        var homes: [String: [Int]] = [:]
        for file in files {
            guard let room = order.firstIndex(of: file.parts[2]) else { continue }
            for type in file.declaredTypes { homes[type, default: []].append(room) }
        }
        var faults: [String] = []
        for file in files {
            guard let room = order.firstIndex(of: file.parts[2]) else { continue }
            for (index, line) in file.code.enumerated() {
                for word in line.utf8.split(whereSeparator: { !isNameByte($0) }) {
                    // Types begin with a capital letter.
                    guard let first = word.first, (0x41...0x5A).contains(first) else { continue }
                    guard let found = homes[String(word)!], let home = found.min(), home > room else { continue }
                    faults.append("\(file.path):\(index + 1): \(word) lives below, in \(order[home])")
                }
            }
        }
        expectNone(faults)
    }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "_"): true
        default: false
        }
    }

    @Test("each room imports only what the floor plan allows")
    func imports() {
        let dry = Set(tree.rooms.filter(\.isDry).map(\.name))
        let wet: [String: Set<String>] = [
            "System": ["Glibc", "CLinux", "Synchronization"], "TLS": ["COpenSSL", "Glibc"], "Connection": [],
            "Worker": ["Synchronization"],
        ]
        let outside: [String: Set<String>] = [
            "Discovery": ["ProxyCore", "Foundation", "FoundationEssentials", "Glibc", "Synchronization"],
            "HDProxy": [
                "ProxyCore", "Discovery", "FakeCluster", "Foundation", "FoundationEssentials", "Glibc", "CLinux",
                "Synchronization",
            ],
        ]
        let shared = [
            "ConnectionCap.swift", "Mailbox.swift", "Outbox.swift", "TelemetryReply.swift", "Heartbeat.swift",
            "SharedLoads.swift", "ClientCounts.swift",
        ]
        var faults: [String] = []
        for file in tree.swift(below: "Sources") {
            let allowed: Set<String>
            if file.parts[1] == "ProxyCore" {
                // Counts of the whole process stand where they are used to decide.
                let isShared = file.parts.last == "SharedLoads.swift"
                allowed = dry.contains(file.parts[2]) ? isShared ? ["Synchronization"] : [] : wet[file.parts[2]] ?? []
            } else {
                allowed = outside[file.parts[1]] ?? []
            }
            for (module, line) in file.imports {
                if !allowed.contains(module) { faults.append("\(file.path):\(line): import \(module)") }
                let mayShare = file.parts[1] != "ProxyCore" || shared.contains(file.parts.last ?? "")
                if module == "Synchronization" && !mayShare {
                    faults.append("\(file.path):\(line): only \(shared) share anything between threads")
                }
            }
        }
        expectNone(faults)
    }

    @Test("whoever names a kind of socket imports CLinux, too")
    func kindsOfSockets() {
        // The kernel's header belongs to the module that met it first, and which one that is depends on what is compiled
        // together: without both imports a file is understood on one machine and not on the next.
        expectNone(
            tree.files.filter { file in
                file.path.hasSuffix(".swift") && file.code.contains { $0.contains("SOCK_") }
                    && !file.imports.contains { $0.module == "CLinux" }
            }.map { "\($0.path): import CLinux" })
    }

    @Test("there are no package dependencies")
    func noPackages() throws {
        let manifest = try #require(tree.file("Package.swift"))
        expectNone(manifest.code.filter { $0.contains(".package(") })
    }

    @Test("only the mailbox vouches for its own thread safety")
    func uncheckedSendable() {
        expectNone(
            tree.files.filter { $0.path.hasSuffix(".swift") && !$0.path.hasSuffix("Worker/Mailbox.swift") }
                .flatMap { file in
                    file.code.enumerated().filter { $0.element.contains("@unchecked Sendable") }
                        .map { "\(file.path):\($0.offset + 1)" }
                })
    }

    @Test("every source file opens with a paragraph that says which question it answers")
    func openingParagraph() {
        let files = tree.swift(below: "Sources") + tree.swift(below: "Benchmarks")
        expectNone(files.filter { $0.lines.first?.hasPrefix("// ") != true }.map(\.path))
    }

    @Test("an unsafe expression has a line `Safety:` at most forty lines above it")
    func safety() {
        var faults: [String] = []
        for file in tree.swift(below: "Sources") + tree.swift(below: "Benchmarks") {
            for (index, line) in file.code.enumerated() {
                let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" && $0 != "(" }
                guard words.contains("unsafe") else { continue }
                if !file.lines[max(0, index - 40)...index].contains(where: { $0.contains("Safety:") }) {
                    faults.append("\(file.path):\(index + 1): \(line.trimmingCharacters(in: .whitespaces))")
                }
            }
        }
        expectNone(faults)
    }

    @Test(
        "files and folders that the documents name exist",
        arguments: ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"])
    func namedFiles(document: String) throws {
        let text = try #require(tree.file(document)).lines
        var faults: [String] = []
        for (index, line) in text.enumerated() {
            let quoted = line.matches(of: /`([^`]+)`/).map { String($0.1) }
            let linked = line.matches(of: /\]\(([^)]+)\)/).map { String($0.1) }
            for name in quoted.filter(isPath) + linked.filter({ !$0.contains("://") && !$0.hasPrefix("#") })
            where !exists(name) {
                faults.append("\(document):\(index + 1): \(name)")
            }
        }
        expectNone(faults)
    }

    /// Whether a quoted word is meant as a path of the tree: it has a slash inside, or an ending that only files have.
    private func isPath(_ word: String) -> Bool {
        guard word.wholeMatch(of: /[A-Za-z.][\w.\/+-]*/) != nil else { return false }
        return word.contains("/") || [".swift", ".md", ".json5"].contains { word.hasSuffix($0) }
    }

    /// Documents name files from the root, from the sources, or by their last name alone, with or without `.swift`.
    private func exists(_ name: String) -> Bool {
        let folders = ["", "Sources/", "Sources/ProxyCore/", "Sources/HDProxy/"]
        let isThere = folders.contains { folder in
            ["", ".swift"].contains {
                FileManager.default.fileExists(atPath: tree.root.appending(path: folder + name + $0).path)
            }
        }
        return isThere || tree.files.contains { $0.path.hasSuffix("/" + name) }
    }

    @Test("the examples that the documents speak of are in Config")
    func examples() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: tree.root.appending(path: "Config").path)
        #expect(names.contains("demo.json5") && names.contains("edge.json5"))
        let tests = tree.swift(below: "Tests/HDProxyTests")
        expectNone(
            names.filter { name in
                !tests.contains { test in test.lines.contains { $0.contains(name) || $0.contains("Config\"") } }
            }.map { "Config/\($0): no test reads it" })
    }

    @Test("every test folder is a target, and no target is without tests")
    func testTargets() throws {
        let manifest = try #require(tree.file("Package.swift")).lines.joined(separator: "\n")
        let folders = try FileManager.default.contentsOfDirectory(atPath: tree.root.appending(path: "Tests").path)
        let others = ["Corpus", "FakeCluster", "Fixtures", "TestTools", "CVE.md"]
        expectNone(
            folders.filter { !others.contains($0) }.flatMap { folder -> [String] in
                var faults: [String] = []
                if !manifest.contains("\"\(folder)\"") { faults.append("Tests/\(folder) is no target") }
                let holdsTests = tree.swift(below: "Tests/\(folder)").contains { file in
                    file.code.contains { $0.contains("@Test") }
                }
                if !holdsTests { faults.append("Tests/\(folder) holds no test") }
                return faults
            })
    }

    @Test("each famous hole of Tests/CVE.md is named by a test in the file that stands beside it")
    func famousHoles() throws {
        let rows = try #require(tree.file("Tests/CVE.md")).lines.filter { $0.hasPrefix("| ") }.dropFirst(2)
        #expect(rows.count >= 60)
        var listed: Set<String> = []
        var faults: [String] = []
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            let path = cells.last?.trimmingCharacters(in: ["`"]) ?? ""
            let lines = tree.file("Tests/" + path)?.lines ?? []
            let titles = lines.filter { $0.hasPrefix("## ") || $0.contains("@Test(") || $0.hasPrefix("        \"") }
            for name in cells.first?.split(separator: ", ").map(String.init) ?? [] {
                listed.insert(name)
                // No other number that begins in the same way.
                let isShown = titles.contains { title in
                    title.split { !$0.isLetter && !$0.isNumber && $0 != "-" }.contains { $0 == name }
                }
                if !isShown { faults.append("\(name): no test of that name in Tests/\(path)") }
            }
        }
        for line in tree.file("Tests/Corpus/Plays/old-wounds.md")?.lines ?? [] where line.hasPrefix("## ") {
            for name in line.matches(of: /(CVE|GHSA|GO)-[\w-]+/).map({ String($0.0) }) where !listed.contains(name) {
                faults.append("\(name) is not in Tests/CVE.md")
            }
        }
        expectNone(faults)
    }

    @Test("the time of day is asked for where it is told to somebody, and for nothing that waits")
    func clocks() {
        // Files that may ask, and what they tell. Deadlines, ages and pauses are counted from `Clock.now`, which never jumps.
        let tellers = [
            "Sources/ProxyCore/System/Clock.swift": "asks the kernel",
            "Sources/ProxyCore/Connection/Connections.swift": "Date",
            "Sources/Discovery/DNS/DNSSource.swift": "when a witness was heard",
            "Sources/Discovery/Kubernetes/KubernetesSource.swift": "when a witness was heard",
            "Sources/Discovery/Discovery.swift": "since when endpoints are what they are",
            "Sources/Discovery/Discovery+Care.swift": "since when an endpoint is ill",
            "Sources/Discovery/Probing/Prober.swift": "since when a probe says so",
            "Sources/Discovery/LastKnownGood/LastKnownGood.swift": "how old files of a process before are",
            "Sources/ProxyCore/Connection/Connections+Ending.swift": "a line of the access log",
            "Sources/ProxyCore/Connection/Connections+Telemetry.swift": "when a head was refused",
            "Sources/HDProxy/Admin/AdminPages.swift": "when a page was made",
            "Sources/HDProxy/Admin/AdminConnection.swift": "Date",
            "Sources/HDProxy/Commands/CheckCommand.swift": "how long certificates are valid",
            "Sources/HDProxy/Control/ControlLoop.swift": "when the process started",
            "Sources/HDProxy/Control/ControlLoop+Status.swift": "when a status was made",
            "Sources/HDProxy/Control/ControlLoop+Rollouts.swift": "when a rollout was",
            "Sources/HDProxy/Control/EventLog.swift": "a line of the log",
            "Sources/HDProxy/Control/TLSKeeper.swift": "how long certificates are valid",
            "Sources/HDProxy/Demo/DemoAnswer.swift": "Date",
        ]
        var askers: Set<String> = []
        var faults: [String] = []
        for file in tree.swift(below: "Sources") {
            for (index, line) in file.code.enumerated()
            where line.contains(
                /Clock\.wall|CLOCK_REALTIME|CLOCK_TAI|\bDate\(\)|\bDate\.now|\btime\((nil|&)|gettimeofday|timeIntervalSince/
            ) {
                askers.insert(file.path)
                if tellers[file.path] == nil { faults.append("\(file.path):\(index + 1): asks for the time of day") }
            }
        }
        faults += tellers.keys.filter { !askers.contains($0) }.map {
            "\($0): does not ask for the time of day any more"
        }
        expectNone(faults.sorted())
    }

    @Test("every play cites the rule that it shows")
    func citedRules() {
        let pages = tree.files.filter { $0.path.hasPrefix("Tests/Corpus/Plays/") && !$0.path.hasSuffix("README.md") }
        #expect(!pages.isEmpty)
        expectNone(
            pages.flatMap { page in
                page.lines.enumerated().filter { line in
                    line.element.hasPrefix("## ") && !line.element.contains(/\((RFC \d+ §|contract: ).*\)$/)
                }.map { "\(page.path):\($0.offset + 1): \($0.element)" }
            })
    }
}
