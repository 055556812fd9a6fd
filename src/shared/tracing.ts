import { setTimeout as delay } from 'node:timers/promises'
import type { Attributes, Context, Span, SpanKind } from '@opentelemetry/api'

/**
 * The providers that an SDK registered with the API, under the symbol that all copies of its first major version share.
 */
const registered = Reflect.get(globalThis, Symbol.for('opentelemetry.js.api.1'))

/**
 * OpenTelemetry, if the operator loaded an SDK with `--import`; undefined otherwise. That is decided once, so without
 * an SDK requests do no extra work, and the API is not even loaded. Spans never contain URLs, values of statements or
 * messages of errors, which may contain secrets by mistake.
 */
export const tracing = registered?.trace ? createTracing(await import('@opentelemetry/api')) : undefined

export type { Context, Span }

type SpanOptions = {
  kind?: Lowercase<keyof typeof SpanKind>
  attributes?: Attributes
  /**
   * The parent of the span, and other spans to link; without them it begins no trace. By default the current span is
   * the parent.
   */
  of?: Context[]
}

/** Does the work in a span, if there is tracing. */
export function traced<T>(name: string, options: SpanOptions, work: (span?: Span) => Promise<T>): Promise<T> {
  return tracing ? tracing.inSpan(name, options, work) : work()
}

/** How long the process waits for the last spans to be sent. */
const flushMs = 3_000

function createTracing({
  context,
  createContextKey,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
}: typeof import('@opentelemetry/api')) {
  const tracer = trace.getTracer('counterfoil')
  const requestersKey = createContextKey('requesters')

  function startSpan(
    name: string,
    { kind = 'internal', attributes = {}, of = [context.active()] }: SpanOptions,
  ) {
    const [parent = ROOT_CONTEXT, ...others] = of
    const links = others.flatMap((other) => {
      const linked = trace.getSpanContext(other)
      return linked ? { context: linked } : []
    })
    const spanKind = SpanKind[kind.toUpperCase() as keyof typeof SpanKind]
    const span = tracer.startSpan(name, { kind: spanKind, attributes, links }, parent)
    return { span, within: trace.setSpan(parent, span) }
  }

  function fail(span: Span, type: string): void {
    span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR })
  }

  function end(span: Span, error?: unknown): void {
    if (error) {
      const { code, cause, name } = error as NodeJS.ErrnoException
      fail(span, String(code ?? (cause as NodeJS.ErrnoException | undefined)?.code ?? name))
    }
    span.end()
  }

  async function during<T>(spans: Span[], work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      for (const span of spans) end(span)
      return result
    } catch (error) {
      for (const span of spans) end(span, error)
      throw error
    }
  }

  /** The requests that the current work is for: several if they are decided together. */
  const requesters = () => (context.active().getValue(requestersKey) as Context[]) ?? [context.active()]

  const onBehalfOf = <T>(contexts: Context[], work: () => T): T =>
    context.with((contexts[0] ?? ROOT_CONTEXT).setValue(requestersKey, contexts), work)

  return {
    requesters,
    onBehalfOf,
    startSpan,
    fail,
    end,

    inSpan<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
      const { span, within } = startSpan(name, options)
      return during([span], () => context.with(within, work, undefined, span))
    },

    /** A span for each requester, until its result is there. */
    waiting<T>(name: string, work: () => Promise<T>): Promise<T> {
      const waits = requesters().map((one) => startSpan(name, { of: [one] }))
      const contexts = waits.map(({ within }) => within)
      return during(
        waits.map(({ span }) => span),
        () => onBehalfOf(contexts, work),
      )
    },

    isActive: () => trace.getActiveSpan() !== undefined,

    /** The trace of a request's sender, if it sent one. */
    senderOf: (headers: object) => propagation.extract(ROOT_CONTEXT, headers),

    /** Runs the listener within the context, also for the events of its arguments. */
    within<Emitters extends object[]>(
      one: Context,
      listener: (...emitters: Emitters) => void,
      ...emitters: Emitters
    ) {
      for (const emitter of emitters) context.bind(one, emitter)
      context.with(one, listener, undefined, ...emitters)
    },

    /** Header fields that continue the trace elsewhere; without baggage, which was not meant for others. */
    headers(): Record<string, string> {
      const fields = {}
      propagation.inject(propagation.deleteBaggage(context.active()), fields)
      return fields
    },

    /** For log lines. */
    ids(): object {
      const span = trace.getActiveSpan()?.spanContext()
      return span ? { trace_id: span.traceId, span_id: span.spanId } : {}
    },

    /** Sends the last spans. The API has no method for it, but SDKs have. */
    async flush(): Promise<void> {
      const provider = trace.getTracerProvider() as { getDelegate?(): object }
      const sdk = (provider.getDelegate?.() ?? provider) as { forceFlush?(): Promise<void> }
      await Promise.race([sdk.forceFlush?.().catch(() => {}), delay(flushMs, undefined, { ref: false })])
    },
  }
}
