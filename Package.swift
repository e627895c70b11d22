// swift-tools-version: 6.2
// What is built from what: three modules, two header-only doors to C, the benchmark harness and the tests.
// There are no package dependencies, by design.
import PackageDescription

// `make test-tsan`: what makes waiting for a Mutex visible to the sanitizer is part of every program. The sanitizer has the
// compiler note each `inout` of a part as one of the whole, which its own check then takes for two at once; every other
// build has that check.
let isThreadSanitized = Context.environment["HDPROXY_SANITIZED"] == "thread"
let sanitized: [SwiftSetting] =
    isThreadSanitized ? [.unsafeFlags(["-Xllvm", "-sil-disable-pass=diagnose-static-exclusivity"])] : []

// An async function that names no actor runs where its caller runs: the control thread stays alone.
let swift: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6), .strictMemorySafety(), .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + sanitized

// `make fuzz` builds another package out of the same sources: a program around libFuzzer, which needs every module
// instrumented and the program's own sources as a library. Its build folder is its own, too.
let isFuzzed = Context.environment["HDPROXY_FUZZ"] != nil
let fuzzed: [SwiftSetting] = isFuzzed ? [.unsafeFlags(["-sanitize=fuzzer", "-enable-testing"])] : []

let package = Package(
    name: "hdproxy",
    products: [
        .executable(name: "hdproxy", targets: ["HDProxy"]),
        .executable(name: "hdproxy-bench", targets: ["hdproxy-bench"]),
    ],
    targets: [
        // The doors: what Swift's Glibc module lacks, and OpenSSL's macros.
        .systemLibrary(name: "CLinux", path: "Sources/ProxyCore/C/Linux"),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/ProxyCore/C/OpenSSL", pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]),

        // The three buildings: each knows only those above it.
        .target(
            name: "ProxyCore", dependencies: ["CLinux", "COpenSSL"], path: "Sources/ProxyCore",
            exclude: ["C"], swiftSettings: swift + fuzzed),
        .target(
            name: "Discovery", dependencies: ["ProxyCore"], path: "Sources/Discovery", swiftSettings: swift + fuzzed),
        isFuzzed
            ? .target(
                name: "HDProxy", dependencies: ["ProxyCore", "Discovery", "FakeCluster"], path: "Sources/HDProxy",
                exclude: ["Main.swift"], swiftSettings: swift + fuzzed)
            : .executableTarget(
                name: "HDProxy", dependencies: ["ProxyCore", "Discovery", "FakeCluster"], path: "Sources/HDProxy",
                swiftSettings: swift),

        // A Kubernetes API server for the tests, `hdproxy demo --cluster` and `hdproxy-bench discovery`.
        .target(
            name: "FakeCluster", dependencies: ["ProxyCore"], path: "Tests/FakeCluster", swiftSettings: swift),

        .executableTarget(
            name: "hdproxy-bench", dependencies: ["ProxyCore", "CLinux", "COpenSSL", "Discovery", "FakeCluster"],
            path: "Benchmarks",
            exclude: ["README.md", "Results"], swiftSettings: swift),

        // What tests of several targets share: running programs of the machine's, the wire corpus.
        .target(
            name: "TestTools", dependencies: ["CLinux", "ProxyCore"], path: "Tests/TestTools",
            exclude: ["ThreadSanitizer"], swiftSettings: swift),
        .testTarget(name: "ProxyCoreTests", dependencies: ["ProxyCore", "TestTools"], swiftSettings: swift),
        .testTarget(name: "DiscoveryTests", dependencies: ["Discovery", "FakeCluster"], swiftSettings: swift),
        .testTarget(name: "HDProxyTests", dependencies: ["HDProxy", "TestTools"], swiftSettings: swift),
        .testTarget(name: "Simulation", dependencies: ["ProxyCore"], path: "Tests/Simulation", swiftSettings: swift),
        .testTarget(
            name: "EndToEnd", dependencies: ["CLinux", "HDProxy", "hdproxy-bench", "FakeCluster", "TestTools"],
            path: "Tests/EndToEnd", swiftSettings: swift),
        .testTarget(name: "HouseTests", dependencies: ["TestTools"], path: "Tests/HouseTests", swiftSettings: swift),
        .testTarget(
            name: "Fuzz", dependencies: ["ProxyCore", "Discovery", "HDProxy", "TestTools"], path: "Tests/Fuzz",
            exclude: ["C", "Corpus", "Findings", "Program", "README.md"], swiftSettings: swift),
    ]
)

if isFuzzed {
    package.targets.removeAll { $0.isTest || $0.name == "hdproxy-bench" }
    package.products = [.executable(name: "hdproxy-fuzz", targets: ["hdproxy-fuzz"])]
    package.targets += [
        .systemLibrary(name: "CFuzzer", path: "Tests/Fuzz/C"),
        .executableTarget(
            name: "hdproxy-fuzz", dependencies: ["CFuzzer", "ProxyCore", "Discovery", "HDProxy", "TestTools"],
            path: "Tests/Fuzz", exclude: ["C", "Corpus", "Findings", "README.md", "ReplayTests.swift"],
            swiftSettings: swift + fuzzed),
    ]
}

if isThreadSanitized {
    package.targets.append(.target(name: "CThreadSanitizer", path: "Tests/TestTools/ThreadSanitizer"))
    package.targets.first { $0.name == "ProxyCore" }?.dependencies.append("CThreadSanitizer")
    // The compiler breaks on the harness with this sanitizer (Swift 6.3.1: "Invalid bitcast i32 to ptr").
    package.products.removeAll { $0.name == "hdproxy-bench" }
    package.targets.removeAll { $0.name == "hdproxy-bench" }
    let stage = package.targets.first { $0.name == "EndToEnd" }
    stage?.dependencies.removeAll { if case .byNameItem("hdproxy-bench", _) = $0 { true } else { false } }
}
