import type { KeyObject } from 'node:crypto'
import envSchema from 'env-schema'
import { type Static, Type } from 'typebox'
import { isNetwork, isOrigin } from './addresses.ts'
import { ConfigError, withFiles } from './config-files.ts'
import { hostsProblem } from './db/hosts.ts'
import { type Durability, durabilities } from './db/installation.ts'
import type { FailureLimit } from './http/failed-credentials.ts'
import { type LogLevel, logLevels } from './http/log.ts'
import { masterKeyPattern, parseMasterKey } from './keys/master-key.ts'
import { type SigningAlg, signingAlgs } from './keys/sealed.ts'
import { Secret } from './tokens/secret.ts'
import type { StaticSecret } from './tokens/static-secret/static-secret.ts'
import type { VerificationOptions } from './verification/options.ts'

/** Every environment variable there is; docs/configuration.md is checked against this by a test. */
export const Environment = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
  PORT: Type.Integer({ default: 7662, minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
  PUBLIC_URL: Type.Optional(
    Type.String({
      pattern: '^https?://[^/?#\\s]+$',
      description: 'Where others reach this service; also the issuer.',
    }),
  ),
  SHUTDOWN_GRACE_SECONDS: Type.Integer({
    default: 5,
    minimum: 0,
    maximum: 300,
    description: 'How long requests are still taken after SIGTERM, each answer closing its connection.',
  }),
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description: 'PostgreSQL to use instead of the embedded one.',
    }),
  ),
  DATABASE_LISTEN_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://',
      description: 'The same database without the pooler (pgbouncer) that DATABASE_URL leads through.',
    }),
  ),
  DATABASE_POOL_SIZE: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'Connections at the most for management; introspection has five of its own, the feed one.',
  }),
  REVOCATION_DURABILITY: Type.Enum([...durabilities], {
    type: 'string',
    default: 'local',
    description:
      'Whether what takes a credential away is acknowledged only once a synchronous standby has it.',
  }),
  CACHE_SIZE: Type.Integer({
    default: 100_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'How many tokens are kept in memory; with 0 the database is asked every time.',
  }),
  WORKERS: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 256,
    description: 'Processes that share the port, about one a core; each has its own memory and connections.',
  }),
  DATA_DIR: Type.String({
    default: '.counterfoil',
    minLength: 1,
    description: 'Where the embedded PostgreSQL lives.',
  }),
  MIGRATE: Type.Boolean({ default: true, description: 'Whether `serve` brings the database up to date.' }),
  ADMIN_TOKEN: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9\\-._~+/]{32,}=*$',
      description: 'The first platform administrator of an empty database.',
    }),
  ),
  BOOTSTRAP_EXAMPLES: Type.Optional(
    Type.Boolean({
      description:
        'Create the organization `default` and the token types `api`, `mcp` and `scim` in an empty database.',
    }),
  ),
  AUTH_SECRET: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4096,
      description:
        'A secret of your own that is good wherever a token of the type `scim` is; 32 random characters or more.',
    }),
  ),
  AUTH_SECRET_ORGANIZATION: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 36,
      description: 'The organization, by key or id, that AUTH_SECRET belongs to; needed with it.',
    }),
  ),
  MASTER_KEY: Type.Optional(
    Type.String({
      pattern: masterKeyPattern,
      description: 'Seals the private keys that sign JWTs: 256 random bits in base64 or hexadecimal.',
    }),
  ),
  MASTER_KEY_PREVIOUS: Type.Optional(
    Type.String({
      pattern: masterKeyPattern,
      description: 'The master key before this one, until `counterfoil rewrap` was run.',
    }),
  ),
  SIGNING_ALG: Type.Enum([...signingAlgs], {
    type: 'string',
    default: 'EdDSA',
    description: 'The algorithm of signing keys that are made from now on.',
  }),
  SIGNING_KEY_ROTATION_DAYS: Type.Integer({
    default: 90,
    minimum: 0,
    maximum: 3650,
    description: 'How long a key signs before another takes over; 0: until somebody rotates it.',
  }),
  LOG_LEVEL: Type.Enum([...logLevels], {
    type: 'string',
    default: 'info',
    description: 'How much is logged.',
  }),
  TRUST_PROXY: Type.String({
    default: '',
    description: 'Addresses or networks, separated by commas, whose X-Forwarded-For is believed.',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Origins, separated by commas, whose pages may call.',
  }),
  AUTH_FAILURE_LIMIT: Type.Integer({
    default: 100,
    minimum: 0,
    maximum: 1_000_000,
    description:
      'Credentials of callers that may fail from one address before further ones are answered with 429.',
  }),
  AUTH_FAILURE_WINDOW_SECONDS: Type.Integer({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description: 'How long failures of an address count, from the first one on.',
  }),
  VERIFY_HEADERS: Type.String({
    default: '',
    description: 'Header fields, separated by commas, in which users may present a token to a gateway.',
  }),
  VERIFY_TRUSTED_NETWORKS: Type.String({
    default: '',
    description: 'Addresses or networks, separated by commas, from which gateways need no credential.',
  }),
  OUTBOUND_ALLOW: Type.String({
    default: '',
    description:
      'Addresses or networks, separated by commas, that are not public and yet may be asked for the keys of others.',
  }),
})

/** The variables that can also be given as the path of a file, by the name with `_FILE` behind it. */
export const secretVariables = [
  'DATABASE_URL',
  'DATABASE_LISTEN_URL',
  'ADMIN_TOKEN',
  'AUTH_SECRET',
  'MASTER_KEY',
  'MASTER_KEY_PREVIOUS',
] as const

