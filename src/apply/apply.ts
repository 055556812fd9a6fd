import { TokenTypeChange } from '../token-types/schema.ts'
import { type Api, ApplyError, type Item } from './api.ts'
import { type Difference, differences } from './difference.ts'
import type { Configuration } from './file.ts'

/** A change to a resource that was made, or would be. */
export type Step = { action: 'create' | 'change'; resource: string; differences: Difference[] }

export type WebhookSecret = { organization: string; webhook: string; url: string; secret: string }

type Options = {
  dryRun: boolean
  onStep(step: Step): void
  /** Keeps the secret of a new webhook, which cannot be read again; called without one before the webhook is created. */
  keepSecret?: ((secret?: WebhookSecret) => void) | undefined
}

/**
 * Makes the service match the file: creates what is missing, changes what differs, and keeps everything that the file
 * does not mention. Each step is a request of its own, and a second run continues where the first one failed. A dry run
 * only returns the steps.
 */
export async function apply(
  api: Api,
  { token_types = [], organizations = [] }: Configuration,
  { dryRun, onStep, keepSecret }: Options,
): Promise<void> {
  const changeable = Object.keys(TokenTypeChange.properties)

  /** Creates the resource, or changes it with what `change` makes of the differences. */
  async function settle(
    resource: string,
    current: Item | undefined,
    wanted: object,
    { create, change }: { create(): Promise<unknown>; change(): Promise<unknown> },
  ) {
    const found = differences(current, wanted)
    if (current && found.length === 0) return
    onStep({ action: current ? 'change' : 'create', resource, differences: found })
    if (!dryRun) await (current ? change() : create())
  }

  /** `path` leads to the organization that the type belongs to; without a key it belongs to the platform. */
  async function applyTokenType(path: string, key: string | null, wanted: { name: string } & Item) {
    const types = `${path}/token-types`
    const { status, body, etag } = await api('GET', `${types}/${wanted.name}`)
    // An organization without a type of its own uses the platform's.
    const isOwn = key === null || body.organization !== null
    const current = status === 200 && isOwn ? body : undefined
    const fixed = current && differences(current, wanted).find(({ member }) => !changeable.includes(member))
    if (fixed)
      throw new ApplyError(
        `The token type ${wanted.name} has ${fixed.member} ${JSON.stringify(fixed.from)}, which never changes: delete ` +
          'the type, or rename the one in the file.',
      )
    const change = Object.fromEntries(Object.entries(wanted).filter(([name]) => changeable.includes(name)))
    await settle(`token type ${wanted.name}${key === null ? '' : ` of ${key}`}`, current, wanted, {
      create: () => api('POST', types, wanted),
      change: () => api('PATCH', `${types}/${wanted.name}`, change, etag),
    })
  }

  async function applyPolicy(path: string, key: string, wanted: Item, exists: boolean) {
    const { body, etag } = exists ? await api('GET', `${path}/policy`) : { body: { own: {} } }
    const change = () => api('PATCH', `${path}/policy`, wanted, etag)
    // Lets the service check the policy.
    if (dryRun && exists) await api('PATCH', `${path}/policy?dry_run=true`, wanted)
    await settle(`policy of ${key}`, body.own as Item, wanted, { create: change, change })
  }

  async function applyIssuer(
    path: string,
    key: string,
    wanted: { issuer: string; audience: string } & Item,
    known: Item[],
  ) {
    const current = known.find(
      ({ issuer, audience }) => issuer === wanted.issuer && audience === wanted.audience,
    )
    const { id, created_at, updated_at, has_client_secret, redirect_uri, ...registered } = current ?? {}
    await settle(`issuer ${wanted.issuer} of ${key}`, current, wanted, {
      create: () => api('POST', `${path}/issuers`, wanted),
      change: () => api('PUT', `${path}/issuers/${id}`, merged(registered, wanted)),
    })
  }

  /** Only the origin of a URL is shown: its path may be a secret. */
  async function applyWebhook(path: string, key: string, wanted: { url: string } & Item, known: Item[]) {
    const webhooks = `${path}/webhooks`
    const { origin } = new URL(wanted.url)
    const resource = `webhook ${origin} of ${key}`
    const [found, another] = known.filter(({ url }) => url === wanted.url)
    if (another)
      throw new ApplyError(
        `There are several with the URL of the ${resource}, and the file cannot tell them apart: delete all but one.`,
      )
    const current: Item | undefined = found && {
      ...found,
      paused: ['paused', 'disabled'].includes(found.status as string),
    }
    const { paused, ...registered } = wanted
    const { signature, ...change } = wanted
    if (current && signature !== undefined && signature !== current.signature)
      throw new ApplyError(
        `The ${resource} has signature ${current.signature}, which never changes: delete the webhook first.`,
      )
    const hasSecret = signature !== 'ed25519'
    await settle(
      resource,
      current,
      { ...wanted, url: current ? wanted.url : origin },
      {
        async create() {
          if (hasSecret && !keepSecret)
            throw new ApplyError(
              `The ${resource} would get a secret that is shown only once: say with --secrets-file FILE where to write ` +
                'it, or set signature: ed25519, which needs none.',
            )
          if (hasSecret) keepSecret?.()
          const { body } = await api('POST', webhooks, registered)
          const { id, url, secret } = body as Record<'id' | 'url' | 'secret', string>
          if (hasSecret) keepSecret?.({ organization: key, webhook: id, url, secret })
          if (paused) await api('PATCH', `${webhooks}/${id}`, { paused })
        },
        change: () => api('PATCH', `${webhooks}/${current?.id}`, change),
      },
    )
  }

  for (const type of token_types) await applyTokenType('/v1', null, type)
  for (const {
    token_types: ownTypes = [],
    policy,
    issuers = [],
    webhooks = [],
    ...organization
  } of organizations) {
    const path = `/v1/organizations/${organization.key}`
    const { status, body, etag } = await api('GET', path)
    // Keys are the same in upper and lower case.
    const current = status === 404 ? undefined : { ...body, key: organization.key }
    await settle(`organization ${organization.key}`, current, organization, {
      create: () => api('POST', '/v1/organizations', organization),
      change: () => api('PATCH', path, { name: organization.name }, etag),
    })
    for (const type of ownTypes) await applyTokenType(path, organization.key, type)
    if (policy) await applyPolicy(path, organization.key, policy as Item, !dryRun || current !== undefined)
    const listed = async (name: string, wanted: unknown[]) =>
      wanted.length > 0 && (!dryRun || current)
        ? ((await api('GET', `${path}/${name}`)).body.items as Item[])
        : []
    const knownIssuers = await listed('issuers', issuers)
    for (const issuer of issuers) await applyIssuer(path, organization.key, issuer, knownIssuers)
    const knownWebhooks = await listed('webhooks', webhooks)
    for (const webhook of webhooks) await applyWebhook(path, organization.key, webhook, knownWebhooks)
  }
}

/** Merges `wanted` over `current`, including nested objects. */
function merged(current: Item, wanted: Item): Item {
  const entries = Object.entries(wanted).map(([name, value]) => {
    const nested = typeof value === 'object' && value !== null && !Array.isArray(value)
    return [name, nested ? merged((current[name] ?? {}) as Item, value as Item) : value]
  })
  return { ...current, ...Object.fromEntries(entries) }
}
