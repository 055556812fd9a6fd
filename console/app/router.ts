import { useEffect, useState } from 'preact/hooks'
import { basePath } from './base.ts'

const root = `${basePath}/console`

/** The place in the console: the path below `/console`, and the query. */
export type Place = {
  path: string
  query: URLSearchParams
  /** Whether the browser went back or forward. */
  returned: boolean
}

type Guard = () => Promise<boolean>

const listeners = new Set<() => void>()
let returned = false
let guard: Guard | undefined

export function currentPlace(): Place {
  const path = location.pathname.slice(root.length).replace(/\/+$/, '') || '/'
  return { path, query: new URLSearchParams(location.search), returned }
}

export const hrefOf = (path: string, query?: Record<string, string | undefined>): string => {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== '')
  const search = new URLSearchParams(given as [string, string][]).toString()
  return `${root}${path}${search && `?${search}`}`
}

export function organizationPath(organization: string, rest = ''): string {
  return `/organizations/${encodeURIComponent(organization)}${rest}`
}

export function usePlace(): Place {
  const [place, setPlace] = useState(currentPlace)
  useEffect(() => {
    const update = () => setPlace(currentPlace())
    listeners.add(update)
    return () => void listeners.delete(update)
  }, [])
  return place
}

function tell(back: boolean): void {
  returned = back
  for (const listener of listeners) listener()
}

/** Goes to a URL of the console, unless a guard prevents it. */
export async function go(href: string, { replace = false } = {}): Promise<void> {
  if (guard && !(await guard())) return
  position = replace ? position : position + 1
  history[replace ? 'replaceState' : 'pushState']({ position }, '', href)
  tell(false)
}

/** Changes the query of the same screen without a new entry in the history. */
export function setQuery(query: Record<string, string | undefined>): void {
  history.replaceState({ position }, '', hrefOf(currentPlace().path, query))
  tell(false)
}

/** Asks before leaving a screen that cannot be opened again. */
export function setGuard(next: Guard | undefined): void {
  guard = next
}

let position = (history.state?.position as number | undefined) ?? 0

export function startRouter(): void {
  history.replaceState({ position }, '')
  // The screens restore the scroll position once their content is loaded.
  history.scrollRestoration = 'manual'
  let reverting = false
  addEventListener('popstate', async ({ state }) => {
    const target = (state?.position as number | undefined) ?? 0
    if (reverting) {
      reverting = false
      return
    }
    if (guard) {
      const steps = target - position
      reverting = true
      history.go(-steps)
      if (await guard()) history.go(steps)
      return
    }
    position = target
    tell(true)
  })
  addEventListener('beforeunload', (event) => {
    if (guard) event.preventDefault()
  })
  addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return
    if (link.origin !== location.origin || !link.pathname.startsWith(`${root}/`)) return
    event.preventDefault()
    // A fragment is a position on this page, not another screen.
    if (link.getAttribute('href')?.startsWith('#')) document.querySelector<HTMLElement>(link.hash)?.focus()
    else void go(link.href)
  })
}