export type Config = {
  host: string
  port: number
  publicUrl: string | undefined
  shutdownGraceMs: number
  databaseUrl: string | undefined
  listenUrl: string | undefined
  poolSize: number
  revocationDurability: Durability
  cacheSize: number
  workers: number
  dataDir: string
  migrate: boolean
  adminToken: Secret | undefined
  /** Undefined: with the embedded database only. */
  bootstrapExamples: boolean | undefined
  environment: StaticSecret | undefined
  /** The first seals, all of them open. */
  masterKeys: KeyObject[]
  signingAlg: SigningAlg
  keyRotationDays: number
  logLevel: LogLevel
  trustProxy: string[]
  corsOrigins: string[]
  failureLimit: FailureLimit
  verification: VerificationOptions
  outboundAllow: string[]
}

export function readConfig(env: Record<string, string | undefined>): Config {
  const values = validate(withFiles(env, secretVariables))
  for (const name of ['DATABASE_URL', 'DATABASE_LISTEN_URL'] as const) {
    const problem = values[name] === undefined ? undefined : hostsProblem(values[name])
    if (problem) throw new ConfigError(`${name} ${problem}.`)
  }
  const adminToken = values.ADMIN_TOKEN === undefined ? undefined : new Secret(values.ADMIN_TOKEN)
  if (adminToken?.isMistyped())
    throw new ConfigError('ADMIN_TOKEN looks like a token of Counterfoil with a typo in it.')
  return {
    host: values.HOST,
    port: values.PORT,
    publicUrl: values.PUBLIC_URL,
    shutdownGraceMs: values.SHUTDOWN_GRACE_SECONDS * 1000,
    databaseUrl: values.DATABASE_URL,
    listenUrl: values.DATABASE_LISTEN_URL,
    poolSize: values.DATABASE_POOL_SIZE,
    revocationDurability: values.REVOCATION_DURABILITY,
    cacheSize: values.CACHE_SIZE,
    workers: values.WORKERS,
    dataDir: values.DATA_DIR,
    migrate: values.MIGRATE,
    adminToken,
    bootstrapExamples: values.BOOTSTRAP_EXAMPLES,
    environment: environmentSecret(values),
    masterKeys: masterKeys(values),
    signingAlg: values.SIGNING_ALG,
    keyRotationDays: values.SIGNING_KEY_ROTATION_DAYS,
    logLevel: values.LOG_LEVEL,
    trustProxy: list('TRUST_PROXY', values.TRUST_PROXY, isNetwork),
    corsOrigins: list('CORS_ORIGINS', values.CORS_ORIGINS, isOrigin),
    failureLimit: { limit: values.AUTH_FAILURE_LIMIT, windowSeconds: values.AUTH_FAILURE_WINDOW_SECONDS },
    verification: {
      fields: list('VERIFY_HEADERS', values.VERIFY_HEADERS.toLowerCase(), isField),
      trustedNetworks: list('VERIFY_TRUSTED_NETWORKS', values.VERIFY_TRUSTED_NETWORKS, isNetwork),
    },
    outboundAllow: list('OUTBOUND_ALLOW', values.OUTBOUND_ALLOW, isNetwork),
  }
}

function environmentSecret({
  AUTH_SECRET: text,
  AUTH_SECRET_ORGANIZATION: organization,
}: Static<typeof Environment>): StaticSecret | undefined {
  if (text === undefined && organization === undefined) return undefined
  if (organization === undefined)
    throw new ConfigError('AUTH_SECRET is given without AUTH_SECRET_ORGANIZATION.')
  if (text === undefined) throw new ConfigError('AUTH_SECRET_ORGANIZATION is given without AUTH_SECRET.')
  const secret = new Secret(text)
  if (secret.isMistyped())
    throw new ConfigError('AUTH_SECRET looks like a token of Counterfoil with a typo in it.')
  return { secret, organization }
}

/** What is allowed and yet unwise. */
export function configWarnings({ environment }: Config): string[] {
  if (!environment || environment.secret.reveal().length >= 32) return []
  return ['AUTH_SECRET is shorter than 32 characters: who tries long enough may guess it.']
}

function masterKeys({ MASTER_KEY, MASTER_KEY_PREVIOUS }: Static<typeof Environment>): KeyObject[] {
  if (MASTER_KEY === undefined && MASTER_KEY_PREVIOUS !== undefined)
    throw new ConfigError('MASTER_KEY_PREVIOUS is of use only together with MASTER_KEY.')
  return [MASTER_KEY, MASTER_KEY_PREVIOUS].filter((text) => text !== undefined).map(parseMasterKey)
}

function validate(data: Record<string, string>): Static<typeof Environment> {
  try {
    return envSchema<Static<typeof Environment>>({ schema: Environment, data, env: false })
  } catch (error) {
    // Ajv says «env/PORT must be integer»; the value itself, which may be a secret, is never in it.
    throw new ConfigError(`${(error as Error).message.replaceAll('env/', '')}.`)
  }
}

/** The items of a variable that holds several, separated by commas. */
function list(variable: string, text: string, fits: (item: string) => boolean): string[] {
  const items = text.split(',').flatMap((item) => item.trim() || [])
  if (items.every(fits)) return items
  throw new ConfigError(`${variable} has an item that is not of its form.`)
}

/** RFC 9110 §5.1. Authorization is read anyway, and in fields of ours gateways present themselves. */
function isField(name: string): boolean {
  return (
    /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) && name !== 'authorization' && !name.startsWith('x-counterfoil-')
  )
}
