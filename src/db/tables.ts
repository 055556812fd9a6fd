import type { FlattenedJWE, JWK, JWTPayload } from 'jose'
import type { ColumnType, Generated, Selectable } from 'kysely'
import type { Actor } from '../access/caller.ts'
import type { Narrowing, OwnerSource } from '../access/credential.ts'
import type { Permission } from '../access/permissions.ts'
import type { EventType } from '../shared/event-types.ts'
import type { PolicyDocument } from '../shared/policy.ts'
import type { SecretHash } from '../shared/secret.ts'

export type Json<T> = ColumnType<T, string, string>
type JsonWithDefault<T> = ColumnType<T, string | undefined, string>
export type JsonOrNull<T> = ColumnType<T | null, string | null, string | null>

export type TokenFormat = 'opaque' | 'jwt'

/** The changed members, before and after. */
export type Changes = { before: Record<string, unknown>; after: Record<string, unknown> }

type OrganizationsTable = {
  id: string
  key: string
  name: string
  suspendedAt: Date | null
  policy: JsonWithDefault<PolicyDocument>
  policyVersion: Generated<number>
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

/** The claim that has each property of a user. */
export type ClaimNames = {
  subject: string
  email: string
  groups: string
  /** Null: all users belong to the organization that registered the issuer. */
  organization: string | null
}

export type GroupPermissions = { group: string; permissions: Permission[] }

type TrustedIssuersTable = {
  organizationId: string
  id: string
  name: string
  /** The exact value that `iss` must have. */
  issuer: string
  /** Null: taken from the issuer's metadata. */
  jwksUri: string | null
  audience: string
  algorithms: string[]
  claims: Json<ClaimNames>
  defaultPermissions: Permission[]
  groupPermissions: Json<GroupPermissions[]>
  /** Null: not used for sign-in to the console. */
  clientId: string | null
  /** Null: a public client. */
  clientSecret: JsonOrNull<SealedJwk>
  scope: Generated<string>
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

type OwnersTable = {
  organizationId: string
  subject: string
  email: string | null
  identitySource: OwnerSource
  externalId: string | null
  suspendedAt: ColumnType<Date | null, Date | null | undefined, Date | null>
  /** Why the owner is suspended; see `owners/suspension.ts`. */
  suspendedBy: Generated<string[]>
  /** The time of the latest security event about the account. */
  signalledAt: ColumnType<Date | null, Date | null | undefined, Date | null>
  /** The user of the directory that this owner belongs to. */
  directoryUserId: ColumnType<string | null, string | null | undefined, string | null>
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

/** Attributes of a directory's user that are only stored and returned. */
export type DirectoryAttributes = {
  displayName?: string
  name?: Record<string, string>
  emails?: Record<string, string | boolean>[]
}

export type SignalAction = 'suspend' | 'resume' | 'revoke' | 'notify' | 'ignore'

/** The security events of a trusted issuer. */
type SignalStreamsTable = {
  organizationId: string
  issuerId: string
  enabled: boolean
  audience: string
  /** Null: the keys that sign its tokens. */
  jwksUri: string | null
  /** Null: events are pushed to us. */
  pollUrl: string | null
  /** Encrypted under a master key. */
  pollAuthorization: JsonOrNull<SealedJwk>
  /** By event type; the default applies to the others. */
  actions: Json<Partial<Record<string, SignalAction>>>
  received: Generated<string>
  duplicates: Generated<string>
  unknownSubjects: Generated<string>
  lastEventAt: ColumnType<Date | null, Date | null | undefined, Date | null>
  verifiedAt: ColumnType<Date | null, Date | null | undefined, Date | null>
  verificationState: ColumnType<string | null, string | null | undefined, string | null>
  /** When the next poll is due. */
  pollAt: Date
  polledAt: ColumnType<Date | null, Date | null | undefined, Date | null>
  pollFailures: Generated<number>
  pollError: ColumnType<string | null, string | null | undefined, string | null>
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

/** The ids of events that were received. */
type SecurityEventsTable = {
  organizationId: string
  issuerId: string
  jtiHash: Buffer
  receivedAt: Date
}

/** A user that an identity provider manages by SCIM. */
type DirectoryUsersTable = {
  organizationId: string
  id: string
  userName: string
  externalId: string | null
  active: boolean
  attributes: Json<DirectoryAttributes>
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

/** The label and description of a scope. */
export type ScopeDetail = { scope: string; label: string; description: string | null }

type TokenTypesTable = {
  name: string
  description: string | null
  prefix: string
  carriesOrganization: boolean
  format: TokenFormat
  /** Null: any scope may be requested. */
  allowedScopes: string[] | null
  defaultScopes: string[]
  scopesRequired: Generated<boolean>
  scopeDetails: JsonWithDefault<ScopeDetail[]>
  audience: string[]
  endpoint: string | null
  /** Whether its JWTs refer to a status list. */
  statusList: Generated<boolean>
  /** Whether a token may rotate itself, whatever its scopes. */
  selfRotation: Generated<boolean>
  suspendedAt: Date | null
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

type TokensTable = {
  organizationId: string
  id: string
  type: string
  /** Whether the type is the organization's own, and not the platform's of that name. */
  ownType: Generated<boolean>
  name: string
  comment: string | null
  ownerSubject: string | null
  ownerEmail: string | null
  ownerSource: OwnerSource | null
  scopes: string[]
  audience: string[]
  metadata: Json<Record<string, unknown>>
  notBefore: Date | null
  expiresAt: Date | null
  revokedAt: Date | null
  revokedBy: JsonOrNull<Actor>
  revokedReason: string | null
  /** Where the token may be used from; null: anywhere. */
  allowedCidrs: string[] | null
  /** Which of the tokens it reaches it may see; null: all. */
  narrowedTo: JsonOrNull<Narrowing>
  /** The hash that it was imported with; null: it was created here. */
  importedHash: Generated<SecretHash | null>
  version: Generated<number>
  createdAt: Date
  createdBy: Json<Actor>
  updatedAt: Date
}

type TokenUsesTable = {
  organizationId: string
  tokenId: string
  /** Null with a last use: first used before this was recorded. */
  firstUsedAt: Generated<Date | null>
  lastUsedAt: Date | null
  lastUsedIp: string | null
  useCount: Generated<string>
}

/** Use of AUTH_SECRET, by the organization it is configured for. */
type StaticSecretUsesTable = {
  organizationId: string
  lastUsedAt: Date
  lastUsedIp: string | null
  useCount: string
}

/** Secrets that are or may become good: the current one, one in its overlap, and a pending one. */
type TokenSecretsTable = {
  hash: SecretHash
  organizationId: string
  tokenId: string
  /** Null: the token's first secret, which has the id of the token. */
  id: Generated<string | null>
  hint: string
  /** For a JWT: the kid. */
  signedBy: Generated<string | null>
  createdAt: Date
  supersededAt: Generated<Date | null>
  /** When the overlap of a superseded secret ends. */
  validUntil: Generated<Date | null>
  /** Null unless the secret is pending: it has not been used, and will not be accepted from then on. */
  lapsesAt: Generated<Date | null>
  /** How long the current secret stays good once the pending one is used. */
  overlapSeconds: Generated<number | null>
  /** The token's expiry once the pending secret is used. Null: unchanged; infinity: none. */
  newExpiresAt: ColumnType<Date | number | null, Date | 'infinity' | null | undefined, null>
  /** Uses counted by earlier versions. */
  useCount: Generated<string>
}

/** Secrets that are no longer good, kept to recognize their reuse. */
type SupersededSecretsTable = {
  hash: SecretHash
  organizationId: string
  tokenId: string
  id: string
  hint: string
  createdAt: Date
  supersededAt: Date
  validUntil: Date
  reusedAt: Date | null
  reusedIp: string | null
}

/** Secrets of deleted tokens, kept to recognize them if they leak. */
type DeletedSecretsTable = {
  hash: SecretHash
  organizationId: string
  tokenId: string
  secretId: string
  tokenName: string
  hint: string
  deletedAt: Date
}

export type LeakedSecretStatus = 'current' | 'overlapping' | 'pending' | 'superseded' | 'deleted'
export type LeakReaction = 'none' | 'notified' | 'revoked' | 'rotated'

/** Secrets that were found in public or unexpected places; a row for each place. */
type LeakReportsTable = {
  organizationId: string
  id: string
  hash: SecretHash
  tokenId: string
  tokenName: string
  secretId: string
  hint: string
  secretStatus: LeakedSecretStatus
  reaction: LeakReaction
  source: string
  url: string | null
  reportedBy: Json<Actor>
  reportedAt: Date
  lastReportedAt: Date
  times: Generated<string>
}

/** The prefixes of imported secrets. */
type ImportedPrefixesTable = {
  prefix: string
}

/** Uses of each secret of a token that was rotated. */
type SecretUsesTable = {
  organizationId: string
  tokenId: string
  secretId: string
  firstUsedAt: Date | null
  lastUsedAt: Date | null
  lastUsedIp: string | null
  useCount: Generated<string>
}

type AuditEventsTable = {
  organizationId: string
  id: string
  occurredAt: Date
  actor: Json<Actor>
  /** The subject of the user on whose behalf the actor acted. */
  onBehalfOf: string | null
  action: string
  targetType: string
  targetId: string
  targetName: string
  changes: JsonOrNull<Changes>
  requestId: string
  ip: string | null
}

type IdempotencyKeysTable = {
  hash: Buffer
  organizationId: string
  fingerprint: Buffer
  /** Null only inside the transaction that creates the answer. */
  answer: Buffer | null
  expiresAt: Date
}

type InstallationTable = {
  cursorKey: Buffer
  revocationDurability: 'local' | 'remote'
  servedSince: Generated<string>
}

export type RevocationReason = 'revoked' | 'deleted' | 'secret_ended' | 'changed' | 'suspended' | 'reset'

/** Written only by triggers. */
type RevocationsTable = {
  id: Generated<string>
  /** Null only inside the transaction that creates it. */
  position: Generated<string | null>
  at: Generated<Date>
  reason: RevocationReason
  organizationId: string | null
  organizationKey: string | null
  type: string | null
  audience: string[] | null
  /** Without a token: all tokens of this owner in the organization. */
  ownerSubject: string | null
  tokenId: string | null
  hash: Buffer | null
}

export type SigningAlg = 'EdDSA' | 'ES256' | 'RS256'

/** As published in the JWKS. */
export type PublicJwk = JWK & { kid: string; alg: SigningAlg; use: 'sig' }

/** A private JWK encrypted under a master key (RFC 7517 §7). */
export type SealedJwk = FlattenedJWE & { readonly brand?: 'SealedJwk' }

type SigningKeysTable = {
  kid: string
  alg: SigningAlg
  publicJwk: Json<PublicJwk>
  /** Null once it no longer signs. */
  sealedPrivateJwk: JsonOrNull<SealedJwk>
  createdAt: Date
  activatesAt: Date
  /** When its successor takes over. */
  retiresAt: Date | null
  /** When its signatures stopped being valid. */
  retiredAt: Date | null
}

/** A public key that a client signs with. */
export type ClientJwk = {
  kty: 'OKP' | 'EC' | 'RSA'
  kid?: string
  alg?: string
  use: 'sig'
  crv?: string
  x?: string
  y?: string
  n?: string
  e?: string
}

/** Exactly one of the two is set. */
type ClientKeysTable = {
  organizationId: string
  tokenId: string
  jwks: JsonOrNull<{ keys: ClientJwk[] }>
  jwksUri: string | null
  createdAt: Date
  updatedAt: Date
}

type ClientAssertionsTable = {
  tokenId: string
  jtiHash: Buffer
  expiresAt: Date
}

type StatusListsTable = {
  id: string
  organizationId: string
  size: number
  /** How many more tokens it can take. */
  free: number
  createdAt: Date
}

type StatusListEntriesTable = {
  listId: string
  idx: number
  tokenId: string
  /** Null: the token's first secret. */
  secretId: Generated<string | null>
}

/** Events that a dispatcher has not taken yet. */
type OutboxTable = {
  id: Generated<string>
  eventId: string
  type: EventType
  organizationId: string
  /** What it is about, such as the id of a token; events of one subject are delivered in order. */
  subject: string
  occurredAt: Date
  data: Json<Record<string, unknown>>
}

export type SignatureScheme = 'hmac' | 'ed25519'

type WebhooksTable = {
  organizationId: string
  id: string
  url: string
  description: string | null
  /** Null: all types. */
  events: EventType[] | null
  signature: SignatureScheme
  sealedSecret: Json<SealedJwk>
  /** Only for ed25519. */
  publicKey: string | null
  /** Signs too until `previousUntil`. */
  sealedPreviousSecret: JsonOrNull<SealedJwk>
  previousPublicKey: string | null
  previousUntil: Date | null
  pausedAt: Date | null
  disabledAt: Date | null
  disabledReason: string | null
  /** Since when every attempt has failed. */
  failingSince: Date | null
  failingAnnouncedAt: Date | null
  version: Generated<number>
  createdAt: Date
  updatedAt: Date
}

export type DeliveryStatus = 'pending' | 'delivered' | 'failed'

type DeliveriesTable = {
  organizationId: string
  webhookId: string
  /** The id of the event. */
  id: string
  position: Generated<string>
  type: EventType | 'webhook.test'
  subject: string
  occurredAt: Date
  body: string
  status: Generated<DeliveryStatus>
  attempts: Generated<number>
  /** While it is attempted: when another instance may take over. */
  nextAttemptAt: Date | null
  attemptedAt: Generated<Date | null>
  durationMs: Generated<number | null>
  responseStatus: Generated<number | null>
  error: Generated<string | null>
}

export type NoticeKind = 'expiry' | 'rotation'

/** Up to which token, in the order of time, notices were given for a number of days. */
type NoticePositionsTable = {
  kind: NoticeKind
  days: number
  at: Date
  organizationId: string
  tokenId: string
}

type MailsTable = {
  organizationId: string
  recipient: string
  eventId: string
  type: string
  occurredAt: Date
  data: Json<Record<string, unknown>>
  status: Generated<'pending' | 'sent' | 'failed'>
  attempts: Generated<number>
  nextAttemptAt: Date
  /** While an instance sends it: when another one may take over. */
  claimedUntil: Generated<Date | null>
  sentAt: Generated<Date | null>
  /** Whether it was sent together with others. */
  digest: Generated<boolean | null>
}

/** How many tokens were active at an instant. */
type ActiveCountsTable = {
  organizationId: string
  countedAt: Date
  active: ColumnType<string, number, number>
}

/** Changes of the number of unrevoked tokens with this expiry since they were counted. */
type ActiveCountChangesTable = {
  organizationId: string
  expiresAt: Date
  change: ColumnType<string, number, number>
}

/** A session of the console: of a token or of a user of a trusted issuer. */
type SessionsTable = {
  id: string
  organizationId: string
  hash: Buffer
  /** Of the token or user, when the session was opened. */
  name: string
  tokenId: string | null
  /** Of the secret that was presented. */
  tokenHash: Buffer | null
  issuerId: string | null
  subject: string | null
  /** What the sign-in said about the user. */
  claims: JsonOrNull<JWTPayload>
  /** Encrypted with a key that is derived from the cookie, like `providerTokens`. */
  idToken: string | null
  /** Tokens of the provider for checking the user again; null if it gave none that can. */
  providerTokens: string | null
  /** When the provider last confirmed the user. */
  checkedAt: Date | null
  /** Until then, no other request checks the user. */
  checkClaimedUntil: Date | null
  userAgent: string | null
  ip: string | null
  createdAt: Date
  lastSeenAt: Date
  expiresAt: Date
}

/** Links that open a session once. */
type SignInLinksTable = {
  hash: Buffer
  /** Of the secret of the token that the session is for. */
  tokenHash: Buffer
  expiresAt: Date
}

/** Events that are not in the transparency log yet. */
type LogQueueTable = {
  organizationId: string
  eventId: string
}

type LogLeavesTable = {
  leafIndex: string
  organizationId: string
  eventId: string
  /** How many events of the organization are before it in the log. */
  organizationIndex: string
  salt: Buffer
  sequencedAt: Date
  hash: Buffer
}

/** The hashes of complete subtrees of `256 ** level` leaves. */
type LogNodesTable = {
  level: number
  nodeIndex: string
  hash: Buffer
}

type LogOrganizationsTable = {
  organizationId: string
  /** How many of its events are in the log. */
  events: string
}

/** One row. */
type LogStateTable = {
  single: Generated<boolean>
  size: string
  /** The hashes of the complete subtrees that the tree consists of, the largest first. */
  subtrees: Buffer
  /** Up to which event those of before the log have been scanned; null: all. */
  scannedOrganization: string | null
  scannedEvent: string | null
  /** Null before the first checkpoint. */
  origin: string | null
  publicKey: Buffer | null
  sealedPrivateJwk: JsonOrNull<SealedJwk>
  checkpoint: string | null
  checkpointSize: string
  checkpointAt: Date | null
  /** The checkpoint that was last sent to webhooks. */
  announcedSize: string
  announcedAt: Date | null
}

export type Tables = {
  organizations: OrganizationsTable
  trustedIssuers: TrustedIssuersTable
  owners: OwnersTable
  directoryUsers: DirectoryUsersTable
  signalStreams: SignalStreamsTable
  securityEvents: SecurityEventsTable
  tokenTypes: TokenTypesTable
  organizationTokenTypes: TokenTypesTable & { organizationId: string }
  tokens: TokensTable
  tokenSecrets: TokenSecretsTable
  supersededSecrets: SupersededSecretsTable
  deletedSecrets: DeletedSecretsTable
  leakReports: LeakReportsTable
  importedPrefixes: ImportedPrefixesTable
  secretUses: SecretUsesTable
  tokenUses: TokenUsesTable
  activeCounts: ActiveCountsTable
  activeCountChanges: ActiveCountChangesTable
  staticSecretUses: StaticSecretUsesTable
  auditEvents: AuditEventsTable
  idempotencyKeys: IdempotencyKeysTable
  installation: InstallationTable
  signingKeys: SigningKeysTable
  clientKeys: ClientKeysTable
  clientAssertions: ClientAssertionsTable
  statusLists: StatusListsTable
  statusListEntries: StatusListEntriesTable
  revocations: RevocationsTable
  outbox: OutboxTable
  webhooks: WebhooksTable
  deliveries: DeliveriesTable
  noticePositions: NoticePositionsTable
  mails: MailsTable
  sessions: SessionsTable
  signInLinks: SignInLinksTable
  logQueue: LogQueueTable
  logLeaves: LogLeavesTable
  logNodes: LogNodesTable
  logOrganizations: LogOrganizationsTable
  logState: LogStateTable
}

export type Organization = Selectable<OrganizationsTable>
export type TrustedIssuer = Selectable<TrustedIssuersTable>
export type Session = Selectable<SessionsTable>
export type Owner = Selectable<OwnersTable>
export type SignalStream = Selectable<SignalStreamsTable>
export type DirectoryUser = Selectable<DirectoryUsersTable>
export type TokenType = Selectable<TokenTypesTable>
export type TokenRow = Omit<Selectable<TokensTable>, 'importedHash'>
export type SigningKey = Selectable<SigningKeysTable>
export type ClientKeys = Selectable<ClientKeysTable>
export type AuditEvent = Selectable<AuditEventsTable>
export type Webhook = Selectable<WebhooksTable>
export type Delivery = Omit<Selectable<DeliveriesTable>, 'body' | 'subject'>
export type RevocationRow = Selectable<RevocationsTable>
export type LogLeaf = Selectable<LogLeavesTable>
export type LogState = Selectable<LogStateTable>
