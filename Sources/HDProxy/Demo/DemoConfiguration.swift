// The configuration of `hdproxy demo`, part of the program so that the demo needs no file and no checkout. A test
// holds it equal to Config/demo.json5, byte for byte.

/// The text of Config/demo.json5.
let demoConfiguration = """
    // What `hdproxy demo` serves. The backends are played by the same process; see Sources/HDProxy/Demo.
    {
      listeners: [
        { name: "http", address: "127.0.0.1:8080" },
      ],
      services: {
        api:   { endpoints: [ "127.0.0.1:18001", "127.0.0.1:18002", "127.0.0.1:18003" ] },
        admin: { endpoints: [ "127.0.0.1:18004" ] },
      },
      routes: [
        { host: "api.myhoneydue.com", service: "api" },
        { host: "admin.myhoneydue.com", service: "admin" },
        { host: "myhoneydue.com", redirect: { to: "https://www.myhoneydue.com", status: 308 } },
      ],
    }

    """
