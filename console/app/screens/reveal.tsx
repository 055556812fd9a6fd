import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Token } from '../api.ts'
import { apiUrl } from '../base.ts'
import { setGuard } from '../router.ts'
import { Code, Confirm, Copy, Copyable, ExactExpiry, Facts, Heading, Notice } from '../ui.tsx'
import { words } from '../words.ts'

export type Leaving = {
  title: string
  /** Called when the user leaves the screen: the page has then dropped the secret. */
  onDone: () => void
  leave: () => void
}

type RevealProps = Leaving & {
  secret: string
  says: typeof words.reveal.token
  /** Further values that are shown with the secret. */
  children: (shown: boolean) => ComponentChildren
}

/** Shows a secret once. Only the memory of this page contains it: never a URL, the history or a storage. */
export function Reveal({ secret, says, title, onDone, leave, children }: RevealProps) {
  const [shown, setShown] = useState(false)
  const [stored, setStored] = useState(false)
  const [asking, setAsking] = useState<(leaves: boolean) => void>()
  const done = useRef(false)

  useEffect(() => {
    setGuard(
      () =>
        new Promise((resolve) => {
          if (done.current) resolve(true)
          else setAsking(() => resolve)
        }),
    )
    return () => setGuard(undefined)
  }, [])

  const finish = () => {
    done.current = true
    setGuard(undefined)
    onDone()
    leave()
  }
  const answer = (leaves: boolean) => {
    asking?.(leaves)
    setAsking(undefined)
    if (leaves) {
      setGuard(undefined)
      onDone()
    }
  }
  return (
    <section class="reveal">
      <Heading title={title}>{title}</Heading>
      <Notice kind="warning">{says.once}</Notice>
      <div class="secret">
        <label for="secret">{says.secret}</label>
        <div class="row">
          <input
            id="secret"
            {...(shown ? ({ type: 'text' } as const) : ({ type: 'password' } as const))}
            readOnly
            value={secret}
            class="mono"
            autocomplete="off"
            spellcheck={false}
            onFocus={(event) => event.currentTarget.select()}
          />
          <button type="button" aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? words.reveal.hide : words.reveal.show}
          </button>
          <Copy text={secret} label={says.secret} />
        </div>
      </div>
      {children(shown)}
      <label class="choice stored">
        <input
          type="checkbox"
          checked={stored}
          onChange={(event) => setStored(event.currentTarget.checked)}
        />
        <span>{says.stored}</span>
      </label>
      <div class="buttons">
        <button type="button" class="primary" disabled={!stored} onClick={finish}>
          {words.reveal.done}
        </button>
      </div>
      {asking && (
        <Confirm
          title={says.leaveTitle}
          deed={words.reveal.leave}
          danger
          onClose={() => answer(false)}
          act={async () => answer(true)}
        >
          <p>{says.leaveHelp}</p>
        </Confirm>
      )}
    </section>
  )
}

/** The secret of a new or rotated token, its endpoint, and a command to try it. */
export function TokenReveal({ token, ...leaving }: Leaving & { token: Token & { secret: string } }) {
  const { secret, endpoint } = token
  return (
    <Reveal {...leaving} secret={secret} says={words.reveal.token}>
      {(shown) => (
        <>
          <Facts
            items={[
              endpoint !== null && [
                words.token.endpoint,
                <Copyable key="endpoint" text={endpoint} label={words.token.endpoint} />,
              ],
              [words.token.expires, <ExactExpiry key="expiry" token={token} />],
            ]}
          />
          <h2>{words.reveal.tryIt}</h2>
          <p class="help">{words.reveal.tryItHelp}</p>
          <Code
            text={commandWith(shown ? secret : words.reveal.masked(token.hint))}
            copied={commandWith(secret)}
            label={words.reveal.tryIt}
          />
        </>
      )}
    </Reveal>
  )
}

function commandWith(secret: string): string {
  return `curl ${apiUrl}/v1/self -H 'Authorization: Bearer ${secret}'`
}
