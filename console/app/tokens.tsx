import { Component, createRef } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { api, done, type Refusal, type Shapes, type Token } from './api.ts'
import { formatCount, formatDay } from './format.ts'
import { go, hrefOf, organizationPath, setQuery } from './router.ts'
import { may, useMe } from './session.ts'
import type { ScreenProps } from './shell.tsx'
import { DeleteDialog, RevokeDialog } from './token-dialogs.tsx'
import {
  Copy,
  Empty,
  Expiry,
  Failure,
  focusHeading,
  Heading,
  Icon,
  Instant,
  Menu,
  Notice,
  Skeleton,
  Status,
  Tabs,
  useLoad,
} from './ui.tsx'
import { words } from './words.ts'

/** The tab "expiring" shows tokens that expire within this number of days. */
const expiringDays = 30
const unusedDays = 90
const dayMs = 86_400_000

type ListQuery = {
  status?: Token['status']
  sort?:
    | 'name'
    | '-name'
    | 'created_at'
    | '-created_at'
    | 'expires_at'
    | '-expires_at'
    | 'last_used_at'
    | '-last_used_at'
  search?: string
  type?: string
  owner?: string
  never_used?: boolean
  last_used_to?: string
  expires_to?: string
}

const tabs = ['active', 'expiring', 'expired', 'revoked'] as const
type Tab = (typeof tabs)[number] | 'not_yet_valid' | 'all'

/** The query of the list, from the URL. */
function listQuery(query: URLSearchParams, now: number): ListQuery {
  const given = (name: string) => query.get(name) || undefined
  const tab = (given('status') ?? 'active') as Tab
  const sort = given('sort') as ListQuery['sort']
  const at = (days: number) => new Date(now + days * dayMs).toISOString()
  const asked: ListQuery = {
    ...(tab === 'all' ? {} : { status: tab === 'expiring' ? 'active' : tab }),
    ...(tab === 'expiring' && { expires_to: at(expiringDays) }),
    sort: sort ?? (tab === 'expiring' ? 'expires_at' : tab === 'expired' ? '-expires_at' : '-created_at'),
  }
  for (const name of ['search', 'type', 'owner'] as const) {
    const value = given(name)
    if (value) asked[name] = value
  }
  if (given('unused') === 'never') asked.never_used = true
  if (given('unused') === 'long') asked.last_used_to = at(-unusedDays)
  return asked
}

/** The token of AUTH_SECRET is not in the list: it is shown before all others if no filter is set. */
function firstPages(query: URLSearchParams, token: Token | null): Token[][] {
  return token && [...query.keys()].every((name) => name === 'sort') ? [[token]] : []
}

/** The state of a list, for returning to it. */
type List = {
  key: string
  pages: Token[][]
  cursor: string | null
  creation: Shapes['Creation']
  scroll: number
}
const left = new Map<string, List>()

/** Cleared for the next user who signs in. */
export const forgetLists = () => left.clear()

