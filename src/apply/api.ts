import type { Secret } from '../shared/secret.ts'
import { ApplyError } from './file.ts'

export type Item = Record<string, unknown>

export type Answer = { status: number; body: Item; etag: string | undefined }

/** The service did not respond; the message says why. */
export class ServiceUnreachableError extends Error {}

/** Calls the running service. */
export type Api = (method: string, path: string, body?: unknown, etag?: string) => Promise<Answer>

/** Errors of the service become ApplyErrors with the same message, except 404 for a GET. */
export function openApi(url: string, token: Secret): Api {
  return async (method, path, body, etag) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token.reveal()}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(etag && { 'if-match': etag }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'error',
    }).catch((error) => {
      const { message, code } = error.cause ?? error
      throw new ServiceUnreachableError(`The service at ${url} cannot be reached: ${message || code}.`)
    })
    const content = (await response.json().catch(() => ({}))) as Item
    if (response.status === 503)
      throw new ServiceUnreachableError(`The service at ${url} is not ready: ${content.detail}`)
    if (!response.ok && (response.status !== 404 || method !== 'GET'))
      throw new ApplyError(
        `${method} ${path}: ${response.status} ${content.detail ?? content.title ?? ''}`.trim(),
      )
    return { status: response.status, body: content, etag: response.headers.get('etag') ?? undefined }
  }
}
