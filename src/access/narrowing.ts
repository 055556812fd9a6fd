import { reaches } from './caller.ts'
import type { Credential, Narrowing } from './credential.ts'

/** The party that asks about tokens: its organization, and its narrowing. */
export type Viewer = Pick<Credential, 'organizationId' | 'narrowedTo'>

type Shown = Pick<Credential, 'organizationId' | 'organizationKey' | 'audience' | 'type'>

/**
 * Whether the viewer may see a token: the one rule behind every introspection. A token without an audience is meant for
 * no resource server in particular, so viewers that are limited to an audience do not see it.
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

/** Whether every value that `inner` allows for this member is also allowed by `outer`. */
export function isWithin(inner: Narrowing, outer: Narrowing | null, member: keyof Narrowing): boolean {
  const most = outer?.[member]
  return !most || (inner[member]?.every((one) => most.includes(one)) ?? false)
}
