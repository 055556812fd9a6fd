import type { ComponentType } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { api, done } from './api.ts'
import { basePath } from './base.ts'
import { hrefOf, organizationPath, type Place, usePlace } from './router.ts'
import { may, signOut, useMe } from './session.ts'
import { forgetLists, Tokens } from './tokens.tsx'
import { announce, Empty, Icon, useLoad } from './ui.tsx'
import { words } from './words.ts'

export type ScreenProps = { organization: string; place: Place; id: string }
type Screen = ComponentType<ScreenProps>
type Load = () => Promise<{ default: Screen }>

const organizationPattern = '/organizations/(?<organization>[^/]+)'
const at = (rest: string) => new RegExp(`^${organizationPattern}${rest}$`)

const screens: [pattern: RegExp, screen: Screen | Load][] = [
  [at('/tokens'), Tokens],
  [at('/tokens/new'), later(() => import('./screens/create.tsx'))],
  [at('/tokens/(?<id>[^/]+)'), later(() => import('./screens/token.tsx'))],
  [at('/overview'), later(() => import('./screens/overview.tsx'))],
  [at('/owners'), later(() => import('./screens/owners.tsx'))],
  [at('/owners/(?<id>[^/]+)'), later(() => import('./screens/owner.tsx'))],
  [at('/policy'), later(() => import('./screens/policy.tsx'))],
  [at('/types'), later(() => import('./screens/types.tsx'))],
  [at('/issuers'), later(() => import('./screens/issuers.tsx'))],
  [at('/import'), later(() => import('./screens/import.tsx'))],
  [at('/webhooks'), later(() => import('./screens/webhooks.tsx'))],
  [at('/webhooks/new'), later(() => import('./screens/new-webhook.tsx'))],
  [at('/webhooks/(?<id>[^/]+)'), later(() => import('./screens/webhook.tsx'))],
  [at('/leaks'), later(() => import('./screens/leaks.tsx'))],
  [at('/leaks/(?<id>[^/]+)'), later(() => import('./screens/leak.tsx'))],
  [at('/log'), later(() => import('./screens/log.tsx'))],
  [/^\/organizations$/, later(() => import('./screens/organizations.tsx'))],
  [/^\/keys$/, later(() => import('./screens/keys.tsx'))],
  [/^\/sessions$/, later(() => import('./screens/sessions.tsx'))],
]

/** Marks a screen that is loaded when it is first shown. */
function later(load: Load): Load {
  return Object.assign(load, { later: true })
}

export function Shell({ onSignedOut }: { onSignedOut: () => void }) {
  const me = useMe()
  const place = usePlace()
  const { path } = place
  /** The organization that was opened last. */
  const remembered = useRef<string | undefined>(undefined)
  const organization =
    decode(/^\/organizations\/([^/]+)/.exec(path)?.[1]) ?? remembered.current ?? first(me.organization)
  remembered.current = organization
  const menu = useRef<HTMLDialogElement>(null)
  useEffect(() => menu.current?.close(), [path])
  useEffect(() => forgetLists, [])
  const navigation = <Navigation organization={organization} path={path} onSignedOut={onSignedOut} />
  return (
    <div class="shell">
      <a class="skip" href="#main">
        {words.skip}
      </a>
      <header class="bar">
        <button type="button" class="quiet" aria-label={words.menu} onClick={() => menu.current?.showModal()}>
          <Icon name="menu" />
        </button>
        <span class="brand">{words.product}</span>
      </header>
      <dialog ref={menu} class="drawer" aria-label={words.menu}>
        <form method="dialog">
          <button type="submit" class="quiet" aria-label={words.close}>
            <Icon name="close" />
          </button>
        </form>
        {navigation}
      </dialog>
      <aside class="side">{navigation}</aside>
      <main id="main" tabIndex={-1}>
        <CurrentScreen place={place} organization={organization} />
      </main>
    </div>
  )
}

/** The administrator of the platform starts with the organization that the first start creates. */
function first(own: string): string {
  return own === 'platform' ? 'default' : own
}

