import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { formatCount } from '../format.ts'
import { announce, Confirm, Copy, Empty, Failure, Heading, Instant, Skeleton, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

export default function Keys() {
  const [rotating, setRotating] = useState(false)
  const [retiring, setRetiring] = useState<Shapes['SigningKey']>()
  const { data, error, reload } = useLoad('keys', (signal) => done(api.GET('/v1/signing-keys', { signal })))
  return (
    <>
      <Heading
        title={words.keys.title}
        actions={
          <button type="button" onClick={() => setRotating(true)}>
            {words.keys.rotate}
          </button>
        }
      >
        {words.keys.title}
      </Heading>
      <p class="lead">{words.keys.help}</p>
      {error && <Failure error={error} retry={reload} />}
      {data?.items.length === 0 ? (
        <Empty title={words.keys.none}>
          <p>{words.keys.noneHelp}</p>
        </Empty>
      ) : (
        <table class="list keys">
          <caption class="hidden">{words.keys.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.keys.kid}</th>
              <th scope="col">{words.keys.alg}</th>
              <th scope="col">{words.keys.state}</th>
              <th scope="col">{words.keys.tokens}</th>
              <th scope="col">{words.keys.activates}</th>
              <th scope="col">
                <span class="hidden">{words.token.actions}</span>
              </th>
            </tr>
          </thead>
          {!data && !error && <Skeleton rows={2} columns={6} />}
          <tbody>
            {data?.items.map((key) => (
              <tr key={key.kid}>
                <th scope="row">
                  <code class="clip">{key.kid}</code>
                  <Copy text={key.kid} label={words.keys.kid} small />
                </th>
                <td data-label={words.keys.alg}>{key.alg}</td>
                <td>
                  <span class={`pill ${words.keys.pill[key.state]}`}>{words.keys.states[key.state]}</span>
                </td>
                <td data-label={words.keys.tokens}>
                  {formatCount({ count: key.live_tokens, more: key.live_tokens_more })}
                </td>
                <td data-label={words.keys.activates}>
                  <Instant at={key.activates_at} />
                </td>
                <td class="end">
                  {key.state === 'retiring' && (
                    <button type="button" class="danger" onClick={() => setRetiring(key)}>
                      {words.keys.retire}
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rotating && (
        <Confirm
          title={words.keys.rotateTitle}
          deed={words.keys.rotate}
          onClose={() => setRotating(false)}
          act={async (form) => {
            await done(
              api.POST('/v1/signing-keys/rotate', { body: { immediately: form.has('immediately') } }),
            )
            announce(words.keys.rotated)
            setRotating(false)
            reload()
          }}
        >
          <p>{words.keys.rotateHelp}</p>
          <label class="choice">
            <input type="checkbox" name="immediately" />
            <span>
              <strong>{words.keys.immediately}</strong>
              <span class="help">{words.keys.immediatelyHelp}</span>
            </span>
          </label>
        </Confirm>
      )}
      {retiring && (
        <Confirm
          title={words.keys.retireTitle}
          deed={words.keys.retire}
          danger
          onClose={() => setRetiring(undefined)}
          act={async () => {
            await done(api.POST('/v1/signing-keys/{kid}/retire', { params: { path: { kid: retiring.kid } } }))
            announce(words.keys.retired)
            setRetiring(undefined)
            reload()
          }}
        >
          <p>
            {words.keys.retireHelp(
              formatCount({ count: retiring.live_tokens, more: retiring.live_tokens_more }),
            )}
          </p>
        </Confirm>
      )}
    </>
  )
}
