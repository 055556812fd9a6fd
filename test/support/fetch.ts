import type { FastifyInstance, InjectOptions } from 'fastify'

/** A `fetch` that is injected into the app, for clients that are used as their documentation says. */
export function fetchFrom(app: FastifyInstance) {
  return async (url: string | URL | Request, init: object = {}): Promise<Response> => {
    const request = new Request(url, init)
    const { pathname, search } = new URL(request.url)
    const payload = await request.text()
    const response = await app.inject({
      method: request.method as NonNullable<InjectOptions['method']>,
      url: pathname + search,
      headers: Object.fromEntries(request.headers),
      ...(payload !== '' && { payload }),
    })
    const headers = Object.entries(response.headers).map(([name, value]) => [name, String(value)])
    return new Response(response.payload, {
      status: response.statusCode,
      headers: headers as [string, string][],
    })
  }
}
