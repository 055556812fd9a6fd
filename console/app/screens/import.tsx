import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { api, done, Refusal, type Shapes } from '../api.ts'
import { formatNumber } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { announce, Failure, Field, Heading, Notice, Tabs } from '../ui.tsx'
import { words } from '../words.ts'

type Result = Extract<Shapes['TokenImportResult'], { line: number }> & { name?: string }
type Summary = Extract<Shapes['TokenImportResult'], { summary: unknown }>['summary']

/** Browsers read a response only after they have sent the whole request, so each request has few lines. */
const linesPerRequest = 500
const shownAtOnce = 100
const statuses = ['created', 'exists', 'invalid'] as const

type Run = {
  preview: boolean
  lines: number
  /** The number of lines sent. */
  sent: number
  results: Result[]
  /** Why the import stopped before the last line. */
  stopped?: Refusal
}

/** Imports tokens by the hashes of their secrets, after a preview of each line's result. */
export default function Import({ organization, place }: ScreenProps) {
  const [text, setText] = useState('')
  const [file, setFile] = useState<string>()
  const [run, setRun] = useState<Run>()
  const aborting = useRef(new AbortController())
  useEffect(() => () => aborting.current.abort(), [])
  const source = file ?? text
  const start = async (preview: boolean) => {
    aborting.current.abort()
    aborting.current = new AbortController()
    const { signal } = aborting.current
    const lines = source.split('\n')
    if (lines.at(-1)?.trim() === '') lines.pop()
    let state: Run = { preview, lines: lines.length, sent: 0, results: [] }
    setRun(state)
    try {
      while (state.sent < lines.length && state.stopped === undefined) {
        const { sent } = state
        const part = lines.slice(sent, sent + linesPerRequest)
        const { results, summary } = await send(part.join('\n'), preview, signal)
        state = {
          ...state,
          sent: sent + part.length,
          results: [
            ...state.results,
            ...results.map((result) => ({
              ...result,
              line: result.line + sent,
              name: nameIn(part[result.line - 1]),
            })),
          ],
          ...(!summary.complete && { stopped: new Refusal(summary) }),
        }
        setRun(state)
      }
    } catch (error) {
      if (signal.aborted) return
      state = { ...state, stopped: error as Refusal }
      setRun(state)
    }
    if (!preview) announce(words.import.imported(countOf(state, 'created')))
  }
  const send = async (body: string, dryRun: boolean, signal: AbortSignal) => {
    const answer = await done(
      api.POST('/v1/organizations/{organization}/tokens/import', {
        params: { path: { organization }, query: { dry_run: dryRun } },
        headers: { 'content-type': 'application/x-ndjson' },
        body,
        bodySerializer: (lines) => lines,
        parseAs: 'text',
        signal,
      }),
    )
    const lines: Shapes['TokenImportResult'][] = answer
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const last = lines.pop()
    return { results: lines as Result[], summary: (last as { summary: Summary }).summary }
  }
  const change = () => {
    aborting.current.abort()
    setRun(undefined)
  }
  const list = organizationPath(organization, '/tokens')
  const busy = run !== undefined && run.sent < run.lines && run.stopped === undefined
  const ready = !busy && source.trim() !== ''
  const importable = run?.preview && !busy ? countOf(run, 'created') : 0
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (ready) void start(true)
  }
  return (
    <>
      <Heading>{words.import.title}</Heading>
      <p class="lead">{words.import.lead}</p>
      <form class="narrow" onSubmit={submit}>
        <Field label={words.import.file} name="file" help={words.import.fileHelp}>
          {(props) => (
            <input
              {...props}
              type="file"
              accept=".ndjson,.jsonl,.json,.txt"
              onChange={async ({ currentTarget }) => {
                const chosen = currentTarget.files?.[0]
                setFile(await chosen?.text())
                change()
              }}
            />
          )}
        </Field>
        {file === undefined && (
          <Field label={words.import.lines} name="lines" help={words.import.linesHelp}>
            {(props) => (
              <textarea
                {...props}
                rows={6}
                wrap="off"
                class="mono"
                spellcheck={false}
                placeholder={words.import.example}
                value={text}
                onInput={(event) => {
                  setText(event.currentTarget.value)
                  change()
                }}
              />
            )}
          </Field>
        )}
        <div class="buttons">
          <button type="submit" class={importable > 0 ? '' : 'primary'} aria-disabled={!ready}>
            {words.import.preview}
          </button>
          {importable > 0 && (
            <button type="button" class="primary" onClick={() => start(false)}>
              {words.import.deed(importable)}
            </button>
          )}
        </div>
      </form>
      {run && (
        <Outcome
          run={run}
          busy={busy}
          chosen={place.query.get('result') ?? ''}
          path={place.path}
          tokens={list}
        />
      )}
      {run && !run.preview && !busy && (
        <p class="below">
          <a href={hrefOf(list)}>{words.import.done}</a>
        </p>
      )}
    </>
  )
}

