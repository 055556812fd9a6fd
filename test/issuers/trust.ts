import type { Test } from 'tap'
import { createWorld, type World, type WorldOptions } from '../support/world.ts'
import { audience } from './provider.ts'

/** A Counterfoil that may call loopback, and whose clock is that of the providers. */
export async function createTrustingWorld(t: Test, options: WorldOptions = {}): Promise<World> {
  const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] }, ...options })
  world.clock.now = new Date()
  return world
}

/** Registers a provider, by default for access tokens, and returns the response. */
export async function trust(
  world: World,
  { issuer }: { issuer: string },
  more: object = {},
  organization = 'default',
): Promise<any> {
  const body = { name: 'Sign-in', issuer, audience, ...more }
  const answer = await world.ask('POST', `/v1/organizations/${organization}/issuers`, { body })
  if (answer.status !== 201) throw new Error(answer.text)
  return answer.body
}
