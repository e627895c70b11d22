// The configuration of `hdproxy demo`, part of the program so that the demo needs no file and no checkout. A test
// holds it equal to Config/demo.json5, byte for byte.

/// The text of Config/demo.json5.
let demoConfiguration = #"""
    // What `hdproxy demo` serves: one listener on loopback, and backends that the demo starts itself.
    //
    // Try it (the demo prints these lines, too):
    //   curl -H 'Host: api.myhoneydue.com'   http://127.0.0.1:8080/
    //   curl -H 'Host: admin.myhoneydue.com' http://127.0.0.1:8080/
    //   curl -i -H 'Host: myhoneydue.com'    http://127.0.0.1:8080/welcome?from=mail
    //
    // And ask where a request would go, without sending it:
    //   hdproxy explain --config Config/demo.json5 http://api.myhoneydue.com:8080/
    //   hdproxy explain --admin http://127.0.0.1:9090 http://api.myhoneydue.com:8080/
    {
      listeners: [
        { name: "http", address: "127.0.0.1:8080" },
      ],

      // How it is: http://127.0.0.1:9090/ in a browser, or `hdproxy status`. No Unix socket: a demo leaves no files behind.
      admin: { address: "127.0.0.1:9090", socket: "" },

      services: {
        // Three of a kind: of two random ones the less busy gets the next request.
        api: {
          endpoints: ["127.0.0.1:18001", "127.0.0.1:18002", "127.0.0.1:18003"],
          // Asked every five seconds, and each answer says whose it is.
          health: { path: "/" },
          identity: { header: "X-Service", value: "honeydue-api" },
        },

        // One of its own.
        admin: { endpoints: ["127.0.0.1:18004"] },
      },

      routes: [
        { host: "api.myhoneydue.com", service: "api" },
        { host: "admin.myhoneydue.com", service: "admin" },

        // No path stands in `to`, so path and query of the request are kept.
        { host: "myhoneydue.com", redirect: { to: "https://www.myhoneydue.com", status: 308 } },
      ],

      // Short enough to watch Ctrl-C drain.
      drain: { timeout: "10s" },
    }

    """#
