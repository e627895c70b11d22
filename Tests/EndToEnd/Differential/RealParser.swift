// Which servers read what the proxy sends? Programs that the world runs, each with a parser of its own, started so that it
// notes every request as it understood it: a line of method, target, host and body.

import Foundation
import TestTools
import Testing

/// A request, as somebody understood it.
struct SeenRequest: Equatable, Sendable, CustomStringConvertible {
    var method: String
    var target: String
    var host: String
    var body: [UInt8]

    var description: String { "\(method) \(target) for \(host) with \(body.count) bytes: \(body.prefix(200).escaped)" }
}

/// What a server noted.
enum Note: Equatable, Sendable {
    case seen(SeenRequest)
    /// Bytes that it took for a request, and refused.
    case refused(String)
}

/// A server from Debian's packages.
enum RealParser: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case nginx, haproxy, apache, node, gunicorn, hypercorn

    var testDescription: String { rawValue }

    /// Whether it tells of requests that it refused. The others answer and say nothing.
    var notesRefusals: Bool { self != .hypercorn }

    /// How to start it: its command, after its files were written into `folder`. It listens on `port`, and may use the
    /// port `other` for itself. Notes go to `seen` in the folder, or to its standard output.
    func command(in folder: URL, port: UInt16, other: UInt16) throws -> [String] {
        func write(_ name: String, _ text: String) throws -> String {
            let file = folder.appending(path: name)
            try text.write(to: file, atomically: false, encoding: .utf8)
            return file.path
        }
        let seen = folder.appending(path: "seen").path
        switch self {
        case .nginx:
            return ["nginx", "-p", folder.path, "-c", try write("nginx.conf", Self.nginx(folder, port, other))]
        case .haproxy: return ["haproxy", "-db", "-f", try write("haproxy.cfg", Self.haproxy(port))]
        case .apache:
            let script = try write("seen.lua", Self.apacheScript(seen))
            return ["apache2", "-X", "-f", try write("apache.conf", Self.apache(folder, port, script))]
        case .node: return ["node", try write("seen.js", Self.node(seen, port))]
        case .gunicorn:
            _ = try write("seen.py", Self.wsgi(seen))
            return [
                "gunicorn", "--chdir", folder.path, "--bind", "127.0.0.1:\(port)", "--worker-class", "gthread",
                "--threads", "8", "--keep-alive", "60", "--logger-class", "seen.Notes", "seen:application",
            ]
        case .hypercorn:
            _ = try write("seen.py", Self.asgi(seen))
            return [
                "hypercorn", "--bind", "127.0.0.1:\(port)", "--keep-alive", "60", "\(folder.path)/seen.py:application",
            ]
        }
    }

    /// The command's environment: Python programs of Debian's find their modules there alone.
    var environment: [String: String] { ["PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"] }

    /// Reads a line of its notes; nil where it is none.
    func note(_ line: String) -> Note? {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 6, words[0] == "SEEN" else {
            return line.hasPrefix("REFUSED") ? .refused(line) : nil
        }
        // A host or a target has no space that a parser would leave in it; where one does, the note shows it.
        let body = self == .nginx ? Self.unescaped(words[4]) : Self.bytes(hex: words[4])
        let target = self == .nginx ? String(decoding: Self.unescaped(words[2]), as: UTF8.self) : words[2]
        // HAProxy says so where its client left in the middle of a request, which is none.
        if words[5].hasPrefix("C") { return nil }
        guard words[1] != "-", words[1] != "<BADREQ>", !words[1].isEmpty else { return .refused(line) }
        // HAProxy escapes what would end a word of its log.
        let method = self == .haproxy ? words[1].replacing("#23", with: "#") : words[1]
        return .seen(SeenRequest(method: method, target: target, host: words[3], body: body))
    }

    private static func bytes(hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
        }
    }

    /// What nginx writes: `\xHH` for quotes, backslashes, controls and what is not ASCII; a space is one too in a body.
    private static func unescaped(_ text: String) -> [UInt8] {
        if text == "-" { return [] }
        return (try? WireText.bytes(text.replacing("${", with: "\\x24{"))) ?? Array("?".utf8)
    }
}

// MARK: Their files

extension RealParser {
    private static func nginx(_ folder: URL, _ port: UInt16, _ other: UInt16) -> String {
        """
        daemon off; master_process off; pid nginx.pid; error_log error.log;
        events { worker_connections 256; }
        http {
          # 499: its client left in the middle of a request, which is none.
          map $status $seen { default 0; 200 1; }
          map $status $refused { default 1; 200 0; 499 0; }
          log_format seen 'SEEN $request_method $request_uri $http_host $request_body END';
          log_format refused 'REFUSED $status $request';
          client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
          uwsgi_temp_path uwsgi; scgi_temp_path scgi;
          underscores_in_headers on; merge_slashes off; keepalive_requests 1000000; keepalive_timeout 60s;
          client_max_body_size 0; client_body_buffer_size 1m;
          server {
            listen 127.0.0.1:\(port);
            access_log seen seen if=$seen; access_log seen refused if=$refused;
            # A body is read, and noted, where it is passed on.
            location / { proxy_pass http://127.0.0.1:\(other); proxy_set_header Connection close; }
          }
          server { listen 127.0.0.1:\(other); access_log off; location / { return 200 "ok"; } }
        }
        """
    }

