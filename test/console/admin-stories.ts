// What an administrator does: policy, types, issuers, webhooks, import, leaks, organizations, keys and sessions.
import { createHash, randomBytes } from 'node:crypto'
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
  enter,
  focused,
  openPage,
  passes,
  press,
  replaceText,
  secretIsGone,
  signIn,
  tabTo,
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
async function chooseByKey(page: Page, menu: string, action: string): Promise<void> {
  await press(page, menu)
  await page.waitForFunction(`document.activeElement.role === 'menuitem'`)
  while ((await focused(page)) !== action) await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
}
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

  await t.test('by keyboard: a provider for sign-in is added, changed and deleted', async (t) => {
    await page.goto(`${url}${base}/issuers`)
    await press(page, 'Add provider')
    await page.waitForSelector('dialog[open]')
    await enter(page, 'Name', 'Company login')
    await enter(page, 'Issuer', 'https://login.example/realms/northwind')
    await enter(page, 'Audience', 'counterfoil')
    await press(page, 'Read the change log', 'Space')
    await enter(page, 'More for groups', 'auditors: audit:read tokens:read')
    await enter(page, 'Client id', 'console')
    const clientSecret = randomBytes(24).toString('hex')
    recordSecret(clientSecret)
    await enter(page, 'Client secret', clientSecret)
    await enter(page, 'Scopes', 'openid email groups')
    await press(page, 'Add provider')
    await said(page, '“Company login” was saved.')
    const added = (await ask('GET', `${api}/issuers`)).body.items
    t.match(added, [
      {
        audience: 'counterfoil',
        client_id: 'console',
        has_client_secret: true,
        scope: 'openid email groups',
        default_permissions: ['tokens:own', 'audit:read'],
        group_permissions: [{ group: 'auditors', permissions: ['audit:read', 'tokens:read'] }],
      },
    ])
    await chooseByKey(page, 'Actions for Company login', 'Change')
    t.match(await textOf(page, 'dialog[open] .copyable'), added[0].redirect_uri)
    await page.keyboard.press('Escape')
    await page.waitForFunction(`!document.querySelector('dialog[open]')`)
    t.equal(await focused(page), 'Actions for Company login', 'the focus goes back')
    await chooseByKey(page, 'Actions for Company login', 'Change')
    await enter(page, 'Audience', 'console')
    await page.keyboard.press('Enter')
    await page.waitForFunction(`document.querySelector('.list.issuers').textContent.includes('console')`)
    const { client_id, has_client_secret } = (await ask('GET', `${api}/issuers`)).body.items[0]
    t.same({ client_id, has_client_secret }, { client_id: 'console', has_client_secret: true }, 'it is kept')
    await chooseByKey(page, 'Actions for Company login', 'Delete')
    await press(page, 'Delete provider')
    await said(page, 'The provider was deleted.')
    t.same((await ask('GET', `${api}/issuers`)).body.items, [])
  })

  await t.test('by keyboard: a stricter policy says which tokens break it before it is saved', async (t) => {
    await world.issue({ name: 'Hourly export', lifetime_days: 365 }, key)
    await page.goto(`${url}${base}/policy`)
    t.match(await textOf(page, '.policy'), /From the platform/)
    await enter(page, 'Longest lifetime, in days', 'ten')
    await press(page, 'Save changes')
    await page.waitForFunction(`document.activeElement.ariaInvalid === 'true'`)
    t.equal(await focused(page), 'Longest lifetime, in days', 'the focus goes to what is wrong')
    await enter(page, 'Longest lifetime, in days', '30')
    await press(page, 'Show what would break')
    t.match(await textOf(page, '.save .notice'), /tokens that break the new rules.*Hourly export/s)
    await press(page, 'If a token is reported as leaked', 'Home')
    await press(page, 'Save changes')
    await said(page, 'Changes saved.')
    await page.waitForSelector('.policy .source.own')
    t.equal(await focused(page), 'Save changes', 'the focus stays')
    const { policy, sources } = (await ask('GET', `${api}/policy`)).body
    t.match(policy, { lifetime: { maximum_days: 30 }, on_leak: 'notify' })
    t.match(sources, { 'lifetime.maximum_days': 'organization', 'name.unique': 'platform' })
    const rules = Object.keys(sources).sort()
    const shown = await page.$$eval('.policy [name]', (fields) =>
      fields.map((one) => one.getAttribute('name')),
    )
    t.same(shown.sort(), rules, 'every rule is on the screen')
    await tabTo(page, 'Longest lifetime, in days')
    await press(page, 'Use the platform’s value')
    await press(page, 'Save changes')
    await page.waitForFunction(`document.querySelector('[name="lifetime.maximum_days"]')?.value !== '30'`)
    t.equal((await ask('GET', `${api}/policy`)).body.sources['lifetime.maximum_days'], 'platform')
  })

  await t.test(
    'by keyboard: a webhook shows its secret once, and what became of what was sent to it',
    async (t) => {
      let answer = 204
      const receiver = await startReceiver(t, (_, response) => response.writeHead(answer).end())
      await page.goto(`${url}${base}/webhooks`)
      await press(page, 'Add webhook')
      await page.waitForSelector('form.narrow')
      await enter(page, 'URL', 'ftp://example.com')
      await press(page, 'All events, including new ones of later versions', 'ArrowDown')
      await press(page, 'A token was created', 'Space')
      await press(page, 'Add webhook')
      await page.waitForFunction(`document.activeElement.name === 'url'`)
      t.match(await textOf(page, 'form.narrow .wrong'), /http or https URL/)
      await enter(page, 'URL', `${receiver.url}/events`)
      await page.keyboard.press('Enter')
      await page.waitForSelector('#secret')
      await press(page, 'Copy Signing secret')
      await page.waitForSelector('.secret .copy.copied')
      const secret = await clipboard(page)
      recordSecret(secret)
      await press(page, 'I have given the secret to the receiver', 'Space')
      await press(page, 'Done')
      t.match(await textOf(page, '.empty'), /No deliveries yet/)
      await secretIsGone(t, page, secret)

      await press(page, 'Send a test event')
      await said(page, 'A test event is on its way.')
      await world.dispatcher.flush()
      await page.waitForSelector('.deliveries .pill.active')
      t.match(await textOf(page, '.deliveries tbody'), /Delivered\s+204\s+\d+ ms\s+1/)
      t.ok(receiver.messages[0] && verifies(receiver.messages[0], secret), 'signed with the secret shown')

      answer = 500
      await world.issue({ name: 'Told about', lifetime_days: 20 }, key)
      await world.dispatcher.flush()
      await press(page, 'Refresh')
      await page.waitForFunction(`document.querySelector('.deliveries tbody')?.innerText.includes('500')`)
      await press(page, 'Waiting')
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
      await press(page, 'Delivered')
      await chooseByKey(page, 'Actions for the delivery of webhook.test', 'Send again')
      await said(page, 'It is sent again.')
      await world.dispatcher.flush()
      const ids = receiver.messages.map(({ headers }) => headers['webhook-id'])
      t.ok(ids.lastIndexOf(ids[0]) > 0, 'the same message arrived again')

      await press(page, 'Send a period again')
      await page.waitForSelector('dialog[open]')
      await page.$eval('input[name=since]', (field) => Object.assign(field, { value: '2020-01-01T00:00' }))
      await press(page, 'Which deliveries', 'End')
      await press(page, 'Send again')
      await said(page, 'sent again')

      await press(page, 'Pause')
      t.match(await textOf(page, '.notice.info'), /is paused/)
      await press(page, 'Resume')
      await said(page, 'The webhook is active.')
      await press(page, 'Change')
      await page.waitForSelector('dialog[open]')
      t.ok(await page.$('input[name=events][value="token.created"]:checked'))
      await enter(page, 'Description', 'Ticket system')
      await page.keyboard.press('Enter')
      await said(page, 'Changes saved.')
      t.equal(await focused(page), 'Change', 'the focus goes back')
      await press(page, 'Replace secret')
      await page.waitForSelector('dialog[open]')
      await press(page, 'Replace secret')
      await page.waitForSelector('#secret')
      recordSecret(await page.$eval('#secret', (field) => (field as { value?: string }).value ?? ''))
      await press(page, 'I have given the secret to the receiver', 'Space')
      await press(page, 'Done')
      t.match(await textOf(page, '.notice.info'), /signed with the previous secret too/)
      const { body } = await ask('GET', `${api}/webhooks`)
      t.match(body.items, [{ description: 'Ticket system', events: ['token.created'] }])
      await press(page, 'Delete')
      await press(page, 'Delete webhook')
      await page.waitForSelector('.empty')
      t.same((await ask('GET', `${api}/webhooks`)).body.items, [])
    },
  )

  await t.test('by keyboard: an import is previewed line by line, and then done', async (t) => {
    const hash = (secret: string) => createHash('sha256').update(secret).digest('hex')
    const expires_at = new Date(world.clock.now.getTime() + 30 * day)
    const line = (name: string, type = 'api') =>
      JSON.stringify({ sha256: hash(`secret of ${name}`), type, name, expires_at })
    await page.goto(`${url}${base}/import`)
    await page.waitForSelector('textarea')
    await enter(page, 'Lines', line('Pasted'))
    await press(page, 'Preview')
    await page.waitForSelector('.results tbody tr')
    t.match(await textOf(page, '.results tbody'), /1\s+Pasted\s+New/)
    t.same((await ask('GET', `${api}/tokens?name=Pasted`)).body.items, [], 'the preview imports nothing')

    const file = join(t.testdir(), 'tokens.ndjson')
    const many = Array.from({ length: 600 }, (_, n) => line(`Import ${n}`))
    await writeFile(file, [line('Typo', 'apj'), ...many].join('\n'))
    const [chooser] = await Promise.all([page.waitForFileChooser(), page.click('input[type=file]')])
    await chooser.accept([file])
    await page.waitForFunction(`!document.querySelector('.results')`)
    await press(page, 'Preview')
    await press(page, 'Import 600 tokens')
    await said(page, '600 tokens were imported.')
    await press(page, 'Invalid1')
    await page.waitForFunction(`document.querySelectorAll('.results tbody tr').length === 1`)
    t.match(await textOf(page, '.results tbody'), /1\s+Typo\s+Invalid\s+.*apj is not a token type/s)
    t.equal((await ask('GET', `${api}/tokens/counts`)).body.active.count, 602)
    await press(page, 'Show the tokens')
    await page.waitForSelector('.list.tokens')
  })

  await t.test('by keyboard: a leak report names the token and where it was found', async (t) => {
    const { secret } = await world.issue({ name: 'Leaky', lifetime_days: 20 }, key)
    await ask('POST', '/v1/leaks', { body: { secret, source: 'scan', url: 'https://git.example/.env' } })
    await page.goto(`${url}${base}/leaks`)
    await press(page, 'Leaky')
    t.match(await textOf(page, '.facts'), /in use.*Reported.*scan.*https:\/\/git\.example\/\.env/s)
    await press(page, 'All reports about this token')
    t.match(await textOf(page, '.lead'), /Reports about “Leaky”/)
    await page.goBack()
    await press(page, 'Open the token')
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

  await t.test('by keyboard: the session of another browser is ended', async (t) => {
    const other = await openPage(browser, url)
    await signIn(
      other.page,
      url,
      await world.manager(['tokens:read'], 'platform', { name: 'Visitor', lifetime_days: 30 }),
    )
    await page.goto(`${url}/console/sessions`)
    t.equal(await textOf(page, '.sessions .pill.active'), 'This session')
    await press(page, 'End session of Visitor')
    await page.waitForSelector('dialog[open]')
    await press(page, 'End session')
    await said(page, 'The session has ended.')
    await other.page.click('.tabs a:nth-child(2)')
    await other.page.waitForSelector('.sign-in')
    await other.page.browserContext().close()
  })

  await t.test('nothing was requested from elsewhere, and nothing failed or broke the policy', async (t) => {
    passes(t, watched, [/status of 4(00|22)/])
  })
}