export function Tokens({ organization, place }: ScreenProps) {
  const me = useMe()
  const key = `${organization}?${place.query}`
  const [list, setList] = useState<List | undefined>(() => (place.returned ? left.get(key) : undefined))
  const [error, setError] = useState<Refusal>()
  const [loading, setLoading] = useState(false)
  const [round, setRound] = useState(0)
  const [asking, setAsking] = useState<{ deed: 'revoke' | 'delete'; token: Token }>()
  const end = useRef<HTMLDivElement>(null)
  const path = organizationPath(organization, '/tokens')
  const shown = list?.key === key ? list : undefined
  const current = useRef({ key, list: shown, waits: false })
  // After a failure, the user decides when to retry.
  current.current = { key, list: shown, waits: loading || error !== undefined }

  const fetchPage = async (cursor: string | null, signal?: AbortSignal) => {
    setLoading(true)
    try {
      const page = await done(
        api.GET('/v1/organizations/{organization}/tokens', {
          params: {
            path: { organization },
            query: { ...listQuery(place.query, Date.now()), ...(cursor && { cursor }), limit: 50 },
          },
          ...(signal && { signal }),
        }),
      )
      if (current.current.key !== key) return
      setError(undefined)
      setList((before) => {
        const pages =
          cursor && before?.key === key ? before.pages : firstPages(place.query, page.static_token)
        return {
          key,
          pages: [...pages, page.items],
          cursor: page.next_cursor,
          creation: page.creation,
          scroll: 0,
        }
      })
    } catch (refusal) {
      if (!signal?.aborted) setError(refusal as Refusal)
    } finally {
      if (!signal?.aborted) setLoading(false)
    }
  }
  useEffect(focusHeading, [shown?.pages[0]])

  useEffect(() => {
    if (shown && round === 0) return
    const aborting = new AbortController()
    void fetchPage(null, aborting.signal)
    return () => aborting.abort()
  }, [key, round])

  // The next page is requested before the end is visible.
  useEffect(() => {
    const more = new IntersectionObserver(
      ([entry]) => {
        const { list, waits } = current.current
        if (entry?.isIntersecting && list?.cursor && !waits) void fetchPage(list.cursor)
      },
      { rootMargin: '800px' },
    )
    if (end.current) more.observe(end.current)
    return () => more.disconnect()
  })

  useLayoutEffect(() => {
    scrollTo(0, list?.scroll ?? 0)
    const remember = () => {
      const { list } = current.current
      if (list) left.set(list.key, { ...list, scroll: scrollY })
    }
    addEventListener('scroll', remember, { passive: true })
    return () => removeEventListener('scroll', remember)
  }, [])

  const counts = useLoad(`counts ${organization} ${round}`, async (signal) => {
    const [all, attention] = await Promise.all([
      done(
        api.GET('/v1/organizations/{organization}/tokens/counts', {
          params: { path: { organization } },
          signal,
        }),
      ),
      done(
        api.GET('/v1/attention/counts', {
          params: { query: { organization, expiring_days: expiringDays } },
          signal,
        }),
      ),
    ])
    return { ...all, expiring: attention.expiring }
  })

  const query = Object.fromEntries(place.query)
  const filter = (change: Record<string, string>) => setQuery({ ...query, ...change })
  const tab = (place.query.get('status') ?? 'active') as Tab
  const filtered = ['search', 'type', 'owner', 'unused'].some((name) => place.query.get(name))
  const mayWrite = may(me, 'tokens:write', 'tokens:own')
  const creation = shown?.creation
  const isEmpty =
    shown !== undefined && shown.cursor === null && shown.pages.every((page) => page.length === 0)
  const create = (
    <a class="button primary" href={hrefOf(`${path}/new`)}>
      {words.tokens.create}
    </a>
  )
  const shownTabs: Tab[] = [
    ...tabs,
    ...(counts.data?.not_yet_valid.count ? (['not_yet_valid'] as const) : []),
  ]

  let rows = 0
  const pages = shown?.pages.map((page) => {
    const before = rows
    rows += page.length
    return (
      <Page
        key={page[0]?.id}
        page={page}
        before={before}
        path={path}
        mayWrite={mayWrite}
        ask={(deed, token) => setAsking({ deed, token })}
      />
    )
  })

  return (
    <>
      <Heading title={words.tokens.title} actions={mayWrite && creation?.allowed !== false && create}>
        {words.tokens.title}
      </Heading>
      {creation && !creation.allowed && mayWrite && (
        <Notice kind="info">
          <p>
            <strong>{words.tokens.creationDisabled}</strong> {creation.reason}
          </p>
        </Notice>
      )}
      <Tabs
        label={words.tokens.tabs}
        items={shownTabs.map((name) => ({
          label: words.tab[name],
          href: hrefOf(path, { ...query, status: name === 'active' ? '' : name, sort: '' }),
          current: tab === name,
          count: counts.data ? formatCount(counts.data[name as 'active']) : '',
        }))}
      />
      <Filters organization={organization} query={place.query} change={filter} />
      {error && <Failure error={error} retry={() => setRound(round + 1)} />}
      {isEmpty ? (
        filtered ? (
          <Empty title={words.tokens.noMatch}>
            <button type="button" onClick={() => setQuery({ status: query.status })}>
              {words.tokens.clear}
            </button>
          </Empty>
        ) : (
          <Empty title={words.tokens.none[tab === 'all' ? 'active' : tab]}>
            {tab === 'active' && <p>{words.tokens.firstStep}</p>}
            {tab === 'active' && mayWrite && creation?.allowed && create}
          </Empty>
        )
      ) : (
        <table
          class="list tokens"
          // -1: not known yet.
          aria-rowcount={shown?.cursor === null ? rows + 1 : -1}
        >
          <caption class="hidden">{words.tab[tab]}</caption>
          <thead>
            <tr>
              <Column name="name" label={words.token.name} query={place.query} change={filter} />
              <th scope="col">{words.token.type}</th>
              <th scope="col" class="owner">
                {words.token.owner}
              </th>
              <th scope="col">{words.token.hint}</th>
              <Column name="created_at" label={words.token.created} query={place.query} change={filter} />
              <Column name="expires_at" label={words.token.expires} query={place.query} change={filter} />
              <Column name="last_used_at" label={words.token.lastUsed} query={place.query} change={filter} />
              <th scope="col">
                <span class="hidden">{words.token.actions}</span>
              </th>
            </tr>
          </thead>
          {pages}
          {(!shown || shown.cursor) && !error && <Skeleton rows={shown ? 1 : 8} columns={8} />}
        </table>
      )}
      <div ref={end} />
      {asking?.deed === 'revoke' && (
        <RevokeDialog
          token={asking.token}
          onClose={() => setAsking(undefined)}
          onDone={() => setRound(round + 1)}
        />
      )}
      {asking?.deed === 'delete' && (
        <DeleteDialog
          token={asking.token}
          onClose={() => setAsking(undefined)}
          onDone={() => setRound(round + 1)}
        />
      )}
    </>
  )
}

