import { type EventSourceMessage, EventSourceParserStream } from 'eventsource-parser/stream'
import type { Test } from 'tap'

/** A stream of server-sent events, read one by one. */
export type Stream = {
  response: Response
  /** The next event; undefined at the end. */
  next(): Promise<EventSourceMessage | undefined>
  /** The data of the next event of that name; others are skipped. */
  nextOf(name: string): Promise<any>
  /** The names of all remaining events. */
  rest(): Promise<(string | undefined)[]>
  leave(): void
}

export async function openStream(
  t: Test,
  url: string,
  { token, lastEventId }: { token: string; lastEventId?: string | undefined },
): Promise<Stream> {
  const abort = new AbortController()
  t.teardown(() => abort.abort())
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${token}`, ...(lastEventId && { 'last-event-id': lastEventId }) },
    signal: abort.signal,
  })
  const events = response.body
    ?.pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
  const reader = (events ?? new ReadableStream<EventSourceMessage>()).getReader()
  const next = async () => (await reader.read()).value
  return {
    response,
    next,
    leave: () => abort.abort(),
    async nextOf(name) {
      for (let event = await next(); event; event = await next())
        if (event.event === name) return { ...JSON.parse(event.data), cursor: event.id }
      throw new Error(`the stream ended without ${name}`)
    },
    async rest() {
      const names: (string | undefined)[] = []
      for (let event = await next(); event; event = await next()) names.push(event.event)
      return names
    },
  }
}
