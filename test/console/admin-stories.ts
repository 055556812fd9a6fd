// What an administrator does: policy, types, issuers, webhooks, import, leaks, organizations, keys and sessions.
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { recordSecret } from '../support/records.ts'
import { day } from '../support/world.ts'
import { startReceiver, verifies } from '../webhooks/receiver.ts'
import {
  type Console,
  choose,
  clickText,
  clipboard,
  openPage,
  passes,
  replaceText,
  secretIsGone,
  signIn,
  textOf,
} from './browser.ts'

const key = 'northwind'
const base = `/console/organizations/${key}`
const api = `/v1/organizations/${key}`

/** What the console says that it did. */
const said = (page: Page, text: string) =>
  page.waitForFunction(
    `document.querySelector('[role=status]').textContent.includes(${JSON.stringify(text)})`,
  )
const submit = (page: Page) => page.click('dialog[open] button[type=submit]')

export async function adminStories(t: Test, { world, url, browser }: Console): Promise<void> {
  const watched = await openPage(browser, url)
  const { page } = watched
  const { ask } = world
  await signIn(page, url, world.admin)

  await t.test('an organization is created, renamed, suspended and resumed', async (t) => {
    await page.goto(`${url}/console/organizations`)
    await clickText(page, '.actions button', 'Create organization')
    await page.waitForSelector('dialog[open]')
    await page.type('dialog[open] input[name=name]', 'Northwind Traders')
    await page.type('dialog[open] input[name=key]', 'not a key')
    await submit(page)
    await page.waitForSelector('dialog[open] input[name=key][aria-invalid=true]')
    await replaceText(page, 'dialog[open] input[name=key]', key)
    await submit(page)
    await said(page, '“Northwind Traders” was created.')
    await choose(page, 'Actions for Northwind Traders', 'Rename')
    await replaceText(page, 'dialog[open] input[name=name]', 'Northwind')
    await submit(page)
    await said(page, '“Northwind Traders” was renamed.')
    await choose(page, 'Actions for Northwind', 'Suspend')
    t.match(await textOf(page, 'dialog[open]'), /None of its tokens works until it is resumed/)
    await submit(page)
    await said(page, '“Northwind” is suspended.')
    t.ok((await ask('GET', api)).body.suspended_at)
    await choose(page, 'Actions for Northwind', 'Resume')
    await submit(page)
    await said(page, '“Northwind” is active again.')
    t.match((await ask('GET', api)).body, { name: 'Northwind', suspended_at: null })
    await clickText(page, 'tbody th a', 'Northwind')
    await page.waitForFunction(`document.querySelector('.side .organization').textContent === 'Northwind'`)
  })

  await t.test('a token type has labels for its scopes, which the form for tokens shows', async (t) => {
    await page.goto(`${url}${base}/types`)
    await clickText(page, '.actions button', 'Create type')
    await page.waitForSelector('dialog[open]')
    await page.type('input[name=name]', 'user-management')
    await page.type('input[name=prefix]', 'um')
    await page.type('input[name=allowed_scopes]', 'um:read um:write')
    await page.type('input[name="label um:read"]', 'Read')
    await page.type('input[name="description um:read"]', 'See users and groups')
    await submit(page)
    await said(page, '“user-management” was created.')
    const details = [{ scope: 'um:read', label: 'Read', description: 'See users and groups' }]
    t.match((await ask('GET', `${api}/token-types/user-management`)).body, { scope_details: details })
    await choose(page, 'Actions for user-management', 'Change')
    await replaceText(page, 'input[name=description]', 'Users and groups')
    await submit(page)
    await said(page, '“user-management” was changed')
    t.match((await ask('GET', `${api}/token-types/user-management`)).body, {
      description: 'Users and groups',
      scope_details: details,
    })
    await page.goto(`${url}${base}/tokens/new`)
    await page.locator('input[value=user-management]').click()
    t.match(await textOf(page, '.fields'), /Read um:read\s+See users and groups\s+um:write/)
    await page.goto(`${url}${base}/types`)
    await choose(page, 'Actions for user-management', 'Delete')
    await submit(page)
    await said(page, '“user-management” was deleted.')
    t.equal((await ask('GET', `${api}/token-types/user-management`)).status, 404)
  })

  await t.test('a provider for sign-in is added, changed and deleted', async (t) => {
    await page.goto(`${url}${base}/issuers`)
    await clickText(page, '.empty button', 'Add provider')
    await page.waitForSelector('dialog[open]')
    await page.type('input[name=name]', 'Company login')
    await page.type('input[name=issuer]', 'https://login.example/realms/northwind')
    await page.type('input[name=audience]', 'counterfoil')
    await page.type('textarea[name=group_permissions]', 'auditors: audit:read tokens:read')
    await submit(page)
    await said(page, '“Company login” was saved.')
    const added = (await ask('GET', `${api}/issuers`)).body.items
    t.match(added, [
      {
        audience: 'counterfoil',
        default_permissions: ['tokens:own'],
        group_permissions: [{ group: 'auditors', permissions: ['audit:read', 'tokens:read'] }],
      },
    ])
    await choose(page, 'Actions for Company login', 'Change')
    await replaceText(page, 'input[name=audience]', 'console')
    await submit(page)
    await page.waitForFunction(`document.querySelector('.list.issuers').textContent.includes('console')`)
    await choose(page, 'Actions for Company login', 'Delete')
    await submit(page)
    await said(page, 'The provider was deleted.')
    t.same((await ask('GET', `${api}/issuers`)).body.items, [])
  })

  await t.test('a stricter policy says which tokens break it before it is saved', async (t) => {
    await world.issue({ name: 'Hourly export', lifetime_days: 365 }, key)
    await page.goto(`${url}${base}/policy`)
    t.match(await textOf(page, '.policy'), /From the platform/)
    await replaceText(page, 'input[name="lifetime.maximum_days"]', '30')
    await clickText(page, '.save button', 'Show what would break')
    t.match(await textOf(page, '.save .notice'), /tokens that break the new rules.*Hourly export/s)
    await page.select('select[name=on_leak]', 'notify')
    await clickText(page, '.save button', 'Save changes')
    await said(page, 'Changes saved.')
    const { policy, sources } = (await ask('GET', `${api}/policy`)).body
    t.match(policy, { lifetime: { maximum_days: 30 }, on_leak: 'notify' })
    t.match(sources, { 'lifetime.maximum_days': 'organization', 'name.unique': 'platform' })
    const rules = Object.keys(sources).sort()
    const shown = await page.$$eval('.policy [name]', (fields) =>
      fields.map((one) => one.getAttribute('name')),
    )
    t.same(shown.sort(), rules, 'every rule is on the screen')
    await page.waitForSelector('.policy .source.own')
    await clickText(page, '.field:has([name="lifetime.maximum_days"]) .link', 'Use the platform’s value')
    await clickText(page, '.save button', 'Save changes')
    await page.waitForFunction(`document.querySelector('[name="lifetime.maximum_days"]')?.value !== '30'`)
    t.equal((await ask('GET', `${api}/policy`)).body.sources['lifetime.maximum_days'], 'platform')
  })

  await t.test('a webhook shows its secret once, and what became of what was sent to it', async (t) => {
    let answer = 204
    const receiver = await startReceiver(t, (_, response) => response.writeHead(answer).end())
    await page.goto(`${url}${base}/webhooks`)
    await clickText(page, '.empty a', 'Add webhook')
    await page.waitForSelector('form.narrow')
    await page.type('input[name=url]', 'ftp://example.com')
    await page.click('input[name=some][value=true]')
    await page.click('input[name=events][value="token.created"]')
    await page.click('form.narrow button[type=submit]')
    await page.waitForFunction(`document.activeElement.name === 'url'`)
    t.match(await textOf(page, 'form.narrow .wrong'), /http or https URL/)
    await replaceText(page, 'input[name=url]', `${receiver.url}/events`)
    await page.click('form.narrow button[type=submit]')
    await page.waitForSelector('#secret')
    await page.click('.secret .copy')
    await page.waitForSelector('.secret .copy.copied')
    const secret = await clipboard(page)
    recordSecret(secret)
    await page.click('.stored input')
    await page.click('.reveal .buttons .primary')
    t.match(await textOf(page, '.empty'), /No deliveries yet/)
    await secretIsGone(t, page, secret)

    await clickText(page, '.actions button', 'Send a test event')
    await said(page, 'A test event is on its way.')
    await world.dispatcher.flush()
    await page.waitForSelector('.deliveries .pill.active')
    t.match(await textOf(page, '.deliveries tbody'), /Delivered\s+204\s+\d+ ms\s+1/)
    t.ok(receiver.messages[0] && verifies(receiver.messages[0], secret), 'signed with the secret shown')

    answer = 500
    await world.issue({ name: 'Told about', lifetime_days: 20 }, key)
    await world.dispatcher.flush()
    await clickText(page, '.deliveries ~ *, .actions button', 'Refresh')
    await page.waitForFunction(`document.querySelector('.deliveries tbody')?.innerText.includes('500')`)
    await clickText(page, '.tabs a', 'Waiting')
    await page.waitForFunction(`document.querySelectorAll('.deliveries tbody tr').length === 1`)
    t.equal(new URL(page.url()).search, '?status=pending')
    t.match(
      await textOf(page, '.deliveries tbody'),
      /token\.created.*Waiting.*500.*responds with the status 500/s,
    )
    await page.reload()
    await page.waitForFunction(
      `document.querySelectorAll('.deliveries tbody:not(.skeleton) tr').length === 1`,
    )

    answer = 204
    await clickText(page, '.tabs a', 'Delivered')
    await choose(page, 'Actions for the delivery of webhook.test', 'Send again')
    await said(page, 'It is sent again.')
    await world.dispatcher.flush()
    const ids = receiver.messages.map(({ headers }) => headers['webhook-id'])
    t.ok(ids.lastIndexOf(ids[0]) > 0, 'the same message arrived again')

    await clickText(page, '.actions button', 'Send a period again')
    await page.waitForSelector('dialog[open]')
    await page.$eval('input[name=since]', (field) => Object.assign(field, { value: '2020-01-01T00:00' }))
    await page.select('dialog[open] select', 'all')
    await submit(page)
    await said(page, 'sent again')

    await clickText(page, '.actions button', 'Pause')
    t.match(await textOf(page, '.notice.info'), /is paused/)
    await clickText(page, '.notice button', 'Resume')
    await said(page, 'The webhook is active.')
    await clickText(page, '.actions button', 'Change')
    await page.waitForSelector('dialog[open]')
    t.ok(await page.$('input[name=events][value="token.created"]:checked'))
    await page.type('dialog[open] input[name=description]', 'Ticket system')
    await submit(page)
    await said(page, 'Changes saved.')
    await clickText(page, '.actions button', 'Replace secret')
    await page.waitForSelector('dialog[open]')
    await submit(page)
    await page.waitForSelector('#secret')
    recordSecret(await page.$eval('#secret', (field) => (field as { value?: string }).value ?? ''))
    await page.click('.stored input')
    await page.click('.reveal .buttons .primary')
    t.match(await textOf(page, '.notice.info'), /signed with the previous secret too/)
    const { body } = await ask('GET', `${api}/webhooks`)
    t.match(body.items, [{ description: 'Ticket system', events: ['token.created'] }])
    await clickText(page, '.actions button', 'Delete')
    await page.waitForSelector('dialog[open]')
    await submit(page)
    await page.waitForSelector('.empty')
    t.same((await ask('GET', `${api}/webhooks`)).body.items, [])
  })

  await t.test('an import is previewed line by line, and then done', async (t) => {
    const hash = (secret: string) => createHash('sha256').update(secret).digest('hex')
    const expires_at = new Date(world.clock.now.getTime() + 30 * day)
    const line = (name: string, type = 'api') =>
      JSON.stringify({ sha256: hash(`secret of ${name}`), type, name, expires_at })
    await page.goto(`${url}${base}/import`)
    await page.waitForSelector('textarea')
    await page.type('textarea', line('Pasted'))
    await clickText(page, 'form button', 'Preview')
    await page.waitForSelector('.results tbody tr')
    t.match(await textOf(page, '.results tbody'), /1\s+Pasted\s+New/)
    t.same((await ask('GET', `${api}/tokens?name=Pasted`)).body.items, [], 'the preview imports nothing')

    const file = join(t.testdir(), 'tokens.ndjson')
    const many = Array.from({ length: 600 }, (_, n) => line(`Import ${n}`))
    await writeFile(file, [line('Typo', 'apj'), ...many].join('\n'))
    const [chooser] = await Promise.all([page.waitForFileChooser(), page.click('input[type=file]')])
    await chooser.accept([file])
    await page.waitForFunction(`!document.querySelector('.results')`)
    await clickText(page, 'form button', 'Preview')
    await clickText(page, 'form button', 'Import 600 tokens')
    await said(page, '600 tokens were imported.')
    await clickText(page, '.tabs a', 'Invalid1')
    await page.waitForFunction(`document.querySelectorAll('.results tbody tr').length === 1`)
    t.match(await textOf(page, '.results tbody'), /1\s+Typo\s+Invalid\s+.*apj is not a token type/s)
    t.equal((await ask('GET', `${api}/tokens/counts`)).body.active.count, 602)
    await clickText(page, 'main a', 'Show the tokens')
    await page.waitForSelector('.list.tokens')
  })

  await t.test('a leak report names the token and where it was found', async (t) => {
    const { secret } = await world.issue({ name: 'Leaky', lifetime_days: 20 }, key)
    await ask('POST', '/v1/leaks', { body: { secret, source: 'scan', url: 'https://git.example/.env' } })
    await page.goto(`${url}${base}/leaks`)
    await clickText(page, 'tbody th a', 'Leaky')
    t.match(await textOf(page, '.facts'), /in use.*Reported.*scan.*https:\/\/git\.example\/\.env/s)
    await clickText(page, 'main a', 'All reports about this token')
    t.match(await textOf(page, '.lead'), /Reports about “Leaky”/)
    await page.goBack()
    await clickText(page, '.actions a', 'Open the token')
    t.equal(await textOf(page, 'h1 .name'), 'Leaky')
  })

  await t.test(
    'the change log filters by every action and by day, and exports what they let through',
    async (t) => {
      const document = JSON.parse((await ask('GET', '/openapi.json')).text)
      const { parameters } = document.paths['/v1/organizations/{organization}/audit-events'].get
      const { schema } = parameters.find(({ name }: { name: string }) => name === 'action')
      await page.goto(`${url}${base}/log?from=2000-01-01&to=2000-01-02`)
      await page.waitForFunction(
        `document.querySelector('main')?.innerText.includes('Nothing has been recorded')`,
      )
      const offered = await page.$$eval('.filters option', (options) =>
        options.map((option) => option.getAttribute('value')).filter(Boolean),
      )
      t.same(offered.sort(), schema.enum.toSorted())
      await page.$eval('.filters input[type=date]', (field) => {
        Object.assign(field, { value: '' })
        field.dispatchEvent(new Event('change', { bubbles: true }))
      })
      await page.waitForFunction(`location.search === '?to=2000-01-02'`)
      await page.goto(`${url}${base}/log?action=webhook.tested`)
      await page.waitForFunction(`document.querySelectorAll('.changes li').length === 1`)
      const lines = (await page.evaluate(
        `fetch(document.querySelector('a[download]').href).then((answer) => answer.text())`,
      )) as string
      t.match(JSON.parse(lines), { action: 'webhook.tested' })
    },
  )

  await t.test('a signing key is replaced, and the previous one retired', async (t) => {
    await page.goto(`${url}/console/keys`)
    await clickText(page, '.actions button', 'Rotate key')
    await page.waitForSelector('dialog[open]')
    await page.click('dialog[open] input[name=immediately]')
    await submit(page)
    await said(page, 'A new key is published.')
    await clickText(page, 'tbody button', 'Retire key')
    t.match(await textOf(page, 'dialog[open]'), /Live tokens that stop working: \d+/)
    await submit(page)
    await said(page, 'The key was retired.')
    const { body } = await ask('GET', '/v1/signing-keys')
    t.same(body.items.map(({ state }: { state: string }) => state).sort(), ['active', 'retired'])
  })

  await t.test('the session of another browser is ended', async (t) => {
    const other = await openPage(browser, url)
    await signIn(
      other.page,
      url,
      await world.manager(['tokens:read'], 'platform', { name: 'Visitor', lifetime_days: 30 }),
    )
    await page.goto(`${url}/console/sessions`)
    t.equal(await textOf(page, '.sessions .pill.active'), 'This session')
    const end = await page.waitForFunction(
      `[...document.querySelectorAll('.sessions tbody tr')].find((row) => row.textContent.includes('Visitor'))
        ?.querySelector('td.end button')`,
    )
    await end.evaluate((button) => (button as { click(): void }).click())
    await page.waitForSelector('dialog[open]')
    await submit(page)
    await said(page, 'The session has ended.')
    await other.page.click('.tabs a:nth-child(2)')
    await other.page.waitForSelector('.sign-in')
    await other.page.browserContext().close()
  })

  await t.test('nothing was requested from elsewhere, and nothing failed or broke the policy', async (t) => {
    passes(t, watched, [/status of 4(00|22)/])
  })
}
