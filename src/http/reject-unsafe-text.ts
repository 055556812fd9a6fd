import type { FastifyRequest } from 'fastify'
import { AppError, type FieldError } from '../shared/errors.ts'
import { holdsSecret } from '../shared/secret.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The member of the body that is meant to contain a token. */
    secretMember?: string
  }
}

/**
 * A preHandler hook that rejects text which must not reach the database: NUL and lone surrogates, which PostgreSQL
 * cannot store, and Counterfoil tokens that were pasted into a name or comment.
 */
export async function rejectUnsafeText({ params, query, body, routeOptions }: FastifyRequest): Promise<void> {
  rejectUnsafeTextIn('path', params)
  rejectUnsafeTextIn('query', query)
  const { secretMember } = routeOptions.config
  rejectUnsafeTextIn(
    'body',
    secretMember === undefined ? body : { ...(body as object), [secretMember]: undefined },
  )
}

export function rejectUnsafeTextIn(where: FieldError['in'], value: unknown, path: string[] = []): void {
  if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      rejectUnsafeTextIn(where, key, [...path, key])
      rejectUnsafeTextIn(where, member, [...path, key])
    }
  } else if (typeof value === 'string') {
    const flaw = flawOf(value)
    if (!flaw) return
    const field = path.filter((key) => !flawOf(key)).join('.')
    throw new AppError('invalid_request', `${where} ${field} ${flaw}`, {
      fields: [{ in: where, field, detail: flaw }],
    })
  }
}

function flawOf(text: string): string | undefined {
  if (text.includes('\0') || !text.isWellFormed())
    return 'contains NUL or an unpaired surrogate, which cannot be stored'
  if (holdsSecret(text)) return 'contains a token; send tokens only in the Authorization header'
  return undefined
}
