import type { FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'

/**
 * Rejects requests that another site may have made a browser send. A browser adds the session cookie, or stores the one
 * in the response, whichever site sends the request; only our own pages can send one that passes here.
 */
export function rejectCrossOrigin({ headers }: FastifyRequest, publicUrl: string): void {
  const site = headers['sec-fetch-site']
  const ours = site === undefined ? headers.origin === new URL(publicUrl).origin : site === 'same-origin'
  if (ours) return
  const detail = 'A request with a session that changes something must come from a page of this origin.'
  throw new AppError('cross_origin', detail)
}
