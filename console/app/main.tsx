import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { type Refusal, whenSignedOut } from './api.ts'
import { hasSession } from './base.ts'
import { go, hrefOf, startRouter } from './router.ts'
import { type Me, MeProvider, signInAgain, whoAmI } from './session.ts'
import { Shell } from './shell.tsx'
import { SignIn } from './sign-in.tsx'
import { Announcements, Failure } from './ui.tsx'

/** The code of a one-time link. It is removed from the URL at once, so that no bookmark contains it. */
function takeCode(): string | undefined {
  const code = /^#(cfl_\w+)$/.exec(location.hash)?.[1]
  if (code) history.replaceState(history.state, '', location.pathname + location.search)
  return code
}

const code = takeCode()

/** Undefined until the response of the service; null if no session is open. */
function App() {
  const [me, setMe] = useState<Me | null | undefined>(hasSession && !code ? undefined : null)
  const [error, setError] = useState<Refusal>()
  const enter = (found: Me) => {
    setMe(found)
    if (location.pathname === hrefOf('/sign-in')) void go(hrefOf('/'), { replace: true })
  }
  const load = () =>
    whoAmI().then(enter, (refusal: Refusal) => (refusal.status === 401 ? setMe(null) : setError(refusal)))
  useEffect(() => {
    whenSignedOut(() => {
      setMe(null)
      signInAgain().catch(() => {})
    })
    if (hasSession && !code) void load()
  }, [])
  if (error) return <Failure error={error} retry={() => location.reload()} />
  if (me === undefined) return null
  if (me === null) return <SignIn code={code} onSignedIn={load} />
  return (
    <MeProvider value={me}>
      <Shell
        onSignedOut={() => {
          setMe(null)
          void go(hrefOf('/'))
        }}
      />
    </MeProvider>
  )
}

startRouter()
render(
  <>
    <App />
    <Announcements />
  </>,
  document.body,
)
