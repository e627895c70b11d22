// What happened to this process? Lines beside the access log: started, reloaded, refused, drained, discovered.

import Discovery
import ProxyCore

/// A detail of an event.
enum EventValue {
    case text(String)
    case count(Int)
}

/// Writes events as one JSON object a line.
@ControlThread
final class EventLog {
    private let writer: LogWriter
    /// Lines below it are not written.
    var level: LogSettings.Level
    /// Lines that found no room.
    private(set) var dropped: UInt64 = 0

    /// A log that hands its lines to `writer`.
    init(writer: LogWriter, level: LogSettings.Level) {
        self.writer = writer
        self.level = level
    }

    /// Writes that `event` happened, with details in order.
    func write(_ level: LogSettings.Level, _ event: String, _ details: KeyValuePairs<String, EventValue> = [:]) {
        write(level, event, details.map { ($0.key, $0.value) })
    }

    /// Writes what discovery has to say.
    func write(_ notice: Notice) {
        let level: LogSettings.Level =
            switch notice.level {
            case .debug: .debug
            case .info: .info
            case .warn: .warn
            case .error: .error
            }
        write(level, notice.event, notice.details.map { ($0.name, .text($0.value)) })
    }

    private func write(_ level: LogSettings.Level, _ event: String, _ details: [(String, EventValue)]) {
        guard level.rank >= self.level.rank else { return }
        let time = CivilTime.timestamp(wallMicroseconds: Clock.wallMicroseconds())
        var line = "{\"time\":\"\(time)\",\"level\":\"\(level.rawValue)\",\"event\":\"\(event)\""
        for (name, value) in details {
            line += ",\"\(name)\":"
            switch value {
            case .text(let text): line += JSON5Writer.quoted(text)
            case .count(let count): line += String(count)
            }
        }
        if !writer.write(Array((line + "}\n").utf8)) { dropped += 1 }
    }
}

extension LogSettings.Level {
    /// How much a line of this level matters.
    fileprivate var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warn: 2
        case .error: 3
        }
    }
}
