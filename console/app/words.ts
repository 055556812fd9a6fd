// All words of the console. Another language is another file with the same members.

type Expiry = {
  state: 'never' | 'ok' | 'warning' | 'imminent' | 'expired'
  seconds_left: number | null
  days_left: number | null
}

const policyRules: Record<string, string> = {
  'lifetime.presets_days': 'Offered lifetimes, in days',
  'lifetime.default_days': 'Usual lifetime, in days',
  'lifetime.minimum_days': 'Shortest lifetime, in days',
  'lifetime.maximum_days': 'Longest lifetime, in days',
  'lifetime.on_too_long': 'If a longer one is requested',
  'lifetime.allow_no_expiry': 'Tokens may never expire',
  'name.required': 'A name is required',
  'name.minimum_length': 'Shortest name, in characters',
  'name.unique': 'Names are unique',
  'limits.active_per_owner': 'Active tokens per owner',
  'limits.active_per_organization': 'Active tokens in all',
  'creation.sso_users': 'Single sign-on users can get tokens',
  'scopes.required': 'At least one scope is required',
  'delete.confirm_name': 'Deleting needs the name of the token',
  'rotation.default_overlap_seconds': 'Usual overlap, in seconds',
  'rotation.maximum_overlap_seconds': 'Longest overlap, in seconds',
  'rotation.every_days': 'Rotate every … days',
  'rotation.on_superseded_use': 'If a superseded secret is used',
  'expiry_warning.warning_days': 'Warn this many days before',
  'expiry_warning.imminent_hours': 'Urgent this many hours before',
}

const plural = (count: number, one: string, many: string) => (count === 1 ? `1 ${one}` : `${count} ${many}`)

