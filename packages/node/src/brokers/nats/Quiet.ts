/**
 * What is known from listening: that nothing was published to a topic between two offsets. A server that has let
 * everything go of a topic cannot say whether that was before or behind an offset, and who returns to a room that is
 * quiet would be told of a gap each time.
 *
 * A server alone tells over one connection what is appended to all topics, each a moment after it is in the log. So what
 * was in the log when it was asked once has been told when it has answered again, seconds later.
 *
 * Pure but for what it holds.
 */

/** Of one link. */
class Span {
  readonly epoch: string
  /** Where the log was when it was asked last. */
  last = 0
  /** Everything up to it that was listened to has been told. */
  upTo = 0
  /** Behind this offset and up to `upTo` nothing was published to the topic. */
  readonly topics = new Map<string, number>()

  constructor(epoch: string) {
    this.epoch = epoch
  }
}

/** How many links that listened are remembered, the last included. */
const maxSpans = 3

export class Quiet {
  /** The oldest first. */
  private spans: ReadonlyArray<Span> = []

  /** There is a new link. What is done with an older one from now on says nothing. */
  begin(epoch: string): Listener {
    const span = new Span(epoch)
    const before = this.spans.filter((each) => each.epoch === epoch && each.topics.size > 0)
    this.spans = [...before, span].slice(-maxSpans)
    return new Listener(span)
  }

  /** The greatest offset up to which nothing is known to have been published behind `after`; `after` when nothing is. */
  behind(epoch: string, topic: string, after: number): number {
    let offset = after
    for (const span of this.spans) {
      const since = span.epoch === epoch ? span.topics.get(topic) : undefined
      if (since !== undefined && since <= offset && span.upTo > offset) offset = span.upTo
    }
    return offset
  }
}

/** What is heard on a link. */
export class Listener {
  private readonly span: Span

  constructor(span: Span) {
    this.span = span
  }

  /** It is listened to since before the log was at this offset. */
  listens(topic: string, offset: number): void {
    if (!this.span.topics.has(topic)) this.span.topics.set(topic, offset)
  }

  stops(topic: string): void {
    this.span.topics.delete(topic)
  }

  /** A publication to a topic that is listened to was told. Of two publishers they may come the wrong way round. */
  heard(topic: string, offset: number): void {
    const { topics } = this.span
    topics.set(topic, Math.max(topics.get(topic) ?? 0, offset))
  }

  /** The server was asked where the log is, seconds after it had answered before. */
  asked(offset: number): void {
    this.span.upTo = this.span.last
    this.span.last = offset
  }
}
