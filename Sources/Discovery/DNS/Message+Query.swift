// How is a question asked, and which answer is an answer to it? One question a message, with a random number and a
// random mix of upper and lower case, both of which the answer has to repeat: whoever does not see the question can
// hardly guess them (RFC 5452 §9).

import ProxyCore

extension Message {
    /// A question as it travels.
    struct Query: Sendable {
        /// The message.
        let bytes: [UInt8]
        /// What it asks.
        let question: Question
        /// How many bytes of an answer over UDP are taken: those of EDNS, or 512 without it.
        let answerBytesMax: Int

        /// Bytes that an answer may have over UDP: fits into every path that carries IPv6 (RFC 6891 §6.2.5).
        static let ednsBytes = 1232
        /// Without EDNS (RFC 1035 §4.2.1).
        static let plainBytes = 512

        /// Writes `question`. The number and the mix of cases come from `random`, which has to be unpredictable.
        /// `usesEDNS` offers larger answers; `mixesCase` is left out for servers that do not repeat the mix.
        init(
            _ question: Question, usesEDNS: Bool = true, mixesCase: Bool = true,
            random: inout some RandomNumberGenerator
        ) {
            let bits = random.next()
            var bytes: [UInt8] = [
                UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits),
                0x01, 0x00,  // a plain query, recursion desired
                0, 1, 0, 0, 0, 0, 0, usesEDNS ? 1 : 0,
            ]
            var coins: UInt64 = 0
            for (index, byte) in question.name.wire.enumerated() {
                if index % 64 == 0 { coins = random.next() }
                // A label's length is below 64 and so never taken for a letter.
                let isLetter = UInt8(ascii: "a") <= byte && byte <= UInt8(ascii: "z")
                bytes.append(isLetter && mixesCase && coins & 1 == 1 ? byte & ~0x20 : byte)
                coins >>= 1
            }
            bytes += [
                UInt8(question.type.rawValue >> 8), UInt8(truncatingIfNeeded: question.type.rawValue), 0,
                UInt8(Message.classIN),
            ]
            if usesEDNS {
                let type = RecordType.opt.rawValue
                // The root, OPT, our size, version 0 and no flags, no options (RFC 6891 §6.1.2).
                bytes += [0, UInt8(type >> 8), UInt8(truncatingIfNeeded: type)]
                bytes += [UInt8(Self.ednsBytes >> 8), UInt8(Self.ednsBytes & 255), 0, 0, 0, 0, 0, 0]
            }
            self.bytes = bytes
            self.question = question
            answerBytesMax = usesEDNS ? Self.ednsBytes : Self.plainBytes
        }

        /// How a message that arrived relates to this question.
        enum Match: Equatable {
            /// It answers something else, or nobody asked for it: to be dropped, and waited on.
            case stranger
            /// It repeats the question, but not its mix of cases: a server that does not know better, or a guess.
            case otherCase
            /// The server did not understand the question and does not repeat it (RFC 6891 §7): header alone.
            case notUnderstood
            /// It answers the question.
            case answer
        }

        /// How `reply` relates to this question (RFC 5452 §9.1). That it came from the server is the socket's duty.
        func match(_ reply: [UInt8]) -> Match {
            guard reply.count >= Message.headerBytes, reply[0] == bytes[0], reply[1] == bytes[1] else {
                return .stranger
            }
            // A response (QR) to a standard query (opcode 0).
            guard reply[2] & 0xF8 == 0x80 else { return .stranger }
            let code = reply[3] & 0x0F
            if reply[4] == 0, reply[5] == 0 {
                return code == Code.formatError || code == Code.notImplemented ? .notUnderstood : .stranger
            }
            let end = Message.headerBytes + question.name.wire.count + 4
            guard reply[4] == 0, reply[5] == 1, reply.count >= end else { return .stranger }
            let asked = bytes[Message.headerBytes..<end]
            let repeated = reply[Message.headerBytes..<end]
            if asked == repeated { return .answer }
            // Type and class are compared as they are.
            guard asked.suffix(4) == repeated.suffix(4) else { return .stranger }
            return asked.elementsEqual(repeated, by: { ASCII.lowercased($0) == ASCII.lowercased($1) })
                ? .otherCase : .stranger
        }
    }

    /// Response codes that decide something (RFC 1035 §4.1.1, RFC 6891 §9).
    enum Code {
        static let noError: UInt8 = 0
        static let formatError: UInt8 = 1
        static let serverFailure: UInt8 = 2
        static let nameError: UInt8 = 3
        static let notImplemented: UInt8 = 4
        static let refused: UInt8 = 5
        static let badVersion: UInt16 = 16
    }
}
