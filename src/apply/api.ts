import type { Secret } from '../shared/secret.ts'

export type Item = Record<string, unknown>

export type Answer = { status: number; body: Item; etag: string | undefined }

/** A running service, and the token to call it with. */
export type Service = { url: string; token: Secret }

/** A file that cannot be applied, or a request that the service rejects; the message says why. */
export class ApplyError extends Error {}

/** The service did not respond; the message says why. */
export class ServiceUnreachableError extends Error {}

/** Makes a request. Errors become ApplyErrors with the same message, except 404 for a GET. */
export type Api = (method: string, path: string, body?: unknown, etag?: string) => Promise<Answer>

/** Calls a running service. */
export function openApi(service: Service): Api {
  return apiOver((path, init) => send(service, path, init))
}

export function apiOver(call: (path: string, init: Init) => Promise<Response>): Api {
  return async (method, path, body, etag) => {
    const response = await call(path, {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(etag && { 'if-match': etag }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (response.status !== 404 || method !== 'GET') await rejectProblem(response, method, path)
    return {
      status: response.status,
      body: await contentOf(response),
      etag: response.headers.get('etag') ?? undefined,
    }
  }
}

type Init = { method: string; headers: Record<string, string>; body?: string }

/** Throws if the service does not respond or is not ready. */
export async function send(
  { url, token }: Service,
  path: string,
  init: RequestInit & Pick<Init, 'headers'>,
): Promise<Response> {
  const headers = { authorization: `Bearer ${token.reveal()}`, ...init.headers }
  const response = await fetch(`${url}${path}`, { ...init, headers, redirect: 'error' }).catch((error) => {
    throw unreachable(url, error)
  })
  if (response.status !== 503) return response
  const { detail } = await contentOf(response)
  throw new ServiceUnreachableError(`The service at ${url} is not ready: ${detail}`)
}

/** For an error of `fetch`, or of reading its response. */
export function unreachable(url: string, error: Error): ServiceUnreachableError {
  const { message, code } = (error.cause ?? error) as NodeJS.ErrnoException
  return new ServiceUnreachableError(`The service at ${url} cannot be reached: ${message || code}.`)
}

/** Throws if the response is an error. */
export async function rejectProblem(response: Response, method: string, path: string): Promise<void> {
  if (response.ok) return
  const { detail, title } = await contentOf(response)
  throw new ApplyError(`${method} ${path}: ${response.status} ${detail ?? title ?? ''}`.trim())
}

async function contentOf(response: Response): Promise<Item> {
  return response.json().catch(() => ({})) as Promise<Item>
}
