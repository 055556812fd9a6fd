import type { ComponentChildren, TargetedSubmitEvent } from 'preact'
import { createContext } from 'preact'
import { useContext, useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { FieldError, Refusal, Token } from './api.ts'
import { formatExact, formatRelative } from './format.ts'
import { words } from './words.ts'

/** Moves the focus to the heading if no element has it, for example because its row was removed. */
export function focusHeading(): void {
  if (document.activeElement === document.body || document.activeElement === null)
    document.querySelector('h1')?.focus({ preventScroll: true })
}

/**
 * Loads the data of a screen, and again whenever the key changes. The previous data stays visible until the next is
 * loaded.
 */
export function useLoad<Data>(key: string, load: (signal: AbortSignal) => Promise<Data>) {
  const [state, setState] = useState<{ key?: string; data?: Data; error?: Refusal }>({})
  const [round, setRound] = useState(0)
  useEffect(() => {
    const aborting = new AbortController()
    load(aborting.signal).then(
      (data) => setState({ key, data }),
      (error) => aborting.signal.aborted || setState((before) => ({ ...before, key, error })),
    )
    return () => aborting.abort()
  }, [key, round])
  const { data } = state
  useEffect(focusHeading, [data])
  const error = state.key === key ? state.error : undefined
  return {
    data,
    error,
    reload: () => setRound((before) => before + 1),
  }
}

type Page<Item> = { items: Item[]; next_cursor: string | null }

/** Loads a list: its first page, and each further one on demand. */
export function usePages<Item>(
  key: string,
  load: (query: { cursor?: string }, signal: AbortSignal) => Promise<Page<Item>>,
) {
  const [older, setOlder] = useState<Page<Item>[]>([])
  const current = useRef(new AbortController().signal)
  const { data, error, reload } = useLoad(key, (signal) => {
    current.current = signal
    setOlder([])
    return load({}, signal)
  })
  const pages = data && [data, ...older]
  const cursor = pages?.at(-1)?.next_cursor
  const more = (cursor: string) => {
    const signal = current.current
    load({ cursor }, signal).then(
      (page) => setOlder([...older, page]),
      (refusal) => signal.aborted || announce(refusal.message),
    )
  }
  return {
    items: pages?.flatMap((page) => page.items),
    error,
    reload,
    /** Undefined after the last page. */
    more: cursor ? () => more(cursor) : undefined,
  }
}

/** The button for the next page of `usePages`; nothing after the last one. */
export function More({ load }: { load: (() => void) | undefined }) {
  return load === undefined ? null : (
    <p class="below">
      <button type="button" onClick={load}>
        {words.more}
      </button>
    </p>
  )
}

/** Sets the title of the document, and moves the focus to the heading after navigation by a link. */
export function Heading({
  children,
  actions,
  title,
}: {
  children: ComponentChildren
  actions?: ComponentChildren
  title?: string
}) {
  const text = title ?? (typeof children === 'string' ? children : words.product)
  useEffect(() => {
    document.title = `${text} · ${words.product}`
  }, [text])
  useEffect(focusHeading, [])
  return (
    <div class="heading">
      <h1 tabIndex={-1}>{children}</h1>
      {actions && <div class="actions">{actions}</div>}
    </div>
  )
}

/** An instant relative to now; the exact one appears on hover, focus and touch. */
export function Instant({ at }: { at: string }) {
  const id = useId()
  return (
    <button type="button" class="instant" aria-describedby={id}>
      <time dateTime={at}>{formatRelative(at)}</time>
      <span class="tip" role="tooltip" id={id}>
        {formatExact(at)}
      </span>
    </button>
  )
}

/** When a token stops working, according to the service; the exact instant as for `Instant`. */
export function Expiry({ token }: { token: Pick<Token, 'expires_at' | 'expiry'> }) {
  const id = useId()
  const { expires_at: at, expiry } = token
  const text = words.expiry(expiry)
  if (at === null) return <span class="pill never">{text}</span>
  return (
    <button type="button" class="instant" aria-describedby={id}>
      <span class={`pill ${expiry.state}`}>{text}</span>
      <span class="tip" role="tooltip" id={id}>
        {formatExact(at)}
      </span>
    </button>
  )
}

/** As `Expiry`, with the exact instant below it. */
export function ExactExpiry({ token }: { token: Pick<Token, 'expires_at' | 'expiry'> }) {
  const { expires_at: at, expiry } = token
  return (
    <>
      <span class={`pill ${expiry.state}`}>{words.expiry(expiry)}</span>
      {at !== null && <p class="help">{formatExact(at)}</p>}
    </>
  )
}

export function Status({ status }: { status: keyof typeof words.status }) {
  return <span class={`pill ${status}`}>{words.status[status]}</span>
}

/** Copies text to the clipboard and confirms it. `text` may be a secret, so it is not in the page. */
export function Copy({ text, label, small }: { text: string; label: string; small?: boolean }) {
  const [state, setState] = useState<'ready' | 'copied' | 'failed'>('ready')
  useEffect(() => {
    if (state === 'ready') return
    const timer = setTimeout(() => setState('ready'), 3000)
    return () => clearTimeout(timer)
  }, [state])
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setState('copied')
      announce(words.copied)
    } catch {
      setState('failed')
      announce(words.copyFailed)
    }
  }
  return (
    <button
      type="button"
      class={`copy ${small ? 'small' : ''} ${state}`}
      onClick={copy}
      aria-label={`${words.copy} ${label}`}
    >
      <Icon name={state === 'copied' ? 'check' : 'copy'} />
      <span class={small ? 'hidden' : ''} aria-hidden="true">
        {state === 'copied' ? words.copied : state === 'failed' ? words.failed : words.copy}
      </span>
    </button>
  )
}

