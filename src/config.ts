import type { KeyObject } from 'node:crypto'
import { Ajv } from 'ajv'
import { type Static, Type } from 'typebox'
import { databaseUrlProblem } from './db/hosts.ts'
import { type Durability, durabilities } from './db/installation.ts'
import type { SigningAlg } from './db/tables.ts'
import type { FailureLimit } from './http/failed-credentials.ts'
import { type LogLevel, logLevels } from './http/log.ts'
import { masterKeyPattern, parseMasterKey } from './keys/master-key.ts'
import { signingAlgs } from './keys/sealed.ts'
import { githubKeysUrl } from './leaks/github.ts'
import type { MailerOptions } from './mail/transport.ts'
import { isNetwork, isOrigin } from './shared/addresses.ts'
import { ConfigError, withFiles } from './shared/config-files.ts'
import { publicUrlProblem } from './shared/public-url.ts'
import { Secret } from './shared/secret.ts'
import type { StaticSecret } from './tokens/static-secret/static-secret.ts'
import type { VerificationOptions } from './verification/admission.ts'

/** Every environment variable. A test compares docs/configuration.md with it. */
export const Environment = Type.Object({
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
  PORT: Type.Integer({ default: 7662, minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
  PUBLIC_URL: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'The URL at which clients reach this service; also the issuer.',
    }),
  ),
  SHUTDOWN_GRACE_SECONDS: Type.Integer({
    default: 5,
    minimum: 0,
    maximum: 300,
    description: 'How long the service keeps accepting requests after SIGTERM.',
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
      description: 'The same database without the pooler (PgBouncer) of DATABASE_URL.',
    }),
  ),
  DATABASE_POOL_SIZE: Type.Integer({
    default: 10,
    minimum: 1,
    maximum: 1000,
    description: 'Maximum number of connections for management, per process.',
  }),
  REVOCATION_DURABILITY: Type.Enum([...durabilities], {
    type: 'string',
    default: 'local',
    description: 'When a revocation, deletion or suspension is acknowledged.',
  }),
  CACHE_SIZE: Type.Integer({
    default: 100_000,
    minimum: 0,
    maximum: 10_000_000,
    description: 'How many tokens are cached in memory; 0 disables the cache.',
  }),
  WORKERS: Type.Integer({
    default: 1,
    minimum: 1,
    maximum: 256,
    description: 'Number of processes that share the port, about one per core.',
  }),
  DATA_DIR: Type.String({
    default: '.counterfoil',
    minLength: 1,
    description: 'Directory of the embedded PostgreSQL.',
  }),
  MIGRATE: Type.Boolean({ default: true, description: 'Whether `serve` migrates the database.' }),
  ADMIN_TOKEN: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9\\-._~+/]{32,}=*$',
      description: 'The first platform administrator of an empty database.',
    }),
  ),
  BOOTSTRAP_EXAMPLES: Type.Optional(
    Type.Boolean({
      description:
        'Whether to create the organization `default` and the token types `api`, `mcp` and `scim` in an empty database.',
    }),
  ),
  AUTH_SECRET: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 4096,
      description: 'A static secret that is accepted wherever a token of the type `scim` is.',
    }),
  ),
  AUTH_SECRET_ORGANIZATION: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 64,
      description: 'The organization, by key or id, of AUTH_SECRET; required with it.',
    }),
  ),
  MASTER_KEY: Type.Optional(
    Type.String({
      pattern: masterKeyPattern,
      description: 'Encrypts the private keys that sign JWTs.',
    }),
  ),
  MASTER_KEY_PREVIOUS: Type.Optional(
    Type.String({
      pattern: masterKeyPattern,
      description: 'The previous master key, until `counterfoil rewrap` has run.',
    }),
  ),
  SMTP_URL: Type.Optional(
    Type.String({
      pattern: '^smtps?://[^/?#]+',
      description: 'The mail server to send notices through, with its credentials.',
    }),
  ),
  MAIL_FROM: Type.Optional(
    Type.String({
      pattern: '^([^<>@\\x00-\\x1f]+<[^<>@\\s]+@[^<>@\\s]+>|[^<>@\\s]+@[^<>@\\s]+)$',
      maxLength: 400,
      description: 'The sender of mail; required with SMTP_URL.',
    }),
  ),
  SIGNING_ALG: Type.Enum([...signingAlgs], {
    type: 'string',
    default: 'EdDSA',
    description: 'The algorithm of new signing keys.',
  }),
  SIGNING_KEY_ROTATION_DAYS: Type.Integer({
    default: 90,
    minimum: 0,
    maximum: 3650,
    description: 'How many days a signing key signs before the next one replaces it.',
  }),
  LOG_LEVEL: Type.Enum([...logLevels], {
    type: 'string',
    default: 'info',
    description: 'Minimum level of log lines.',
  }),
  TRUST_PROXY: Type.String({
    default: '',
    description: 'Addresses or networks, separated by commas, whose X-Forwarded-For is trusted.',
  }),
  CONSOLE: Type.Boolean({
    default: true,
    description: 'Whether to serve the console and open sessions for it.',
  }),
  CORS_ORIGINS: Type.String({
    default: '',
    description: 'Origins, separated by commas, whose pages may call the API.',
  }),
  AUTH_FAILURE_LIMIT: Type.Integer({
    default: 100,
    minimum: 0,
    maximum: 1_000_000,
    description:
      'How many authentications may fail from one address before further failures are answered with 429.',
  }),
  AUTH_FAILURE_WINDOW_SECONDS: Type.Integer({
    default: 60,
    minimum: 1,
    maximum: 86_400,
    description: 'How long failures of an address are counted, from the first one.',
  }),
  VERIFY_HEADERS: Type.String({
    default: '',
    description: 'Header fields, separated by commas, in which users may present a token to a gateway.',
  }),
  VERIFY_TRUSTED_NETWORKS: Type.String({
    default: '',
    description: 'Addresses or networks, separated by commas, from which gateways need no credential.',
  }),
  GITHUB_KEYS_URL: Type.String({
    default: githubKeysUrl,
    pattern: '^https?://',
    description: 'Where GitHub publishes the keys that sign its alerts about leaked tokens.',
  }),
  OUTBOUND_ALLOW: Type.String({
    default: '',
    description:
      'Non-public addresses or networks, separated by commas, that may be called: issuers, key sets and webhooks.',
  }),
})