function nameIn(line = ''): string {
  try {
    return String(JSON.parse(line).name ?? '')
  } catch {
    return ''
  }
}

function countOf({ results }: Run, status: Result['status']): number {
  return results.filter((result) => result.status === status).length
}

type OutcomeProps = { run: Run; busy: boolean; chosen: string; path: string; tokens: string }

/** The result of each line. */
function Outcome({ run, busy, chosen, path, tokens }: OutcomeProps) {
  const [most, setMost] = useState(shownAtOnce)
  const labels = run.preview ? words.import.previews : words.import.statuses
  const results = run.results.filter(({ status }) => chosen === '' || status === chosen)
  return (
    <section class="below" aria-label={words.import.results} aria-busy={busy}>
      {busy && <progress max={run.lines} value={run.sent} aria-label={words.import.title} />}
      {busy && <p class="help">{words.import.progress(formatNumber(run.sent), formatNumber(run.lines))}</p>}
      {run.stopped && <Failure error={run.stopped} />}
      {run.stopped && !run.preview && <p class="lead">{words.import.stopped}</p>}
      {run.preview && !busy && run.stopped === undefined && <PreviewNotice run={run} />}
      <Tabs
        label={words.import.results}
        items={(['', ...statuses] as const).map((status) => ({
          label: status ? labels[status] : words.import.all,
          href: hrefOf(path, { result: status }),
          current: chosen === status,
          count: formatNumber(status ? countOf(run, status) : run.results.length),
        }))}
      />
      {results.length === 0 && !busy ? (
        <p class="muted">{words.import.noMatch}</p>
      ) : (
        <table class="list results">
          <caption class="hidden">{words.import.results}</caption>
          <thead>
            <tr>
              <th scope="col">{words.import.line}</th>
              <th scope="col">{words.token.name}</th>
              <th scope="col">{words.import.result}</th>
              <th scope="col">{words.import.details}</th>
            </tr>
          </thead>
          <tbody>
            {results.slice(0, most).map((result) => (
              <tr key={result.line}>
                <th scope="row" data-label={words.import.line}>
                  {formatNumber(result.line)}
                </th>
                <td class="clip" title={result.name}>
                  {result.token ? (
                    <a href={hrefOf(`${tokens}/${result.token}`)}>{result.name}</a>
                  ) : (
                    result.name
                  )}
                </td>
                <td>
                  <span class={`pill ${words.import.pill[result.status]}`}>{labels[result.status]}</span>
                </td>
                <td>
                  {[result.detail, ...result.warnings.map(({ message }) => message)]
                    .filter(Boolean)
                    .join(' ')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {results.length > most && (
        <p class="below">
          <button type="button" onClick={() => setMost(most + shownAtOnce)}>
            {words.more}
          </button>
        </p>
      )}
    </section>
  )
}

function PreviewNotice({ run }: { run: Run }) {
  if (countOf(run, 'created') === 0)
    return (
      <Notice kind="warning">
        <p>
          <strong>{words.import.nothing}</strong> {words.import.nothingHelp}
        </p>
      </Notice>
    )
  return (
    <Notice kind={countOf(run, 'invalid') > 0 ? 'warning' : 'info'}>
      <p>
        <strong>{words.import.previewed}</strong> {countOf(run, 'invalid') > 0 && words.import.leftOut}
      </p>
    </Notice>
  )
}
