// `hdproxy demo`: the proxy with something to talk to, and a page of commands to try.

import ProxyCore

/// Starts the demo's backends, prints what to try, and serves until `serve` returns; its exit status is ours. `serve`
/// gets the text of the demo's configuration and runs the proxy with it in this process.
func runDemo(serve: (_ configuration: String) -> Int32) -> Int32 {
    let loopback = IPAddress(v4: 0x7F00_0001)
    let api = demoAPIPorts.map { NetworkAddress(ip: loopback, port: $0) }
    let admin = NetworkAddress(ip: loopback, port: demoAdminPort)
    do throws(DemoStartError) {
        let backends = try DemoBackends.start(api: api, admin: admin)
        writeFully(demoGreeting, to: 1)
        let status = serve(demoConfiguration)
        backends.stop()
        return status
    } catch {
        writeFully("hdproxy demo: \(error)\n", to: 2)
        return 1
    }
}

/// The ports of the `api` backends, as the demo's configuration names them.
let demoAPIPorts: [UInt16] = [18001, 18002, 18003]
/// The port of the `admin` backend.
let demoAdminPort: UInt16 = 18004

private let demoGreeting = """
    Three api backends (127.0.0.1:18001 to 18003) and one admin backend (127.0.0.1:18004) are up.
    The proxy listens on http://127.0.0.1:8080/. Try, in another terminal:

      curl -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/
          which backend answered, and what reached it; again: another one
      curl -H 'Host: api.myhoneydue.com' -H 'Accept: application/json' http://127.0.0.1:8080/any/path
          the same as JSON
      curl -H 'Host: admin.myhoneydue.com' http://127.0.0.1:8080/
          another host, another service
      curl -i -H 'Host: myhoneydue.com' http://127.0.0.1:8080/
          a redirect by the proxy itself
      curl -i -H 'Host: nobody.example' http://127.0.0.1:8080/
          no route: the proxy's own 404
      curl -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/stream/1000000000 -o /dev/null
          a gigabyte down
      head -c 100000000 /dev/zero | curl -H 'Host: api.myhoneydue.com' -T - http://127.0.0.1:8080/echo -o /dev/null
          100 megabytes up, sent back while they arrive
      curl -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/sleep/2000
          an answer after two seconds
      curl -i -H 'Host: api.myhoneydue.com' http://127.0.0.1:8080/status/503
          a failure on demand; 204, 304, 103 and the like work too
      curl -i -N -m 2 -H 'Host: api.myhoneydue.com' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\
           -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:8080/ws
          a WebSocket opens (101), and curl leaves after two seconds; with a WebSocket client it echoes

    Ctrl-C finishes what is in flight and stops.


    """
