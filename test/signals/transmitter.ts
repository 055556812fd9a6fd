import { randomUUID } from 'node:crypto'
import { json } from 'node:stream/consumers'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Test } from 'tap'
import { trust } from '../issuers/trust.ts'
import { serve } from '../outbound/server.ts'
import type { Answer, World } from '../support/world.ts'

export const risc = 'https://schemas.openid.net/secevent/risc/event-type/'
export const caep = 'https://schemas.openid.net/secevent/caep/event-type/'
export const ssf = 'https://schemas.openid.net/secevent/ssf/event-type/'
export const audience = 'https://counterfoil.test/ssf'

export type PollRequest = { ack?: string[]; setErrs?: Record<string, { err: string }>; maxEvents?: number }

/** An identity provider that sends security events, by push and by poll. */
export type Transmitter = {
  issuer: string
  jwksUri: string
  pollUrl: string
  /** A signed event about a user, with other claims, header fields or key if a test says so. */
  event(type: string, subject: unknown, more?: Changed): Promise<string>
  /** What it offers to those who poll, by `jti`, until it is acknowledged or refused. */
  offered: Map<string, string>
  requests: PollRequest[]
  /** Awaited before a poll is answered. */
  beforeAnswer: () => unknown
  /** What `Authorization` has to be. */
  authorization: string | undefined
  /** Down: neither keys nor events can be fetched. */
  isDown: boolean
}

type Changed = { claims?: object; header?: object; payload?: object; key?: CryptoKey | Uint8Array }

export async function startTransmitter(t: Test, now: () => Date): Promise<Transmitter> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', use: 'sig' }
  const { url } = await serve(t, async (request, response) => {
    const send = (status: number, body?: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body))
    if (transmitter.isDown) return void send(503)
    if (request.url === '/jwks.json') return void send(200, { keys: [jwk] })
    if (request.headers.authorization !== transmitter.authorization) return void send(401)
    const asked = (await json(request)) as PollRequest
    transmitter.requests.push(asked)
    for (const jti of [...(asked.ack ?? []), ...Object.keys(asked.setErrs ?? {})])
      transmitter.offered.delete(jti)
    await transmitter.beforeAnswer()
    const some = [...transmitter.offered].slice(0, asked.maxEvents)
    send(200, { sets: Object.fromEntries(some), moreAvailable: some.length < transmitter.offered.size })
  })
  const transmitter: Transmitter = {
    issuer: url,
    jwksUri: `${url}/jwks.json`,
    pollUrl: `${url}/poll`,
    async event(type, subject, { claims, header, payload, key = privateKey } = {}) {
      const body = {
        iss: url,
        aud: audience,
        jti: randomUUID(),
        iat: Math.floor(now().getTime() / 1000),
        sub_id: subject,
        events: { [type]: { ...payload } },
        ...claims,
      }
      const kept = JSON.parse(JSON.stringify({ alg: 'ES256', kid: 'k1', typ: 'secevent+jwt', ...header }))
      return new SignJWT(JSON.parse(JSON.stringify(body))).setProtectedHeader(kept).sign(key)
    },
    offered: new Map(),
    requests: [],
    beforeAnswer() {},
    authorization: undefined,
    isDown: false,
  }
  return transmitter
}

/** Registers the transmitter as a trusted issuer, with its events; returns the paths. */
export async function listen(
  world: World,
  { issuer, jwksUri }: Transmitter,
  stream: object = {},
  { organization = 'default', ...registration }: { organization?: string; claims?: object } = {},
): Promise<{ id: string; path: string; push(token: string): Promise<Answer> }> {
  const more = { jwks_uri: jwksUri, algorithms: ['ES256', 'RS256'], ...registration }
  const { id } = await trust(world, { issuer }, more, organization)
  const path = `/v1/organizations/${organization}/issuers/${id}/signals`
  const made = await world.ask('PUT', path, { body: { audience, ...stream } })
  if (made.status !== 200) throw new Error(made.text)
  const { pathname } = new URL(made.body.push_url)
  const push = (body: string) =>
    world.ask('POST', pathname, { token: '', headers: { 'content-type': 'application/secevent+jwt' }, body })
  return { id, path, push }
}