const icons = {
  copy: 'M9 9V5.5A1.5 1.5 0 0 1 10.5 4h8A1.5 1.5 0 0 1 20 5.5v8a1.5 1.5 0 0 1-1.5 1.5H15M5.5 9h8A1.5 1.5 0 0 1 15 10.5v8a1.5 1.5 0 0 1-1.5 1.5h-8A1.5 1.5 0 0 1 4 18.5v-8A1.5 1.5 0 0 1 5.5 9z',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  more: 'M5 12h.01M12 12h.01M19 12h.01',
  close: 'M6 6l12 12M18 6L6 18',
  menu: 'M4 7h16M4 12h16M4 17h16',
  down: 'M7 10l5 5 5-5',
  warning:
    'M12 8.5v4.5M12 16.5h.01M10.6 4.6L3.3 17.4A1.6 1.6 0 0 0 4.7 20h14.6a1.6 1.6 0 0 0 1.4-2.6L13.4 4.6a1.6 1.6 0 0 0-2.8 0z',
  info: 'M12 11v5M12 8h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4',
}

export function Icon({ name }: { name: keyof typeof icons }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={icons[name]} />
    </svg>
  )
}

/** A message that belongs to the screen. */
export function Notice({
  kind,
  children,
}: {
  kind: 'info' | 'warning' | 'error'
  children: ComponentChildren
}) {
  return (
    <div class={`notice ${kind}`} role={kind === 'error' ? 'alert' : undefined}>
      <Icon name={kind === 'info' ? 'info' : 'warning'} />
      <div>{children}</div>
    </div>
  )
}