/** The variables that can also be given as a file path, in a variable whose name ends in `_FILE`. */
export const secretVariables = [
  'DATABASE_URL',
  'DATABASE_LISTEN_URL',
  'ADMIN_TOKEN',
  'AUTH_SECRET',
  'MASTER_KEY',
  'MASTER_KEY_PREVIOUS',
  'SMTP_URL',
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
  /** Undefined: only with the embedded database. */
  bootstrapExamples: boolean | undefined
  staticSecret: StaticSecret | undefined
  /** The first one encrypts; all of them decrypt. */
  masterKeys: KeyObject[]
  signingAlg: SigningAlg
  keyRotationDays: number
  logLevel: LogLevel
  trustProxy: string[]
  console: boolean
  corsOrigins: string[]
  failureLimit: FailureLimit
  verification: VerificationOptions
  githubKeysUrl: string
  outboundAllow: string[]
  mail: MailerOptions | undefined
}

export function readConfig(env: Record<string, string | undefined>): Config {
  const values = validate(withFiles(env, secretVariables))
  for (const name of ['DATABASE_URL', 'DATABASE_LISTEN_URL'] as const) {
    const problem = values[name] === undefined ? undefined : databaseUrlProblem(values[name])
    if (problem) throw new ConfigError(`${name} ${problem}.`)
  }
  const urlProblem = values.PUBLIC_URL === undefined ? undefined : publicUrlProblem(values.PUBLIC_URL)
  if (urlProblem) throw new ConfigError(`PUBLIC_URL ${urlProblem}.`)
  const adminToken = values.ADMIN_TOKEN === undefined ? undefined : new Secret(values.ADMIN_TOKEN)
  if (adminToken?.isMistyped())
    throw new ConfigError('ADMIN_TOKEN looks like a mistyped Counterfoil token: its checksum does not match.')
  return {
    host: values.HOST,
    port: values.PORT,
    publicUrl: values.PUBLIC_URL?.replace(/\/$/, ''),
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
    staticSecret: readStaticSecret(values),
    masterKeys: masterKeys(values),
    signingAlg: values.SIGNING_ALG,
    keyRotationDays: values.SIGNING_KEY_ROTATION_DAYS,
    logLevel: values.LOG_LEVEL,
    trustProxy: list('TRUST_PROXY', values.TRUST_PROXY, isNetwork),
    console: values.CONSOLE,
    corsOrigins: list('CORS_ORIGINS', values.CORS_ORIGINS, isOrigin),
    failureLimit: { limit: values.AUTH_FAILURE_LIMIT, windowSeconds: values.AUTH_FAILURE_WINDOW_SECONDS },
    verification: {
      fields: list('VERIFY_HEADERS', values.VERIFY_HEADERS.toLowerCase(), isField),
      trustedNetworks: list('VERIFY_TRUSTED_NETWORKS', values.VERIFY_TRUSTED_NETWORKS, isNetwork),
    },
    githubKeysUrl: values.GITHUB_KEYS_URL,
    outboundAllow: list('OUTBOUND_ALLOW', values.OUTBOUND_ALLOW, isNetwork),
    mail: readMail(values),
  }
}

