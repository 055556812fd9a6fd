import { join } from 'node:path'
import t from 'tap'
import { blocks, read, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

const folder = await newFolder(t)
const service = await startService(t, [process.execPath, join(root, 'src/server.ts')], folder)
const [script = ''] = blocks('docs/rotation.md', 'sh rotate')
const introspection = `
ADMIN=$(cat .counterfoil/admin-token)
curl -s http://localhost:7662/introspect -H "Authorization: Bearer $ADMIN" -d "token=$(cat secret.txt)"; echo`
const asked = `${introspection}
curl -s "http://localhost:7662/v1/organizations/default/tokens/$1/secrets" -H "Authorization: Bearer $ADMIN" |
  jq -r '.items[].status'`

t.test('the shell script rotates without downtime', async (t) => {
  const output = await service.paste('bash', `${script}\necho "$ID"`)
  const [current, overlapping, hint, id, ...more] = output.trim().split('\n')
  t.match(current, /^current\t/)
  t.match(overlapping, /^overlapping\t0\t/)
  t.match(hint, /^api_.{4}….{4}$/)
  t.same(more, [])
  const [answer = '', ...statuses] = (await service.paste('bash', `set -- ${id}\n${asked}`))
    .trim()
    .split('\n')
  t.match(JSON.parse(answer), { active: true, client_id: id })
  t.same(statuses, ['current', 'superseded'])
})

t.test('the shell script gives up a rotation that does not work', async (t) => {
  const broken = script.replace(/^works\(\) .*$/m, 'works() { false; }')
  const id = (await service.paste('bash', `${broken}\necho "$ID"`)).trim().split('\n').at(-1)
  const [answer = '', ...statuses] = (await service.paste('bash', `set -- ${id}\n${asked}`))
    .trim()
    .split('\n')
  t.same(JSON.parse(answer), { active: false })
  t.same(statuses, ['current'])
})

// gh and kubectl stand for what is not ours: they keep what they are given.
for (const [name, text] of [
  [
    'GitHub Actions',
    /run: \|\n((?: {10}.*\n)+)/.exec(read('docs/rotation.md'))?.[1]?.replace(/^ {10}/gm, ''),
  ],
  ['Kubernetes', blocks('docs/rotation.md', 'sh').find((block) => block.includes('kubectl'))],
] as const) {
  t.test(`the lines for ${name} store a secret that is good`, async (t) => {
    const prepare = `
      set -e
      ADMIN=$(cat .counterfoil/admin-token)
      MANAGEMENT_TOKEN=$ADMIN
      post() { curl -s "http://localhost:7662$1" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' -d "$2"; }
      post /v1/organizations '{"key": "acme", "name": "Acme"}' > /dev/null
      post /v1/token-types '{"name": "ci", "prefix": "ci", "self_rotation": true}' > /dev/null
      CREATED=$(post /v1/organizations/acme/tokens '{"name": "In CI", "type": "ci"}')
      ID=$(echo "$CREATED" | jq -r .id)
      TOKEN=$(echo "$CREATED" | jq -r .secret)
      gh() { cat > secret.txt; }
      kubectl() { case $1 in create) cat > secret.txt;; apply) cat > /dev/null;; esac; }\n`
    const local = (text ?? '').replaceAll('https://tokens.example', 'http://localhost:7662')
    const output = await service.paste('bash', `${prepare}${local}\necho\n${introspection}`)
    const answer = /\{"active".*\}/.exec(output)?.[0] ?? ''
    t.match(JSON.parse(answer), { active: true, token_name: 'In CI' })
  })
}