export function Failure({ error, retry }: { error: Refusal; retry?: () => void }) {
  return (
    <Notice kind="error">
      <p>{error.message}</p>
      {error.requestId && <p class="help">{words.requestId(error.requestId)}</p>}
      {retry && (
        <button type="button" onClick={retry}>
          {words.tryAgain}
        </button>
      )}
    </Notice>
  )
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** The errors by field, for the fields inside. */
const Errors = createContext<FieldError[]>([])
export const FieldErrors = Errors.Provider

type FieldProps = {
  label: string
  /** The member of the request body. */
  name: string
  help?: ComponentChildren
  optional?: boolean
  /** A message that replaces that of the service. */
  error?: string | undefined
  children: (props: {
    id: string
    name: string
    'aria-describedby': string
    'aria-invalid': boolean
  }) => ComponentChildren
}

/** A control with its label above, and its error or help below. */
export function Field({ label, name, help, optional, error, children }: FieldProps) {
  const id = useId()
  const refused = useContext(Errors).filter(({ field }) => field === name || field.startsWith(`${name}.`))
  const wrong = error ?? refused.map(({ detail }) => words.fieldError(detail)).join(' ')
  return (
    <div class="field">
      <label for={id}>
        {label}
        {optional && <span class="optional">{words.optional}</span>}
      </label>
      {children({ id, name, 'aria-describedby': `${id}-help`, 'aria-invalid': wrong !== '' })}
      <p id={`${id}-help`} class={wrong ? 'help wrong' : 'help'} aria-live="polite">
        {wrong || help}
      </p>
    </div>
  )
}

/** Errors about members that the form does not show, and all other errors. */
export function FormError({ error, shown }: { error: Refusal | undefined; shown: string[] }) {
  if (!error) return null
  const hidden = error.fields.filter(({ field }) => !shown.includes(field.split('.')[0] ?? ''))
  if (error.fields.length > 0 && hidden.length === 0) return null
  return <Failure error={error} />
}

/** Moves the focus to the first invalid field. */
export function focusWrong(form: HTMLElement | null): void {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus())
}

type DialogProps = {
  title: string
  onClose: () => void
  children: ComponentChildren
}

/** A native modal dialog: the browser keeps the focus in it, and closes it on Escape. The focus then returns to its opener. */
function Dialog({ title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useLayoutEffect(() => {
    const opener = document.activeElement
    ref.current?.showModal()
    return () =>
      // Elements behind the dialog can have the focus only after the dialog is removed from the document.
      queueMicrotask(() => opener instanceof HTMLElement && opener.focus())
  }, [])
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}

type ConfirmProps = {
  title: string
  /** The action, as the button names it. */
  deed: string
  danger?: boolean
  onClose: () => void
  act: (form: FormData) => Promise<void>
  children?: ComponentChildren
  disabled?: boolean
}

/** Asks for confirmation, explains the consequences, and keeps the input if the action fails. */
export function Confirm({ title, deed, danger, onClose, act, children, disabled }: ConfirmProps) {
  const [error, setError] = useState<Refusal>()
  const [busy, setBusy] = useState(false)
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    try {
      await act(new FormData(event.currentTarget))
    } catch (refusal) {
      setError(refusal as Refusal)
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={submit}>
        <FieldErrors value={error?.fields ?? []}>{children}</FieldErrors>
        {error && <Failure error={error} />}
        <div class="buttons">
          <button type="button" onClick={onClose}>
            {words.cancel}
          </button>
          <button type="submit" class={danger ? 'danger' : 'primary'} disabled={disabled} aria-busy={busy}>
            {deed}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

type TabsProps = {
  label: string
  items: { href: string; label: string; current: boolean; count?: string }[]
}

/** Links to the parts of a list. */
export function Tabs({ label, items }: TabsProps) {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map((item) => (
        <a key={item.label} href={item.href} aria-current={item.current ? 'page' : undefined}>
          {item.label}
          {item.count !== undefined && <span class="count">{item.count}</span>}
        </a>
      ))}
    </nav>
  )
}

type MenuItem = { label: string; danger?: boolean } & ({ href: string } | { act: () => void })

/** The actions of a row: opened by a click, Enter or the arrow keys, left by Escape. */
export function Menu({ label, items }: { label: string; items: MenuItem[] }) {
  const id = useId()
  const button = useRef<HTMLButtonElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const [open, setOpen] = useState(false)
  const move = (event: KeyboardEvent) => {
    const entries = [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])]
    const here = entries.indexOf(document.activeElement as HTMLElement)
    const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: entries.length - 1 }[event.key]
    if (next !== undefined) {
      event.preventDefault()
      entries.at(next % entries.length)?.focus()
    }
    if (event.key === 'Tab') list.current?.hidePopover()
  }
  useLayoutEffect(() => {
    const at = button.current?.getBoundingClientRect()
    if (!open || !at || !list.current) return
    const { offsetHeight: height, offsetWidth: width } = list.current
    const below = at.bottom + 4 + height <= innerHeight
    list.current.style.setProperty('top', `${below ? at.bottom + 4 : at.top - 4 - height}px`)
    list.current.style.setProperty('left', `${Math.max(8, at.right - width)}px`)
    list.current.querySelector<HTMLElement>('[role=menuitem]')?.focus()
  }, [open])
  const choose = (act?: () => void) => {
    list.current?.hidePopover()
    button.current?.focus()
    act?.()
  }
  return (
    <>
      <button
        ref={button}
        type="button"
        class="quiet"
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        popovertarget={id}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown') return
          event.preventDefault()
          list.current?.showPopover()
        }}
      >
        <Icon name="more" />
      </button>
      <div
        ref={list}
        id={id}
        class="menu"
        popover="auto"
        role="menu"
        aria-label={label}
        tabIndex={-1}
        onKeyDown={move}
        onToggle={(event) => setOpen(event.newState === 'open')}
      >
        {open &&
          items.map((item) =>
            'href' in item ? (
              <a key={item.label} role="menuitem" tabIndex={-1} href={item.href}>
                {item.label}
              </a>
            ) : (
              <button
                key={item.label}
                type="button"
                role="menuitem"
                tabIndex={-1}
                class={item.danger ? 'danger' : ''}
                onClick={() => choose(item.act)}
              >
                {item.label}
              </button>
            ),
          )}
      </div>
    </>
  )
}