type PageProps = {
  page: Token[]
  /** The number of rows before it. */
  before: number
  path: string
  mayWrite: boolean
  ask: (deed: 'revoke' | 'delete', token: Token) => void
}

/** The heights of pages while they had rows. */
const heights = new WeakMap<Token[], number>()

/**
 * A page of rows, which is not rendered again when another page is added below it. Far from the window it is an empty
 * box of the same height, so that a list of 100,000 tokens has no more rows than a short one.
 */
class Page extends Component<PageProps, { near: boolean }> {
  override state = { near: !heights.has(this.props.page) }
  private readonly body = createRef<HTMLTableSectionElement>()
  private readonly observer = new IntersectionObserver(
    (entries) => this.move(entries.some(({ isIntersecting }) => isIntersecting)),
    { rootMargin: '1500px' },
  )

  private move(near: boolean) {
    const body = this.body.current
    // A row with the focus remains.
    if (!body || body.contains(document.activeElement)) return
    if (!near) heights.set(this.props.page, body.offsetHeight)
    this.setState({ near })
  }

  override componentDidMount() {
    if (this.body.current) this.observer.observe(this.body.current)
  }

  override componentWillUnmount() {
    this.observer.disconnect()
  }

  override shouldComponentUpdate(next: PageProps, state: { near: boolean }) {
    return next.page !== this.props.page || state.near !== this.state.near
  }

  override render({ page, before, path, mayWrite, ask }: PageProps, { near }: { near: boolean }) {
    return (
      <tbody ref={this.body} style={near ? {} : { height: `${heights.get(page)}px` }}>
        {near &&
          page.map((token, index) => (
            <Row
              key={token.id}
              // The first row is the header.
              row={before + index + 2}
              token={token}
              href={hrefOf(`${path}/${token.id}`)}
              mayWrite={mayWrite}
              ask={ask}
            />
          ))}
      </tbody>
    )
  }
}

