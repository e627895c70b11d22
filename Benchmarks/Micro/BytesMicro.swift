// The room Bytes.

import ProxyCore

func bytesBenchmarks() -> [MicroBenchmark] {
    let v4 = opaque(Array("203.0.113.195".utf8))
    let v6 = opaque(Array("2001:db8:85a3::8a2e:370:7334".utf8))
    return [
        micro("IPAddress.parse/v4", input: v4.count) { IPAddress.parse(v4.span) },
        micro("IPAddress.parse/v6", input: v6.count) { IPAddress.parse(v6.span) },
        micro("IPAddress.description/v4") { opaque(IPAddress(v4: 0xCB00_71C3)).description },
    ]
}