let announcing = (_text: string) => {}

/** Confirms an action, visibly and to screen readers, without moving the focus. */
export function announce(text: string): void {
  announcing(text)
}

/** Where announcements appear. */
export function Announcements() {
  const [text, setText] = useState('')
  useEffect(() => {
    announcing = (next) => setText(next)
  }, [])
  useEffect(() => {
    const timer = setTimeout(() => setText(''), 8000)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <div class={text ? 'announcement shown' : 'announcement'} role="status">
      {text}
    </div>
  )
}

/** Rows in their final height while the list loads. */
export function Skeleton({ rows = 8, columns = 1 }: { rows?: number; columns?: number }) {
  return (
    <tbody class="skeleton" aria-hidden="true">
      {Array.from({ length: rows }, (_, row) => (
        <tr key={row}>
          {Array.from({ length: columns }, (_, column) => (
            <td key={column}>
              <span class="bar" />
            </td>
          ))}
        </tr>
      ))}
    </tbody>
  )
}

export type Fact = [name: string, value: ComponentChildren]

/** Names and values, such as the properties of a token. */
export function Facts({ items }: { items: (Fact | false)[] }) {
  return (
    <dl class="facts">
      {items
        .filter((item) => item !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}

/** A value with a button that copies it. */
export function Copyable({ text, label }: { text: string; label: string }) {
  return (
    <span class="copyable">
      <code>{text}</code>
      <Copy text={text} label={label} small />
    </span>
  )
}

export function Scopes({ scopes }: { scopes: string[] }) {
  if (scopes.length === 0) return words.token.noScopes
  return (
    <span class="scope-list">
      {scopes.map((scope) => (
        <code key={scope}>{scope}</code>
      ))}
    </span>
  )
}

/**
 * Code to run elsewhere, with a button that copies it. `copied` is the copied text, if it differs from the shown one.
 */
export function Code({ text, copied, label }: { text: string; copied?: string; label: string }) {
  return (
    <div class="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard has to reach it */}
      <section tabIndex={0} aria-label={label}>
        <pre>
          <code>{text}</code>
        </pre>
      </section>
      <Copy text={copied ?? text} label={label} />
    </div>
  )
}