    private static func haproxy(_ port: UInt16) -> String {
        """
        global
          log stdout format raw daemon
          tune.bufsize 262144
        defaults
          mode http
          timeout client 60s
          timeout http-request 5s
          timeout http-keep-alive 60s
        frontend seen
          bind 127.0.0.1:\(port)
          log global
          option http-buffer-request
          http-request set-var(txn.url) url
          http-request set-var(txn.host) req.hdr(host)
          http-request set-var(txn.body) req.body,hex
          log-format "SEEN %HM %[var(txn.url)] %[var(txn.host)] %[var(txn.body)] %ts"
          http-request return status 200 content-type text/plain string ok

        """
    }

    private static func apache(_ folder: URL, _ port: UInt16, _ script: String) -> String {
        let modules = "/usr/lib/apache2/modules"
        return """
            ServerRoot \(folder.path)
            ServerName localhost
            Listen 127.0.0.1:\(port)
            PidFile apache.pid
            DefaultRuntimeDir \(folder.path)
            ErrorLog error.log
            LoadModule mpm_event_module \(modules)/mod_mpm_event.so
            LoadModule lua_module \(modules)/mod_lua.so
            KeepAlive On
            KeepAliveTimeout 60
            MaxKeepAliveRequests 0
            LimitRequestFieldSize 65536
            LimitRequestLine 65536
            LuaQuickHandler \(script) handle
            LogFormat "REFUSED %>s %r" refused
            CustomLog seen refused env=!seen
            """
    }

    private static func apacheScript(_ seen: String) -> String {
        """
        function handle(r)
          r.subprocess_env["seen"] = "1"
          local body = r:requestbody()
          local length = tonumber(r.headers_in["Content-Length"] or "0")
          -- A body that ends too early is none.
          if body == nil and (length > 0 or r.headers_in["Transfer-Encoding"]) then return apache2.DONE end
          body = body or ""
          if length > 0 and #body ~= length then return apache2.DONE end
          local hex = ""
          for i = 1, #body do hex = hex .. string.format("%02x", string.byte(body, i)) end
          local file = io.open("\(seen)", "a")
          file:write("SEEN ", r.method, " ", r.unparsed_uri, " ", r.headers_in["Host"] or "", " ", hex, " END\\n")
          file:close()
          r.content_type = "text/plain"
          r:puts("ok")
          return apache2.DONE
        end
        """
    }

    private static func node(_ seen: String, _ port: UInt16) -> String {
        """
        const fs = require('fs'), http = require('http');
        const note = text => fs.appendFileSync('\(seen)', text + '\\n');
        const line = (r, hex) => note(`SEEN ${r.method} ${r.url} ${r.headers.host || ''} ${hex} END`);
        const server = http.createServer({ maxHeaderSize: 262144 }, (request, response) => {
          const parts = [];
          request.on('data', part => parts.push(part));
          request.on('end', () => { line(request, Buffer.concat(parts).toString('hex')); response.end('ok'); });
        });
        server.keepAliveTimeout = 60000;
        server.requestTimeout = 0;
        server.on('clientError', (error, socket) => {
          if (!['ECONNRESET', 'HPE_INVALID_EOF_STATE'].includes(error.code)) note('REFUSED ' + error.code);
          socket.end('HTTP/1.1 400 Bad Request\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n');
        });
        for (const event of ['upgrade', 'connect']) server.on(event, (request, socket) => {
          line(request, '');
          socket.end('HTTP/1.1 400 Bad Request\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n');
        });
        server.listen(\(port), '127.0.0.1');
        """
    }

    private static func wsgi(_ seen: String) -> String {
        """
        from gunicorn.glogging import Logger

        def note(text):
            with open("\(seen)", "ab") as file:
                file.write(text + b"\\n")

        class Notes(Logger):
            def warning(self, text, *values, **more):
                if text.startswith("Invalid request"):
                    note(b"REFUSED")
                super().warning(text, *values, **more)

        def application(environ, start_response):
            body = environ["wsgi.input"].read()
            if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
                raise OSError("a body that ends too early is none")
            raw = [environ["REQUEST_METHOD"], environ["RAW_URI"], environ.get("HTTP_HOST", ""), body.hex()]
            note(b" ".join([b"SEEN"] + [part.encode("latin-1") for part in raw] + [b"END"]))
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
            return [b"ok"]
        """
    }

    private static func asgi(_ seen: String) -> String {
        """
        async def application(scope, receive, send):
            if scope["type"] != "http":
                return
            body = b""
            while True:
                event = await receive()
                body += event.get("body", b"")
                if event["type"] == "http.disconnect":
                    return
                if not event.get("more_body", False):
                    break
            query = scope["query_string"]
            target = scope["raw_path"] + (b"?" + query if query else b"")
            host = dict(scope["headers"]).get(b"host", b"")
            with open("\(seen)", "ab") as file:
                parts = [b"SEEN", scope["method"].encode(), target, host, body.hex().encode(), b"END"]
                file.write(b" ".join(parts) + b"\\n")
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
        """
    }
}
