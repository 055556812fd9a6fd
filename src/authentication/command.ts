import type { onRequestHookHandler } from 'fastify'
import type { User } from '../access/caller.ts'
import { badCredential } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'

/** A command with access to the database can do everything in it, so it needs no credential. */
const operator: User = {
  issuerId: 'command',
  issuer: 'command',
  organizationId: platformId,
  permissions: ['platform:admin'],
  ownerSubject: '',
  ownerEmail: null,
  ownerSource: 'internal',
  narrowedTo: null,
  allowedCidrs: null,
}

/**
 * An onRequest hook for an application inside a command, which makes its requests with `inject`: every request is the
 * command's own, so there is no credential that could leak or be left behind. It rejects what comes over a socket.
 */
export function authenticateCommand(name: string, now: () => Date): onRequestHookHandler {
  return (request, _reply, done) => {
    if (request.server.server.listening) return done(badCredential())
    const actor = { type: 'system', id: name, name: `counterfoil ${name}` } as const
    request.caller = { principal: operator, actor, requestId: request.id, ip: null, now: now() }
    done()
  }
}