export const words = {
  language: 'en',
  /** For dates and numbers, if the browser prefers no region of this language. */
  locale: 'en-GB',
  product: 'Counterfoil',
  skip: 'Skip to content',
  menu: 'Menu',
  close: 'Close',
  cancel: 'Cancel',
  save: 'Save changes',
  saved: 'Changes saved.',
  loading: 'Loading…',
  optional: 'optional',
  copy: 'Copy',
  copied: 'Copied',
  failed: 'Not copied',
  copyFailed: 'The browser did not allow copying. Select the text and copy it yourself.',
  tryAgain: 'Try again',
  justNow: 'just now',
  more: 'Show more',
  change: 'Change',
  suspend: 'Suspend',
  resume: 'Resume',
  suspended: 'Suspended',
  signOut: 'Sign out',
  requestId: (id: string) => `Request ${id}`,
  /** The service writes what is wrong as the end of a sentence. */
  fieldError: (detail: string) => `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`,

  errors: {
    network: 'The service cannot be reached. Check your connection, then try again.',
    unknown: 'Something unexpected happened.',
  },

  notFound: { title: 'There is no such page', back: 'Go to the tokens' },

  signIn: {
    title: 'Sign in',
    token: 'Management token',
    tokenHelp: 'Your session can do what the token can, and ends when the token is revoked.',
    submit: 'Sign in',
    refused: 'This token is unknown, expired, revoked or not allowed from your network.',
    usedLink:
      'This link was used before, or is older than ten minutes. Sign in with a management token, or restart the service for a new link.',
    with: (name: string) => `Continue with ${name}`,
    organization: 'Organization',
    organizationHelp: 'The key of your organization, such as “acme”, shows its sign-in here.',
    look: 'Show its sign-in',
    noProvider: 'No sign-in is set up for this organization. Check its key, or ask its administrator.',
    or: 'or with a management token',
    failures: {
      denied: 'The sign-in was cancelled, or the provider does not let you use this application.',
      expired: 'The sign-in took too long, or was started in another window. Start again.',
      rejected:
        'The provider knows you, but you cannot be signed in here: your account or organization is suspended, or not set up. Ask an administrator.',
      unavailable: 'The sign-in provider does not respond. Try again in a moment.',
      failed:
        'The sign-in failed. Try again; if it fails again, an administrator finds the reason in the log of the service.',
    },
    insecure:
      'This page was loaded without HTTPS, so the browser will not keep a session. Open it at https:// or at http://localhost.',
  },

  navigation: {
    label: 'Main',
    change: 'Choose another organization',
    overview: 'Overview',
    tokens: 'Tokens',
    owners: 'Owners',
    policy: 'Policy',
    types: 'Token types',
    issuers: 'Sign-in providers',
    log: 'Change log',
    sessions: 'Sessions',
    platform: 'Platform',
    organizations: 'Organizations',
    keys: 'Signing keys',
    reference: 'API reference',
  },

  status: { active: 'Active', not_yet_valid: 'Not yet valid', expired: 'Expired', revoked: 'Revoked' },

  tab: {
    active: 'Active',
    expiring: 'Expiring',
    expired: 'Expired',
    revoked: 'Revoked',
    not_yet_valid: 'Not yet valid',
    all: 'All',
  },

  expiry({ state, seconds_left: seconds, days_left: days }: Expiry): string {
    if (state === 'never') return 'Never'
    if (state === 'expired') return 'Expired'
    if (days === null || seconds === null || seconds < 86_400) return 'Less than 24 hours'
    return plural(days, 'day', 'days')
  },

  tokens: {
    title: 'Tokens',
    tabs: 'Tokens by status',
    create: 'Create token',
    creationDisabled: 'You cannot create tokens here.',
    noMatch: 'No token matches these filters',
    clear: 'Clear the filters',
    none: {
      active: 'No active tokens yet',
      expiring: 'No token expires within 30 days',
      expired: 'No token has expired',
      revoked: 'No token has been revoked',
      not_yet_valid: 'No token waits for its start',
    },
    firstStep: 'Create one for each program that calls your API, so that each can be revoked alone.',
  },

  filter: {
    search: 'Search names and comments',
    owner: 'Owner',
    allTypes: 'All types',
    use: 'Use',
    anyUse: 'Used or not',
    neverUsed: 'Never used',
    unused: (days: number) => `Unused for ${days} days`,
  },

  token: {
    name: 'Name',
    type: 'Type',
    hint: 'Token',
    hintOf: (name: string) => `the visible part of ${name}`,
    created: 'Created',
    createdBy: (at: string, name: string) => `${at} by ${name}`,
    expires: 'Expires',
    lastUsed: 'Last used',
    lastUsedFrom: 'Last used from',
    neverUsed: 'Never used',
    never: 'Never',
    uses: 'Uses',
    actions: 'Actions',
    actionsOf: (name: string) => `Actions for ${name}`,
    open: 'Open',
    comment: 'Comment',
    owner: 'Owner',
    service: 'A service',
    scopes: 'Scopes',
    noScopes: 'None',
    networks: 'Networks',
    anywhere: 'Usable from anywhere',
    endpoint: 'Endpoint',
    facts: 'Details',
    id: 'Id',
  },

  create: {
    title: 'Create token',
    nameHelp: 'What uses the token and for what, such as “Okta SCIM connector”.',
    commentHelp: 'Who asked for it, and the ticket. Auditors read this.',
    scopesHelp: 'Separated by spaces.',
    more: 'Owner and networks',
    ownerHelp: 'The subject of the user it belongs to. Left out, it belongs to a service.',
    ownerEmail: 'E-mail of the owner',
    networksHelp: 'The only addresses or networks (CIDR) it may be used from, one per line.',
    validity: 'Validity',
    custom: 'Custom…',
    never: 'No expiration',
    neverHelp: 'It works until it is revoked. A token that expires is safer.',
    days: 'Days',
    daysBetween: (least: number, most: number | null) =>
      most === null ? `At least ${plural(least, 'day', 'days')}.` : `From ${least} to ${most} days.`,
    typeDays: 'Enter the number of days.',
    stopsOn: (at: string) => `Stops working on ${at}.`,
    summary: 'Summary',
    left: 'Left',
    leftOf: (left: number, limit: number) => `${left} of ${limit} tokens`,
    submit: 'Create token',
    byCommand: 'Do the same from a terminal',
    command: 'The curl command',
  },

  reveal: {
    created: (name: string) => `“${name}” is ready`,
    once: 'Copy the token now. It is shown this once: nobody can read it again later.',
    secret: 'Token',
    show: 'Show',
    hide: 'Hide',
    masked: (hint: string) => hint.replace('…', '••••••'),
    tryIt: 'Try it',
    tryItHelp: 'Asks the service about the token. Copying this line includes the token.',
    stored: 'I have stored the token in a safe place',
    done: 'Done',
    leaveTitle: 'Leave without storing the token?',
    leaveHelp: 'It will not be shown again. If it is lost, rotate the token or create another one.',
    leave: 'Leave this page',
  },

  rotate: {
    action: 'Rotate',
    title: (name: string) => `Rotate “${name}”`,
    help: 'The token gets a new secret, which is shown once. Its name, scopes and history stay.',
    overlap: 'The previous secret keeps working for',
    overlapUsual: 'As the policy of the organization says.',
    usual: 'The usual time',
    none: 'No time: it stops at once',
    noOverlap: 'Programs that use the previous secret stop working at once.',
    until: (at: string) => `It stops working on ${at}.`,
    activation: 'The new secret starts',
    now: 'Now',
    nowHelp: 'The overlap starts now.',
    firstUse: 'With its first use',
    firstUseHelp: 'Until then nothing changes, and the rotation can be cancelled.',
    deed: 'Rotate token',
    done: (name: string) => `“${name}” has a new secret`,
    overlapping: (at: string) => `The previous secret keeps working until ${at}.`,
    finish: 'End it now',
    finishTitle: 'End the previous secret now?',
    finishHelp: 'Programs that still use the previous secret stop working at once.',
    finished: 'The previous secret has ended.',
    pending: (at: string) => `A new secret waits for its first use, until ${at}.`,
    cancel: 'Cancel the rotation',
    cancelTitle: 'Cancel the rotation?',
    cancelHelp: 'The new secret will never work. The current one stays.',
    cancelled: 'The rotation was cancelled.',
  },

  revoke: {
    action: 'Revoke',
    title: (name: string) => `Revoke “${name}”?`,
    consequence:
      'Integrations that use this token stop working at once. This cannot be undone; the token stays in the list as revoked.',
    reason: 'Reason',
    reasonHelp: 'Recorded with the token and in the change log.',
    deed: 'Revoke token',
    done: (name: string) => `“${name}” was revoked.`,
    was: (name: string, at: string) => `Revoked by ${name} on ${at}.`,
    because: (reason: string) => `Reason: ${reason}`,
  },

  delete: {
    action: 'Delete',
    title: (name: string) => `Delete “${name}”?`,
    consequence:
      'The token disappears from the lists. Its entries in the change log stay. This cannot be undone.',
    activeConsequence:
      'Integrations that use this token stop working at once, and it disappears from the lists. This cannot be undone. To keep it for audits, revoke it instead.',
    confirm: (name: string) => `Type the name to confirm: ${name}`,
    deed: 'Delete token',
    done: (name: string) => `“${name}” was deleted.`,
  },

  secrets: {
    title: 'Secrets',
    pending: 'Waits for first use',
    current: 'Current',
    overlapping: 'Previous, still works',
    superseded: 'Superseded',
    since: (at: string) => `Since ${at}.`,
    until: (at: string) => `Until ${at}.`,
    uses: (count: string) => `Used ${count} times, last`,
    from: (ip: string) => `from ${ip}`,
    reused: (at: string, ip: string) =>
      `This ended secret was presented on ${at}${ip && ` from ${ip}`}. It may have leaked.`,
  },

  changes: {
    title: 'Change log',
    none: 'Nothing has been recorded.',
    action: 'Action',
    allActions: 'All actions',
    from: 'From',
    to: 'To',
    export: 'Download as JSON Lines',
    by: (name: string) => `By ${name}`,
    onBehalfOf: (subject: string) => `on behalf of ${subject}`,
    values: (count: number) => plural(count, 'value', 'values'),
    more: 'Show older entries',
  },

  overview: {
    title: 'What needs attention',
    none: 'Nothing needs attention',
    noneHelp: 'No token expires within 30 days, and all tokens are in use.',
    all: 'Show all',
    expiring: { title: 'Expire within 30 days', advice: 'Rotate them before they stop working.' },
    never_used: {
      title: 'Never used',
      advice: 'They may belong to integrations that were never set up. Created:',
    },
    unused: { title: 'Unused for 90 days', advice: 'They may belong to systems that are gone. Last used:' },
  },

  permission: {
    'tokens:read': 'See all tokens of the organization',
    'tokens:write': 'Create, change, rotate, revoke and delete all tokens',
    'tokens:own': 'See and change their own tokens',
    'tokens:introspect': 'Check tokens that clients present (RFC 7662)',
    'policy:read': 'See policy, types and sign-in providers',
    'policy:write': 'Change policy, types and sign-in providers',
    'audit:read': 'Read the change log',
  },

  sessions: {
    title: 'Sessions',
    help: 'Who is signed in to this console. A session ends an hour after its last use, twelve hours after it began (one hour for users of a sign-in provider), and with its token or user.',
    who: 'Signed in as',
    browser: 'Browser',
    seen: 'Last used',
    ends: 'Ends',
    current: 'This session',
    end: 'End session',
    endTitle: (name: string) => `End the session of “${name}”?`,
    endHelp: 'The next click in that browser leads to the sign-in.',
    ended: 'The session has ended.',
  },

  /** The browser and system that a user agent names. */
  browser(agent: string): string {
    const browsers = { Edg: 'Edge', Firefox: 'Firefox', Chrome: 'Chrome', Safari: 'Safari', curl: 'curl' }
    const systems = {
      Android: 'Android',
      iPhone: 'iOS',
      Windows: 'Windows',
      Macintosh: 'macOS',
      Linux: 'Linux',
    }
    const named = (names: Record<string, string>) =>
      Object.entries(names).find(([mark]) => agent.includes(mark))?.[1]
    const found = [named(browsers), named(systems)].filter(Boolean).join(', ')
    return found || agent.slice(0, 40) || 'Unknown'
  },

  keys: {
    title: 'Signing keys',
    help: 'The keys that sign tokens in JWT format. Verifiers fetch them from /.well-known/jwks.json.',
    none: 'No signing keys',
    noneHelp: 'Set MASTER_KEY and restart the service to issue tokens as JWTs.',
    kid: 'Key id',
    alg: 'Algorithm',
    state: 'State',
    tokens: 'Live tokens',
    activates: 'Signs from',
    states: { upcoming: 'Upcoming', active: 'Signing', retiring: 'Verifies only', retired: 'Retired' },
    pill: { upcoming: 'pending', active: 'active', retiring: 'overlapping', retired: 'expired' },
    rotate: 'Rotate key',
    rotateTitle: 'Publish a new signing key?',
    rotateHelp:
      'The new key starts to sign in an hour, once verifiers have had time to fetch it. Existing tokens stay valid.',
    immediately: 'Sign with it at once',
    immediatelyHelp: 'Only if the current key has leaked: verifiers may not know the new one yet.',
    rotated: 'A new key is published.',
    retire: 'Retire key',
    retireTitle: 'Retire this key?',
    retireHelp: (count: string) =>
      `Verifiers stop accepting its signatures. Live tokens that stop working: ${count}.`,
    retired: 'The key was retired.',
  },

  organizations: {
    title: 'Organizations',
    key: 'Key',
    keyHelp: 'Part of its URLs: letters, digits, - and _.',
    create: 'Create organization',
    created: (name: string) => `“${name}” was created.`,
    rename: 'Rename',
    titles: {
      rename: (name: string) => `Rename “${name}”`,
      suspend: (name: string) => `Suspend “${name}”?`,
      resume: (name: string) => `Resume “${name}”?`,
      delete: (name: string) => `Delete “${name}”?`,
    },
    deeds: {
      rename: 'Rename',
      suspend: 'Suspend organization',
      resume: 'Resume organization',
      delete: 'Delete organization',
    },
    helps: {
      rename: 'Its key and its tokens stay.',
      suspend: 'None of its tokens works until it is resumed.',
      resume: 'Its tokens work again.',
      delete: 'All of its tokens are deleted. Its change log stays. This cannot be undone.',
    },
    done: {
      rename: (name: string) => `“${name}” was renamed.`,
      suspend: (name: string) => `“${name}” is suspended.`,
      resume: (name: string) => `“${name}” is active again.`,
      delete: (name: string) => `“${name}” was deleted.`,
    },
  },

  owners: {
    title: 'Owners',
    search: 'Search subjects and e-mail addresses',
    state: 'State',
    all: 'All owners',
    active: 'Not suspended',
    none: 'No owners here',
    noneHelp: 'A user appears here when a token is created for them.',
    who: 'Owner',
    subject: 'Subject',
    source: 'Comes from',
    sources: { internal: 'This product', ldap: 'LDAP', sso: 'Single sign-on' },
    externalId: 'Id in the directory',
    noTokens: 'This owner has no tokens.',
    allTokens: 'Show all tokens of this owner',
    revokeAll: 'Revoke all tokens',
    revoked: (count: number) => `${plural(count, 'token was', 'tokens were')} revoked.`,
    suspendedNow: 'The owner is suspended.',
    resumedNow: 'The owner is active again.',
    suspendedSince: (at: string) => `Suspended since ${at}. None of the tokens below works.`,
    titles: {
      revoke: (name: string) => `Revoke all tokens of ${name}?`,
      suspend: (name: string) => `Suspend ${name}?`,
      resume: (name: string) => `Resume ${name}?`,
    },
    helps: {
      revoke: 'Integrations that use any of them stop working at once. This cannot be undone.',
      suspend: 'None of their tokens works until they are resumed, and they cannot sign in.',
      resume: 'Their tokens work again.',
    },
  },

  types: {
    title: 'Token types',
    create: 'Create type',
    prefix: 'Prefix',
    prefixHelp: 'How its tokens begin. Left out, it is the name.',
    nameHelp: 'Lower-case letters, digits and -. It cannot be changed later.',
    format: 'Format',
    formats: { opaque: 'Opaque', jwt: 'JWT' },
    of: 'Belongs to',
    platform: 'The platform',
    own: 'This organization',
    description: 'Description',
    endpointHelp: 'The URL where its tokens are used. It is shown with each token.',
    allowed: 'Allowed scopes',
    allowedHelp: 'Separated by spaces. Left out, any scope can be requested.',
    defaults: 'Default scopes',
    titles: {
      create: () => 'Create type',
      change: (name: string) => `Change “${name}”`,
      suspend: (name: string) => `Suspend “${name}”?`,
      resume: (name: string) => `Resume “${name}”?`,
      delete: (name: string) => `Delete “${name}”?`,
    },
    deeds: {
      create: 'Create type',
      change: 'Save changes',
      suspend: 'Suspend type',
      resume: 'Resume type',
      delete: 'Delete type',
    },
    helps: {
      suspend: 'None of its tokens works until it is resumed.',
      resume: 'Its tokens work again.',
      delete: 'Only a type without tokens can be deleted.',
    },
    done: {
      create: (name: string) => `“${name}” was created.`,
      change: (name: string) => `“${name}” was changed. Existing tokens stay as they are.`,
      suspend: (name: string) => `“${name}” is suspended.`,
      resume: (name: string) => `“${name}” is active again.`,
      delete: (name: string) => `“${name}” was deleted.`,
    },
  },

  issuers: {
    title: 'Sign-in providers',
    add: 'Add provider',
    none: 'No sign-in providers yet',
    noneHelp: 'Users of an OpenID provider that you add here can manage their own tokens.',
    issuer: 'Issuer',
    issuerHelp: 'The exact “iss” of its tokens, such as https://login.example/realms/acme.',
    audience: 'Audience',
    audienceHelp: 'The value that “aud” has to contain, usually the client id.',
    everybody: 'All of its users may',
    groups: 'More for groups',
    groupsHelp: 'One group per line, such as “token-administrators: tokens:read tokens:write”.',
    client: 'Sign-in to this console',
    clientHelp: 'Leave it empty if people do not sign in to this console with the provider.',
    clientId: 'Client id',
    clientSecret: 'Client secret',
    clientSecretHelp: 'Encrypted, and never shown again. Empty for a public client.',
    clientSecretKept: 'Set. Leave it empty to keep it.',
    scope: 'Scopes',
    scopeHelp: 'Separated by spaces. Many providers tell the groups only with a scope of their own.',
    redirectUri: 'Redirect URI for the client',
    redirectUriLater: 'Save first: the redirect URI to register for the client is then shown here.',
    saved: (name: string) => `“${name}” was saved.`,
    changeTitle: (name: string) => `Change “${name}”`,
    delete: 'Delete provider',
    deleteTitle: (name: string) => `Delete “${name}”?`,
    deleteHelp: 'Its users can no longer sign in. Their tokens stay.',
    deleted: 'The provider was deleted.',
  },

  policy: {
    title: 'Policy',
    help: 'Rules for new tokens of this organization. Existing tokens stay as they are.',
    own: 'Set here',
    inherited: 'From the platform',
    willInherit: 'Will come from the platform',
    inherit: 'Use the platform’s value',
    noLimit: 'None',
    preview: 'Show what would break',
    breaksNone: 'No existing token breaks the new rules.',
    breaks: (count: string) =>
      `Existing tokens that break the new rules: ${count}. They keep working until they expire or are revoked.`,
    sections: {
      lifetime: 'Lifetime',
      name: 'Names',
      limits: 'Limits',
      creation: 'Creation',
      scopes: 'Scopes',
      delete: 'Deletion',
      rotation: 'Rotation',
      expiry_warning: 'Warnings before expiry',
    } as Record<string, string>,
    choices: {
      true: 'Yes',
      false: 'No',
      refuse: 'Refuse it',
      reduce: 'Reduce it, with a warning',
      ignore: 'Ignore it',
      notify: 'Record it',
      revoke: 'Record it and revoke the token',
    },
    rule: (name: string) => policyRules[name] ?? name,
  },

  /** Such as "Token rotated" for `token.rotated`. */
  action(name: string): string {
    const text = name.replaceAll('_', ' ').replace('.', ' ')
    return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
  },
}
