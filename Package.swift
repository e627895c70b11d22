// swift-tools-version: 6.2
// What is built from what: three modules, two header-only doors to C, the benchmark harness and the tests.
// There are no package dependencies, by design.
import PackageDescription

// An async function that names no actor runs where its caller runs: the control thread stays alone.
let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6), .strictMemorySafety(), .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

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
            exclude: ["C"], swiftSettings: swift),
        .target(name: "Discovery", dependencies: ["ProxyCore"], path: "Sources/Discovery", swiftSettings: swift),
        .executableTarget(
            name: "HDProxy", dependencies: ["ProxyCore", "Discovery", "FakeCluster"], path: "Sources/HDProxy",
            swiftSettings: swift),

        // A Kubernetes API server for the tests, `hdproxy demo --cluster` and `hdproxy-bench discovery`.
        .target(
            name: "FakeCluster", dependencies: ["ProxyCore"], path: "Tests/FakeCluster", swiftSettings: swift),

        .executableTarget(
            name: "hdproxy-bench", dependencies: ["ProxyCore", "CLinux", "Discovery", "FakeCluster"],
            path: "Benchmarks",
            exclude: ["README.md", "Results"], swiftSettings: swift),

        // What tests of several targets share: running programs of the machine's.
        .target(name: "TestTools", dependencies: ["CLinux"], path: "Tests/TestTools", swiftSettings: swift),
        .testTarget(name: "ProxyCoreTests", dependencies: ["ProxyCore"], swiftSettings: swift),
        .testTarget(name: "DiscoveryTests", dependencies: ["Discovery", "FakeCluster"], swiftSettings: swift),
        .testTarget(name: "HDProxyTests", dependencies: ["HDProxy", "TestTools"], swiftSettings: swift),
        .testTarget(name: "Simulation", dependencies: ["ProxyCore"], path: "Tests/Simulation", swiftSettings: swift),
        .testTarget(
            name: "EndToEnd", dependencies: ["CLinux", "HDProxy", "hdproxy-bench", "FakeCluster", "TestTools"],
            path: "Tests/EndToEnd", swiftSettings: swift),
        .testTarget(name: "HouseTests", dependencies: ["TestTools"], path: "Tests/HouseTests", swiftSettings: swift),
    ]
)