function decode(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function CurrentScreen({ place, organization }: { place: Place; organization: string }) {
  const [, again] = useState(0)
  const path = place.path === '/' ? organizationPath(organization, '/tokens') : place.path
  for (const [pattern, screen] of screens) {
    const match = pattern.exec(path)
    if (!match) continue
    const Loaded = 'later' in screen ? loaded.get(screen as Load) : (screen as Screen)
    if (!Loaded) {
      void load(screen as Load).then(() => again((before) => before + 1))
      return null
    }
    // Each path mounts its screen again; its query may change while it is shown.
    return <Loaded key={path} organization={organization} id={decode(match.groups?.id) ?? ''} place={place} />
  }
  return (
    <Empty title={words.notFound.title}>
      <p>
        <a href={hrefOf(organizationPath(organization, '/tokens'))}>{words.notFound.back}</a>
      </p>
    </Empty>
  )
}

const loaded = new Map<Load, Screen>()

async function load(screen: Load): Promise<void> {
  try {
    loaded.set(screen, (await screen()).default)
  } catch {
    // The service was updated while this page was open: its files have other URLs now.
    location.reload()
  }
}

function Navigation({
  organization,
  path,
  onSignedOut,
}: {
  organization: string
  path: string
  onSignedOut: () => void
}) {
  const me = useMe()
  const id = useId()
  const inOrganization = (rest: string) => organizationPath(organization, rest)
  const link = (to: string, label: string) => (
    <li>
      <a
        href={hrefOf(to)}
        aria-current={
          path === to ? 'page' : to !== '/organizations' && path.startsWith(`${to}/`) ? 'true' : undefined
        }
      >
        {label}
      </a>
    </li>
  )
  const leave = (page: string | null) => (page === null ? onSignedOut() : location.assign(page))
  return (
    <nav class="navigation" aria-label={words.navigation.label}>
      <p class="brand">{words.product}</p>
      <OrganizationChoice organization={organization} />
      <ul>
        {may(me, 'tokens:read', 'tokens:own') && link(inOrganization('/overview'), words.navigation.overview)}
        {link(inOrganization('/tokens'), words.navigation.tokens)}
        {may(me, 'tokens:read') && link(inOrganization('/owners'), words.navigation.owners)}
        {may(me, 'policy:read') && link(inOrganization('/policy'), words.navigation.policy)}
        {link(inOrganization('/types'), words.navigation.types)}
        {may(me, 'policy:read') && link(inOrganization('/issuers'), words.navigation.issuers)}
        {may(me, 'policy:read') && link(inOrganization('/webhooks'), words.navigation.webhooks)}
        {may(me, 'tokens:read') && link(inOrganization('/leaks'), words.navigation.leaks)}
        {may(me, 'tokens:write') && link(inOrganization('/import'), words.navigation.import)}
        {may(me, 'audit:read') && link(inOrganization('/log'), words.navigation.log)}
      </ul>
      {me.ofPlatform && may(me) && (
        <>
          <p class="section" id={`platform-${id}`}>
            {words.navigation.platform}
          </p>
          <ul aria-labelledby={`platform-${id}`}>
            {link('/organizations', words.navigation.organizations)}
            {link('/keys', words.navigation.keys)}
          </ul>
        </>
      )}
      <ul>{link('/sessions', words.navigation.sessions)}</ul>
      <div class="who">
        <p title={me.name}>{me.name}</p>
        <p>
          <a href={`${basePath}/docs/`} target="_blank" rel="noreferrer">
            {words.navigation.reference}
          </a>
        </p>
        <button type="button" onClick={() => signOut().then(leave, ({ message }) => announce(message))}>
          {words.signOut}
        </button>
      </div>
    </nav>
  )
}

function OrganizationChoice({ organization }: { organization: string }) {
  const me = useMe()
  const { data } = useLoad(`organization ${organization}`, (signal) =>
    done(api.GET('/v1/organizations/{organization}', { params: { path: { organization } }, signal })),
  )
  // Until the name is loaded, the previous organization's name would be wrong.
  const name = data?.key === organization ? data.name : organization
  if (!me.ofPlatform || !may(me)) return <p class="organization">{name}</p>
  return (
    <a class="organization" href={hrefOf('/organizations')} title={words.navigation.change}>
      <span>{name}</span>
      <Icon name="down" />
    </a>
  )
}
