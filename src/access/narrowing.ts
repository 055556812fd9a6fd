import type { Credential } from '../credentials/credential.ts'
import { reaches } from './caller.ts'

/** What a resource server is meant for; each member that is there has to fit. */
export type Narrowing = { organizations?: string[]; audience?: string[]; types?: string[] }

/** Whoever asks about tokens: where it belongs, and to which tokens it is limited there. */
export type Viewer = Pick<Credential, 'organizationId' | 'narrowedTo'>

type Shown = Pick<Credential, 'organizationId' | 'organizationKey' | 'audience' | 'type'>

/**
 * Whether a token is there for whoever asks about it: the one rule behind every introspection. A token without an
 * audience is meant for nobody in particular, and so not for who is limited to an audience.
 */
export function sees(viewer: Viewer, token: Shown): boolean {
  if (!reaches(viewer, token.organizationId)) return false
  const { narrowedTo } = viewer
  if (narrowedTo === null) return true
  const { organizations, audience, types } = narrowedTo
  if (organizations && !organizations.includes(token.organizationKey)) return false
  if (types && !types.includes(token.type)) return false
  return !audience || audience.some((one) => token.audience.includes(one))
}

/** Whether `inner` allows no value of this member that `outer` does not. */
export function isWithin(inner: Narrowing, outer: Narrowing | null, member: keyof Narrowing): boolean {
  const most = outer?.[member]
  return !most || (inner[member]?.every((one) => most.includes(one)) ?? false)
}
