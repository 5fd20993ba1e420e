// swift-tools-version: 6.3

import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

// Test macros expand to code that strict memory safety rejects.
let strictTests: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableExperimentalFeature("Lifetimes"),
]

let package = Package(
    name: "Martlet",
    products: [
        .executable(name: "martlet", targets: ["martlet"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // The kernel interface that Glibc's overlay lacks or makes awkward.
        .target(name: "CLinux"),
        .systemLibrary(
            name: "COpenSSL",
            pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]
        ),

        // Pure: hashes and key derivation, no I/O.
        .target(name: "Digests", dependencies: ["COpenSSL"], swiftSettings: strict),
        // Pure: bytes <-> messages.
        .target(name: "PostgresWire", swiftSettings: strict),
        // Pure: every decision, (event, now) -> actions.
        .target(
            name: "PoolerCore",
            dependencies: [
                "Digests",
                "PostgresWire",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict
        ),
        // The only target that makes system calls.
        .target(
            name: "PoolerIO",
            dependencies: [
                "CLinux",
                "Digests",
                "PoolerCore",
                "PostgresWire",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "CLinux",
                "PoolerCore",
                "PoolerIO",
                "PostgresWire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),

        // What several test targets share.
        .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
        // Reads the sources and checks the rules that a compiler does not.
        .testTarget(name: "TidyTests", swiftSettings: strictTests),
        .testTarget(name: "DigestsTests", dependencies: ["Digests"], swiftSettings: strictTests),
        .testTarget(
            name: "PostgresWireTests",
            dependencies: ["PostgresWire", "TestSupport"],
            swiftSettings: strictTests
        ),
        // The event loop over socket pairs, with epoll and with io_uring.
        .testTarget(
            name: "PoolerIOTests",
            dependencies: ["PoolerCore", "PoolerIO", "PostgresWire", "TestSupport"],
            swiftSettings: strictTests
        ),
        .testTarget(
            name: "PoolerCoreTests",
            dependencies: ["Digests", "PoolerCore", "PostgresWire", "TestSupport"],
            swiftSettings: strictTests
        ),

        // PostgreSQL's own client library: the tests talk to the pooler as applications do.
        .systemLibrary(
            name: "CLibpq",
            path: "Tests/CLibpq",
            pkgConfig: "libpq",
            providers: [.apt(["libpq-dev"])]
        ),
        // A real PostgreSQL and a real pooler process (see Support/Pooler.swift).
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["CLibpq", "PoolerCore", "PostgresWire", "TestSupport"],
            swiftSettings: strictTests
        ),
    ]
)