function Row({
  row,
  token,
  href,
  mayWrite,
  ask,
}: {
  row: number
  token: Token
  href: string
  mayWrite: boolean
  ask: PageProps['ask']
}) {
  const isOpen = token.status === 'active' || token.status === 'not_yet_valid'
  const may = mayWrite && !token.read_only
  const items = [
    { label: words.token.open, href },
    ...(may && isOpen ? [{ label: words.rotate.action, href: `${href}?do=rotate` }] : []),
    ...(may && isOpen ? [{ label: words.revoke.action, danger: true, act: () => ask('revoke', token) }] : []),
    ...(may ? [{ label: words.delete.action, danger: true, act: () => ask('delete', token) }] : []),
  ]
  const open = (event: MouseEvent) => {
    const inside = event.target instanceof Element && event.target.closest('a, button, .menu')
    if (!inside && !getSelection()?.toString()) void go(href)
  }
  return (
    <tr aria-rowindex={row} onClick={open}>
      <th scope="row" title={token.name}>
        <a href={href}>{token.name}</a>
        {token.scopes.length > 0 && <span class="scopes">{token.scopes.join(' ')}</span>}
      </th>
      <td>{token.type}</td>
      <td class="owner clip" title={token.owner?.subject}>
        {token.owner ? (token.owner.email ?? token.owner.subject) : <span class="muted">–</span>}
      </td>
      <td class="hint">
        <code>{token.hint}</code>
        <Copy text={token.hint} label={words.token.hintOf(token.name)} small />
      </td>
      <td>
        <time dateTime={token.created_at}>{formatDay(token.created_at)}</time>
      </td>
      <td>{token.status === 'revoked' ? <Status status="revoked" /> : <Expiry token={token} />}</td>
      <td>
        {token.last_used_at ? (
          <Instant at={token.last_used_at} />
        ) : (
          <span class="muted">{words.token.neverUsed}</span>
        )}
      </td>
      <td class="end">
        <Menu label={words.token.actionsOf(token.name)} items={items} />
      </td>
    </tr>
  )
}

type FilterProps = { query: URLSearchParams; change: (change: Record<string, string>) => void }

/** A column that sorts: ascending first, then descending. */
function Column({ name, label, query, change }: FilterProps & { name: string; label: string }) {
  const { sort } = listQuery(query, 0)
  const direction = sort === name ? 'ascending' : sort === `-${name}` ? 'descending' : undefined
  return (
    <th scope="col" aria-sort={direction}>
      <button type="button" onClick={() => change({ sort: direction === 'ascending' ? `-${name}` : name })}>
        {label}
        <span class="arrow" aria-hidden="true">
          {direction === 'ascending' ? '↑' : direction === 'descending' ? '↓' : ''}
        </span>
      </button>
    </th>
  )
}

function Filters({ organization, query, change }: FilterProps & { organization: string }) {
  const types = useLoad(`types ${organization}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/token-types', { params: { path: { organization } }, signal }),
    ),
  )
  return (
    <search class="filters">
      <TypedFilter name="search" label={words.filter.search} query={query} change={change} icon />
      <TypedFilter name="owner" label={words.filter.owner} query={query} change={change} />
      <select
        aria-label={words.token.type}
        value={query.get('type') ?? ''}
        onChange={(event) => change({ type: event.currentTarget.value })}
      >
        <option value="">{words.filter.allTypes}</option>
        {types.data?.items.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <select
        aria-label={words.filter.use}
        value={query.get('unused') ?? ''}
        onChange={(event) => change({ unused: event.currentTarget.value })}
      >
        <option value="">{words.filter.anyUse}</option>
        <option value="never">{words.filter.neverUsed}</option>
        <option value="long">{words.filter.unused(unusedDays)}</option>
      </select>
    </search>
  )
}

/** Filters when typing pauses, so that not every letter causes a request. */
export function TypedFilter({
  name,
  label,
  query,
  change,
  icon,
}: FilterProps & { name: string; label: string; icon?: boolean }) {
  const given = query.get(name) ?? ''
  const [text, setText] = useState(given)
  const timer = useRef(0)
  const applied = useRef(given)
  useEffect(() => {
    // Input is kept; a different value comes from a link.
    if (given !== applied.current) setText(given)
    applied.current = given
  }, [given])
  useEffect(() => () => clearTimeout(timer.current), [])
  const type = (value: string) => {
    setText(value)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => {
      applied.current = value.trim()
      change({ [name]: applied.current })
    }, 250)
  }
  return (
    <label class="typed">
      {icon && <Icon name="search" />}
      <span class="hidden">{label}</span>
      <input
        type="search"
        name={name}
        placeholder={label}
        value={text}
        onInput={(event) => type(event.currentTarget.value)}
      />
    </label>
  )
}
