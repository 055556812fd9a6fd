import createClient from 'openapi-fetch'
import { apiUrl } from './base.ts'
import type { components, paths } from './openapi.d.ts'
import { words } from './words.ts'

/** The shapes of the API, by their names in the OpenAPI document. */
export type Shapes = components['schemas']
export type Token = Shapes['Token']
export type FieldError = { field: string; detail: string }

/** The client for every request of the console. Requests carry the session cookie, since they have the same origin. */
export const api = createClient<paths>({
  baseUrl: apiUrl,
  fetch: (request) =>
    fetch(request).catch((error) => {
      if (error.name === 'AbortError') throw error
      throw new Refusal({ detail: words.errors.network, code: 'network', status: 0 })
    }),
})

/** The error in a response. */
export class Refusal extends Error {
  readonly code: string
  readonly status: number
  readonly requestId: string | undefined
  readonly fields: FieldError[]

  constructor(problem: Partial<Omit<Shapes['Problem'], 'code'>> & { code?: string }) {
    super(problem.detail ?? words.errors.unknown)
    this.code = problem.code ?? ''
    this.status = problem.status ?? 0
    this.requestId = problem.request_id
    this.fields = (problem.errors ?? []).filter((error) => error.in === 'body')
  }
}

type Answer<Data> = { data?: Data; error?: unknown; response: Response }

/** The body of a successful response; throws a Refusal otherwise. */
export async function done<Data>(answering: Promise<Answer<Data>>): Promise<NonNullable<Data>> {
  return (await withResponse(answering)).data
}

export async function withResponse<Data>(
  answering: Promise<Answer<Data>>,
): Promise<{ data: NonNullable<Data>; etag: string | null }> {
  const { data, error, response } = await answering
  if (!response.ok) {
    if (response.status === 401) onSignedOut()
    const problem = typeof error === 'object' && error !== null ? (error as Shapes['Problem']) : {}
    throw new Refusal({ status: response.status, ...problem })
  }
  return { data: data as NonNullable<Data>, etag: response.headers.get('etag') }
}

let onSignedOut = () => {}

/** Called when the session has ended. */
export function whenSignedOut(call: () => void): void {
  onSignedOut = call
}
