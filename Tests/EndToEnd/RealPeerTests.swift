// Programs that the world uses, on both sides: nginx behind the proxy; curl, wrk and h2load before it.

import Foundation
import TestTools
import Testing

/// nginx with files to give, as a child process.
final class Nginx: Sendable {
    let port: UInt16
    let folder: URL
    private let pid: pid_t

    /// `more` is asked for further servers, with the folder of the files and this port.
    init(port: UInt16, files: [String: Data], more: (String, UInt16) -> String = { _, _ in "" }) throws {
        self.port = port
        folder = FileManager.default.temporaryDirectory.appending(path: "nginx-\(UUID().uuidString)")
        let root = folder.appending(path: "files")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        for (name, data) in files { try data.write(to: root.appending(path: name)) }
        let text = """
            daemon off; master_process off; pid nginx.pid; error_log error.log;
            events { worker_connections 512; }
            http {
              access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
              uwsgi_temp_path uwsgi; scgi_temp_path scgi;
              default_type text/plain; gzip on; gzip_proxied any; gzip_min_length 100; gzip_types text/plain; keepalive_requests 100000;
              server {
                listen 127.0.0.1:\(port); root \(root.path);
                location /chunked/ { alias \(root.path)/; ssi on; ssi_types text/plain; }
                location /moved { return 301 /text; }
                location /nothing { return 204; }
                location /told { return 200 "$http_x_forwarded_proto $host"; }
                location /takes { client_max_body_size 0; proxy_pass http://127.0.0.1:\(port)/taken; }
                location /taken { client_max_body_size 0; return 200 "taken"; }
              }
              \(more(root.path, port))
            }
            """
        try text.write(to: folder.appending(path: "nginx.conf"), atomically: false, encoding: .utf8)
        pid = try spawnTool(
            ["nginx", "-p", folder.path, "-c", "nginx.conf"], output: folder.appending(path: "output.log").path)
        let deadline = Deadline.after(.seconds(10))
        while (try? Peer(connectedTo: port)) == nil {
            guard deadline > .now else { throw StageError("nginx does not listen on \(port)") }
            usleep(5_000)  // Nothing tells that a port has begun to listen.
        }
    }

    deinit {
        kill(pid, SIGKILL)
        // The status of a killed child is of no interest.
        waitpid(pid, nil, 0)
        try? FileManager.default.removeItem(at: folder)
    }
}

/// The same as ``spawn(_:input:output:environment:)``, with an error that says how to get what is missing.
func spawnTool(_ command: [String], output: String) throws -> pid_t {
    do {
        return try spawn(command, input: nil, output: output)
    } catch {
        throw StageError("\(command[0]) is missing: `.ci/install test` installs what the tests need (\(error))")
    }
}

@Suite("Real peers")
struct RealPeerTests {
    private struct Scene: Sendable {
        let port: UInt16
        let nginx: Nginx
        let proxy: ProxyProcess

        /// The address of `path` for a client of the proxy.
        func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }

        /// Runs curl for the test's host; fails with what it said.
        func curl(_ arguments: String...) throws -> String {
            let fixed = ["curl", "-sS", "--max-time", "60", "-H", "Host: n.test"]
            let (status, output) = try run(fixed + arguments)
            guard status == 0 else { throw StageError("curl \(arguments): status \(status)\n\(output.prefix(2000))") }
            return output
        }

        func run(_ command: [String]) throws -> (status: Int32, output: String) {
            do {
                return try runTool(command)
            } catch {
                throw StageError("\(command[0]) is missing: `.ci/install test` installs what the tests need (\(error))")
            }
        }
    }

    private static let text = String(repeating: "All work and no play makes a dull proxy.\n", count: 500)
    /// 32 MiB of which no two pieces of 64 KiB are equal.
    private static let large: Data = {
        let block = Data((0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) })
        return (0..<512).reduce(into: Data()) { $0 += block.dropLast(4) + Data("\(1000 + $1)".utf8) }
    }()

    private static func scene() async throws -> Scene {
        try await onThread {
            let nginx = try Nginx(
                port: try freePort(),
                files: ["text": Data(text.utf8), "large": large, "empty": Data(), "small": Data("small".utf8)])
            let port = try freePort()
            let proxy = try ProxyProcess(
                configuration: configuration(
                    listeners: [port], services: ["n": "endpoints: [ \"127.0.0.1:\(nginx.port)\" ]"],
                    routes: ["{ host: \"*\", service: \"n\" }"]), awaiting: [port])
            return Scene(port: port, nginx: nginx, proxy: proxy)
        }
    }

    @Test("curl gets nginx's files, whole, in ranges, compressed, in chunks and not at all")
    func curl() async throws {
        let scene = try await Self.scene()
        try await onThread {
            #expect(try scene.curl(scene.url("/text")) == Self.text)
            #expect(try scene.curl("--http1.0", scene.url("/text")) == Self.text)
            #expect(try scene.curl("--compressed", scene.url("/text")) == Self.text)
            let compressed = try scene.curl("--compressed", "-o", "/dev/null", "-D", "-", scene.url("/text"))
            #expect(compressed.contains("Content-Encoding: gzip"))
            #expect(try scene.curl(scene.url("/chunked/text")) == Self.text)
            #expect(try scene.curl("-r", "4-7", scene.url("/small")) == "l")
            #expect(try scene.curl("-r", "0-2", scene.url("/small")) == "sma")
            #expect(try scene.curl(scene.url("/empty")) == "")
            let head = try scene.curl("-I", scene.url("/text"))
            #expect(head.contains("HTTP/1.1 200") && head.contains("Content-Length: \(Self.text.utf8.count)"))
            #expect(try scene.curl("-w", "%{http_code}", scene.url("/nothing")) == "204")
            #expect(try scene.curl("-o", "/dev/null", "-w", "%{http_code}", scene.url("/absent")) == "404")
            // Three on one connection, the second of which has no body.
            let several = try scene.curl(
                "-w", "%{num_connects} ", scene.url("/small"), scene.url("/nothing"), scene.url("/small"))
            #expect(several == "small1 0 small0 ")
        }
    }

    @Test("a large file arrives byte for byte, and so does a large upload")
    func large() async throws {
        let scene = try await Self.scene()
        try await onThread {
            let file = scene.nginx.folder.appending(path: "got").path
            _ = try scene.curl("-o", file, scene.url("/large"))
            #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Self.large)
            let source = scene.nginx.folder.appending(path: "files/large").path
            #expect(try scene.curl("-T", source, scene.url("/takes")) == "taken")
            #expect(try scene.curl("-T", source, "-H", "Transfer-Encoding: chunked", scene.url("/takes")) == "taken")
            #expect(try scene.curl("-T", source, "-H", "Expect: 100-continue", scene.url("/takes")) == "taken")
        }
    }

    @Test("wrk finds no error with many connections")
    func wrk() async throws {
        let scene = try await Self.scene()
        try await onThread {
            let (status, output) = try scene.run(["wrk", "-t1", "-c50", "-d2s", scene.url("/small")])
            #expect(status == 0 && output.contains("Requests/sec"), "\(output)")
            #expect(!output.contains("Socket errors") && !output.contains("Non-2xx"), "\(output)")
        }
    }

    @Test("h2load over HTTP/1.1 gets every answer", arguments: ["/small", "/text", "/chunked/text", "/nothing"])
    func h2load(path: String) async throws {
        let scene = try await Self.scene()
        try await onThread {
            let (status, output) = try scene.run(["h2load", "--h1", "-n3000", "-c40", "-m1", "-t1", scene.url(path)])
            #expect(status == 0 && output.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(output)")
        }
    }
}