function readStaticSecret({
  AUTH_SECRET: text,
  AUTH_SECRET_ORGANIZATION: organization,
}: Static<typeof Environment>): StaticSecret | undefined {
  if (text === undefined && organization === undefined) return undefined
  if (organization === undefined)
    throw new ConfigError('AUTH_SECRET is set without AUTH_SECRET_ORGANIZATION.')
  if (text === undefined) throw new ConfigError('AUTH_SECRET_ORGANIZATION is set without AUTH_SECRET.')
  const secret = new Secret(text)
  if (secret.isMistyped())
    throw new ConfigError('AUTH_SECRET looks like a mistyped Counterfoil token: its checksum does not match.')
  return { secret, organization }
}

/** The URL at which clients reach the service. */
export function publicUrl({ publicUrl, port }: Config): string {
  return publicUrl ?? `http://localhost:${port}`
}

function readMail({ SMTP_URL: url, MAIL_FROM: from }: Static<typeof Environment>): MailerOptions | undefined {
  if (url === undefined && from === undefined) return undefined
  if (from === undefined) throw new ConfigError('SMTP_URL is set without MAIL_FROM.')
  if (url === undefined) throw new ConfigError('MAIL_FROM is set without SMTP_URL.')
  if (!URL.canParse(url)) throw new ConfigError('SMTP_URL is not a URL.')
  return { url, from }
}

/** Warnings about settings that are allowed but unsafe. */
export function configWarnings({ staticSecret }: Config): string[] {
  if (!staticSecret || staticSecret.secret.reveal().length >= 32) return []
  return ['AUTH_SECRET is shorter than 32 characters and may be guessed.']
}

function masterKeys({ MASTER_KEY, MASTER_KEY_PREVIOUS }: Static<typeof Environment>): KeyObject[] {
  if (MASTER_KEY === undefined && MASTER_KEY_PREVIOUS !== undefined)
    throw new ConfigError('MASTER_KEY_PREVIOUS is set without MASTER_KEY.')
  return [MASTER_KEY, MASTER_KEY_PREVIOUS].filter((text) => text !== undefined).map(parseMasterKey)
}

function validate(variables: Record<string, string>): Static<typeof Environment> {
  // Skips the meta-schema, which takes longer to compile than everything else.
  const ajv = new Ajv({
    allErrors: true,
    coerceTypes: true,
    removeAdditional: 'all',
    useDefaults: true,
    meta: false,
    validateSchema: false,
  })
  const values = { ...variables }
  if (ajv.validate<Static<typeof Environment>>(Environment, values)) return values
  // Ajv's message is like "env/PORT must be integer" and never contains the value, which may be a secret.
  throw new ConfigError(`${ajv.errorsText(ajv.errors, { dataVar: 'env' }).replaceAll('env/', '')}.`)
}

/** Splits a variable that contains several items, separated by commas. */
function list(variable: string, text: string, fits: (item: string) => boolean): string[] {
  const items = text.split(',').flatMap((item) => item.trim() || [])
  if (items.every(fits)) return items
  throw new ConfigError(`${variable} contains an invalid item.`)
}

/** RFC 9110 §5.1. Authorization is always read, and gateways authenticate in X-Counterfoil- fields. */
function isField(name: string): boolean {
  return (
    /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name) && name !== 'authorization' && !name.startsWith('x-counterfoil-')
  )
}
