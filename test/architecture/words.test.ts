import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../docs/markdown.ts'

/** Phrases and names that this project no longer uses, and what it says instead (the glossary is in ARCHITECTURE.md). */
const retired: [phrase: RegExp, instead: string][] = [
  [/\bwhoever\b/i, 'the caller, a client, anyone who'],
  // 'nobody' is also a user of Unix.
  [/(?<!['/ ]User |['/])\bnobody\b(?!['@])/i, 'no caller, no client; or say what does not happen'],
  [/\bsomebody else\b/i, 'another caller, someone else'],
  [/cannot be had/, 'is unavailable, could not be fetched'],
  [/is not of the form/, 'is not a valid …'],
  [/\bof (yours|theirs|ours)\b/, 'your …, their …, our …'],
  [/Where a .+ should be\b/, 'the problem itself'],
  [/\bstands? against\b/i, 'prevents, limits, protects against'],
  [/\bbe (it|they) (a|an|the|in|to)\b/, 'whether …'],
  [/\banew\b/, 'again'],
  [/\bfor ever\b/, 'permanently, never expires'],
  [/\bin vain\b/, 'without success'],
  [/asking the database every time|answering from memory$/, 'cache lease lost, cache lease acquired'],
  [/\bheartbeat/i, 'beat'],
  [/\bchangeTogether\b|\btogether\.ts\b/, 'group commit, coalesced'],
  [/\bdecideByTurns\b|\/turn\.ts\b/, 'microbatch'],
  [/\/(share|slot)\.ts\b/, 'intern.ts'],
  [/\bintrospection\/batch\.ts\b/, 'loader.ts'],
  [/\bcredentials\/credentials\.ts\b/, 'credential-verifier.ts'],
  [/\bplace-?stores?\b|\/places?\.ts\b|\bRequestPlace\b|\btakePlace\b/i, 'quota, allocation, slot'],
  [
    /\bterms-store\b|\bstandingOf\b|\bcreation-(routes|schema)\b|\bnew-token-schema\b/,
    'rules-store, eligibility, …',
  ],
  [/\bhappenings?\b|\bhasHappened\b/i, 'audit event'],
  [/\bconfig\.environment\b|\benvironmentSecret\b/, 'staticSecret'],
  [/\bcareForKeys\b|\bkeyCare\b|\/care\.ts\b/, 'maintenance'],
  [/\bwaiting-?room\b/i, 'bulkhead'],
  [
    /\/(reach|repeat|closing|browsers|presented|versions)\.ts\b/,
    'lookup, interval, drain, security-headers, …',
  ],
  [/\b(at most|examines?|within|for) so m(any|uch)\b/, 'a limited number of, at most N'],
  [/\bsign-in token refused\b|(?<!connections )\b(is|are|was|were|be) refused\b/, 'rejected'],
  [/\b(Operate|tune) it\b/, 'Operate Counterfoil'],
  [/\bis told what\b|\bis no place to\b/, 'the error names …, cannot …'],
  [/\blayGround\b|\bbench\/ground\b/, 'createFixtures, bench/fixtures'],
]

const files = globSync(
  [
    '*.{md,json,yml}',
    'Dockerfile',
    '.ci/run',
    '{src,test,client,bench,examples,migrations,bin}/**/*.{ts,js,md,txt}',
    'docs/**/*.*',
    'openapi/*.json',
  ],
  { cwd: root },
).filter((file) => !/node_modules|package-lock|architecture\/words\.test\.ts$/.test(file))

t.test('no file contains retired phrases or names', async (t) => {
  t.ok(files.length > 500)
  const found = files.flatMap((file) =>
    textOf(file)
      .split('\n')
      .flatMap((line, i) =>
        retired
          .filter(([phrase]) => phrase.test(line))
          .map(([, instead]) => `${file}:${i + 1}: ${line.trim()} → ${instead}`),
      ),
  )
  t.same(found, [])
})

/** CONTRIBUTING.md quotes commit subjects that use them, as bad examples. */
function textOf(file: string): string {
  const text = readFileSync(join(root, file), 'utf8')
  return file === 'CONTRIBUTING.md' ? text.slice(0, text.indexOf('## Commit subjects')) : text
}
