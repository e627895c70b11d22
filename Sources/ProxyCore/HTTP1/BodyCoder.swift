// How is a body spelled again? Decoded from the chunks of one side and written in chunks, or without, for the other,
// so that no peculiarity of the sender's framing gets past us. RFC 9112 §7.1.

/// What is known of a body on its way through. Each connection has two of these, so the small ones lie together.
package struct BodyProgress {
    /// How a sender marks a body's end; ``BodyFraming`` without its number.
    enum End: UInt8 {
        case none, length, chunked, untilClose
    }

    /// Bytes still to come, with a length.
    var remaining: UInt64 = 0
    /// Body bytes so far, without framing.
    var byteCount: UInt64 = 0
    /// Where in the chunks we are, with chunks.
    var decoder = ChunkedDecoder()
    /// How the sender marks its end.
    private(set) var framing: End
    /// Whether chunks are written on the way out.
    var emitsChunks = false
    /// Whether all of it has been read.
    var isEnded: Bool
    /// Names that `Connection` nominated: trailers of these go no further.
    var nominated = NominatedNames()

    /// A body that `framing` ends.
    package init(_ framing: BodyFraming = .none, emitsChunks: Bool = false) {
        self.emitsChunks = emitsChunks
        isEnded = framing == .none
        switch framing {
        case .none: self.framing = .none
        case .length(let count):
            self.framing = .length
            remaining = count
        case .chunked: self.framing = .chunked
        case .untilClose: self.framing = .untilClose
        }
    }
}

/// Spells bodies anew.
package enum BodyCoder {
    /// What recoding came to.
    package enum Step: Equatable {
        /// Something moved; `body.isEnded` tells the end.
        case moved
        /// What is at hand is a piece of a frame, or of the trailers.
        case needInput
        /// The trailers do not fit behind what the output holds.
        case needRoom
        /// A rule is broken.
        case malformed(Rejection)
    }

    /// Bytes of trailers that are passed on: they must fit into a stream buffer.
    static let trailerBytesMax = 16 * 1024
    /// Output that must be free before recoding makes sense.
    static let roomMin = 256

    /// Decodes what `input` holds of a chunked body and appends it to `output`, in chunks again or bare, up to what
    /// fits.
    package static func recode(
        _ body: inout BodyProgress, from input: inout ByteBuffer, to output: inout ByteBuffer,
        trailers: inout FieldSection, limits: HeadLimits
    ) -> Step {
        let limits = HeadLimits(headerBytes: min(limits.headerBytes, trailerBytesMax), requestTargetBytes: 0)
        // Output grows by at most one frame more than input had: a chunk that is cut here gets a frame of its own.
        let limit = output.writableCount &- 64
        if limit <= 0 { return .needRoom }
        var at = 0
        let step = input.withReadable { all -> Step in
            // Trailers are taken as a whole or not at all, so they are shown whole.
            var step = Step.needInput
            while true {
                let view = body.decoder.isInTrailers ? all : all.extracting(0..<min(all.count, limit))
                let before = at
                let decoder = body.decoder
                do throws(Rejection) {
                    switch try body.decoder.next(view, at: &at, trailers: &trailers, limits: limits) {
                    case .data(let range):
                        append(view, range, asChunk: body.emitsChunks, to: &output)
                        body.byteCount &+= UInt64(range.count)
                        step = .moved
                    case .needMore:
                        if at != before { step = .moved }
                        if view.count == all.count || !body.decoder.isInTrailers { return step }
                    case .end:
                        if body.emitsChunks {
                            // Each line may grow by the space behind its colon. Without room nothing of it was read.
                            guard at &- before &+ trailers.lines.count &+ 8 <= output.writableCount else {
                                at = before
                                body.decoder = decoder
                                return step == .moved ? .moved : .needRoom
                            }
                            HeadWriter.writeLastChunk(trailers, view, without: body.nominated, into: &output)
                        }
                        body.isEnded = true
                        return .moved
                    }
                } catch {
                    return .malformed(error)
                }
            }
        }
        input.consume(at)
        return step
    }

    @inline(__always)
    private static func append(
        _ bytes: Span<UInt8>, _ range: ByteRange, asChunk: Bool, to output: inout ByteBuffer
    ) {
        if asChunk {
            output.append(hex: UInt64(range.count))
            output.append("\r\n")
        }
        output.append(bytes, range)
        if asChunk { output.append("\r\n") }
    }
}
