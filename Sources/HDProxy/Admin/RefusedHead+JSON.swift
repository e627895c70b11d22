// How is a refused head told? As JSON at `/api/v1/rejected`, line by line, as it was redacted when it came.

import ProxyCore

extension RefusedHead {
    /// Writes it as JSON.
    func write(into text: inout JSONText) {
        text.object {
            $0.member("time", CivilTime.timestamp(wallMicroseconds: wallMicroseconds))
            $0.member("reason", reason)
            $0.member("peer", peer.description)
            $0.member("head", lines)
        }
    }
}
