// What a person does with tokens, with mouse and keyboard, against the real service.
import type { Page } from 'puppeteer-core'
import type { Test } from 'tap'
import { createSignInLink } from '../../src/sessions/sessions.ts'
import { Secret } from '../../src/shared/secret.ts'
import { recordSecret } from '../support/records.ts'
import { day, type World } from '../support/world.ts'
import {
  type Console,
  choose,
  clickText,
  clipboard,
  focused,
  helpOf,
  openPage,
  passes,
  press,
  replaceText,
  secretIsGone,
  signIn,
  tabTo,
  textOf,
} from './browser.ts'

const organization = 'stories'
const tokens = `/console/organizations/${organization}/tokens`

/** From now on, what the page does later runs when the test calls it. Preact renders with timers without a delay. */
const holdTimers = `{
  window.heldTimers = new Map()
  const start = window.setTimeout
  let last = 1_000_000
  window.setTimeout = (call, delay = 0) => {
    if (delay < 100) return start(call, delay)
    heldTimers.set(++last, call)
    return last
  }
  const clear = window.clearTimeout
  window.clearTimeout = (id) => heldTimers.delete(id) || clear(id)
}`

export async function tokenStories(t: Test, { world, url, browser }: Console): Promise<void> {
  const watched = await openPage(browser, url)
  const { page } = watched
  const endpoint = 'https://scim.example.com/v2'
  await world.ask('POST', '/v1/organizations', { body: { key: organization, name: 'Stories' } })
  await world.ask('PATCH', '/v1/token-types/scim', { body: { endpoint } })
  await signIn(page, url, world.admin)

  await t.test('an empty list says what to do first, and leads to the form', async (t) => {
    await page.goto(`${url}${tokens}`)
    t.match(await textOf(page, '.empty'), /No active tokens yet/)
    await page.click('.empty .primary')
    await page.waitForSelector('.create')
    t.equal(new URL(page.url()).pathname, `${tokens}/new`)
  })

  await t.test('by mouse: create, copy, leave; nothing keeps the secret', async (t) => {
    await page.type('input[name=name]', 'Okta SCIM connector')
    await page.click('input[value=scim]')
    await page.select('select[name=lifetime_days]', 'custom')
    await replaceText(page, 'input[name=custom]', '90')
    t.match(
      await textOf(page, '.lifetime .help'),
      /^Stops working on \w+day, .*\d{4}.*UTC/,
      'the date is computed',
    )
    t.match(await textOf(page, '.summary'), endpoint, 'where tokens of the type are used')
    await page.click('.create button[type=submit]')
    await page.waitForSelector('#secret')
    t.equal(await page.$eval('#secret', (field) => field.getAttribute('type')), 'password', 'it is masked')
    await page.click('.secret .copy')
    await page.waitForSelector('.secret .copy.copied')
    t.equal(await textOf(page, '[role=status]'), 'Copied', 'which screen readers say')
    const secret = await clipboard(page)
    recordSecret(secret)
    t.match(await world.introspect(secret), { active: true, token_name: 'Okta SCIM connector', type: 'scim' })

    await page.click('.facts .copy')
    await page.waitForSelector('.facts .copy.copied')
    t.equal(await clipboard(page), endpoint)
    await page.click('.code .copy')
    await page.waitForSelector('.code .copy.copied')
    t.equal(
      await clipboard(page),
      `curl ${url}/v1/self -H 'Authorization: Bearer ${secret}'`,
      'the line to try it',
    )
    t.notOk((await textOf(page, 'main')).includes(secret), 'the line shows no secret while it is masked')
    await page.click('.secret [aria-pressed]')
    t.ok((await textOf(page, 'main')).includes(secret), 'it is shown on request')

    t.ok(await page.$eval('.reveal .buttons .primary', (button) => button.hasAttribute('disabled')))
    await page.goBack()
    await page.waitForSelector('dialog[open]')
    t.match(await textOf(page, 'dialog[open]'), /Leave without storing the token\?/)
    await clickText(page, 'dialog[open] button', 'Cancel')
    await page.waitForSelector('#secret')
    await page.click('.stored input')
    await page.click('.reveal .buttons .primary')
    await page.waitForSelector('.timeline')
    t.match(await textOf(page, '.summary'), endpoint)
    await secretIsGone(t, page, secret)
    await page.goBack()
    await page.waitForSelector('.create, .list, .empty')
    await secretIsGone(t, page, secret)
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await secretIsGone(t, page, secret)
    t.match(await textOf(page, 'thead'), /Name.*Type.*Owner.*Token.*Created.*Expires.*Last used/s)
    t.match(await textOf(page, 'tbody'), /Okta SCIM connector.*scim_.{4}….{4}.*90 days.*/s)
    await page.click('tbody .copy')
    await page.waitForSelector('tbody .copy.copied')
    t.match(await clipboard(page), /^scim_.{4}….{4}$/)
  })

  await t.test('a refusal names the field, and keeps what was typed', async (t) => {
    await world.ask('PATCH', `/v1/organizations/${organization}/policy`, {
      body: { name: { minimum_length: 8 } },
    })
    await page.goto(`${url}${tokens}/new`)
    await page.waitForSelector('.create')
    await page.type('input[name=name]', 'Short')
    await page.type('textarea[name=comment]', 'CHG-1042')
    await page.waitForSelector('input[name=name][aria-invalid=true]')
    await page.click('.create button[type=submit]')
    await page.waitForFunction(`document.activeElement.name === 'name'`)
    t.match(await helpOf(page, 'name'), /8 characters/)
    t.equal(
      await page.$eval('textarea[name=comment]', (field) => (field as { value?: string }).value),
      'CHG-1042',
    )
    await world.ask('PATCH', `/v1/organizations/${organization}/policy`, {
      body: { name: { minimum_length: null } },
    })
  })

  await t.test(
    '“No expiration” is a choice where the policy allows it, with the advice not to',
    async (t) => {
      await page.goto(`${url}${tokens}/new`)
      await page.locator('input[name=name]').fill('For ever')
      await press(page, 'Validity', 'End')
      t.equal(await page.$eval('option:checked', (one) => one.textContent), 'No expiration')
      t.match(await helpOf(page, 'lifetime_days'), /works until it is revoked.*expires is safer/)
      t.match(await textOf(page, '.summary'), /Expires\s+Never/)
      await page.click('.create button[type=submit]:not([disabled])')
      await page.waitForSelector('#secret')
      recordSecret(await page.$eval('#secret', (field) => (field as { value?: string }).value ?? ''))
      await page.click('.stored input')
      await page.click('.reveal .buttons .primary')
      t.match(await textOf(page, '.summary'), /Expires\s+Never/)
      await page.goto(`${url}${tokens}?search=For+ever`)
      t.equal(await textOf(page, 'tbody .pill.never'), 'Never')
    },
  )

  await t.test('a lifetime that the policy reduces is shown before it is saved', async (t) => {
    const limits = { maximum_days: 3652, on_too_long: 'reduce', allow_no_expiry: false }
    await world.ask('PATCH', `/v1/organizations/${organization}/policy`, { body: { lifetime: limits } })
    await page.goto(`${url}${tokens}/new`)
    await page.waitForSelector('.create')
    await page.type('input[name=name]', 'Too long')
    await page.select('select[name=lifetime_days]', 'custom')
    await replaceText(page, 'input[name=custom]', '5000')
    await page.waitForSelector('.summary .notice.warning')
    const offered = await page.$$eval('select[name=lifetime_days] option', (all) =>
      all.map((one) => one.textContent),
    )
    t.notOk(offered.includes('No expiration'), 'where the policy does not allow it, it is no choice')
    const year = new Date(world.clock.now.getTime() + 3652 * 86_400_000).getUTCFullYear()
    t.match(await textOf(page, '.lifetime .help'), new RegExp(`${year}`))
  })

  await t.test('the curl line does the same as the form', async (t) => {
    await page.click('.fields details summary')
    await page.type('input[name=owner]', 'u-4711')
    await page.type('input[name="owner.email"]', 'ada@example.com')
    await page.type('textarea[name=allowed_cidrs]', '192.0.2.0/24')
    await page.click('.summary details summary')
    const line = await textOf(page, '.summary pre')
    const [, body = ''] = /-d '(.*)'/s.exec(line) ?? []
    t.match(line, `curl ${url}/v1/organizations/${organization}/tokens`)
    const made = await world.ask('POST', `/v1/organizations/${organization}/tokens`, {
      body: JSON.parse(body),
    })
    const owner = { subject: 'u-4711', email: 'ada@example.com' }
    t.match(made, { status: 201, body: { name: 'Too long', owner, allowed_cidrs: ['192.0.2.0/24'] } })
  })

  await t.test('the form says how many tokens are left', async (t) => {
    const limit = async (active_per_organization: number | null) =>
      world.ask('PATCH', `/v1/organizations/${organization}/policy`, {
        body: { limits: { active_per_organization }, name: { required: active_per_organization === null } },
      })
    const { count } = (await world.ask('GET', `/v1/organizations/${organization}/tokens/counts`)).body.active
    await limit(count + 2)
    await page.goto(`${url}${tokens}/new`)
    t.match(await textOf(page, '.summary'), `2 of ${count + 2} tokens`)
    t.match(
      await helpOf(page, 'name'),
      /Without a name, the token gets one/,
      'where the policy requires none',
    )
    await limit(count)
    await page.reload()
    t.match(await textOf(page, '.notice'), /cannot create tokens here.*active tokens/s)
    t.notOk(await page.$('.create'), 'there is no form that would be rejected')
    await limit(null)
  })

  await t.test('tokens that were never used, or not for long, can be found', async (t) => {
    for (const [name, days] of [
      ['Used today', 0],
      ['Used in spring', 120],
    ] as const) {
      const { secret, id } = await world.issue({ name, lifetime_days: 365 }, organization)
      t.match(await world.introspect(secret), { active: true })
      await world.usage.flush()
      await world.sql('update token_uses set last_used_at = $2 where token_id = $1', [
        id,
        new Date(world.clock.now.getTime() - days * day),
      ])
    }
    const shown = async () => {
      await page.waitForSelector('tbody:not(.skeleton) tr')
      return page.$$eval('tbody:not(.skeleton) th a', (all) => all.map((one) => one.textContent))
    }
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await press(page, 'Use', 'End')
    await page.waitForFunction(`location.search === '?unused=long'`)
    await page.waitForFunction(`document.querySelectorAll('tbody:not(.skeleton) tr').length === 1`)
    t.same(await shown(), ['Used in spring'])
    await page.goto(`${url}${tokens}?unused=never`)
    const unused = await shown()
    t.ok(unused.includes('For ever') && !unused.some((name) => name?.startsWith('Used')), unused.join())
    await page.goto(`${url}/console/organizations/${organization}/overview`)
    await page.waitForSelector('.card')
    t.match(
      await textOf(page, 'main'),
      /Never used.*created\s+(just now|\d+ minutes? ago).*Unused for 90 days.*Used in spring\s+used\s+4 months ago/s,
    )
  })

  await t.test('an expired token is deleted from the menu of its row', async (t) => {
    const { id } = await world.issue({ name: 'Long over', lifetime_days: 365 }, organization)
    await world.sql(`update tokens set expires_at = $2 where id = $1`, [
      id,
      new Date(world.clock.now.getTime() - day),
    ])
    await page.goto(`${url}${tokens}`)
    await clickText(page, '.tabs a', 'Expired1')
    await page.waitForFunction(`location.search === '?status=expired'`)
    t.equal(await textOf(page, 'tbody .pill.expired'), 'Expired')
    await choose(page, 'Actions for Long over', 'Delete')
    t.match(await textOf(page, 'dialog[open]'), /disappears from the lists.*cannot be undone/)
    await clickText(page, 'dialog[open] button', 'Delete token')
    await page.waitForFunction(`document.querySelector('[role=status]').textContent.includes('was deleted')`)
    t.match(await textOf(page, '.empty'), /No token has expired/)
    t.equal((await world.ask('GET', `/v1/organizations/${organization}/tokens/${id}`)).status, 404)
    t.equal(await focused(page), 'Tokens', 'the focus is on the heading, since its row is gone')
  })

  await t.test('the filters are in the URL, and survive a reload', async (t) => {
    await world.issue(
      { name: 'Nightly export', comment: 'for the warehouse', lifetime_days: 365 },
      organization,
    )
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.type('input[name=search]', 'warehouse')
    await page.waitForFunction(`location.search === '?search=warehouse'`)
    await page.waitForFunction(`document.querySelectorAll('tbody:not(.skeleton) tr').length === 1`)
    await page.reload()
    await page.waitForFunction(`document.querySelectorAll('tbody:not(.skeleton) tr').length === 1`)
    t.match(await textOf(page, 'tbody'), /Nightly export/)
  })

  await t.test('the list loads as one scrolls, and keeps its place', async (t) => {
    for (let first = 0; first < 160; first += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          world.issue({ name: `Many ${first + n}`, lifetime_days: 365 }, organization),
        ),
      )
    await page.goto(`${url}${tokens}?sort=name`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.waitForFunction(
      `(scrollTo(0, document.body.scrollHeight), document.body.scrollHeight > 120 * 40)`,
    )
    const before = (await page.evaluate('scrollY')) as number
    const name = (await page.evaluate(`(() => {
      const row = [...document.querySelectorAll('tbody tr a')].find((link) => link.getBoundingClientRect().top > 200)
      row.click()
      return row.textContent
    })()`)) as string
    await page.waitForSelector('.timeline')
    t.equal(await textOf(page, 'h1 .name'), name)
    await page.goBack()
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.waitForFunction(`Math.abs(scrollY - ${before}) < 2`)
    t.ok(before > 1000)
  })

  await t.test('a page of the list that fails to load is requested again only on demand', async (t) => {
    const { page } = await openPage(browser, url)
    await signIn(page, url, world.admin)
    let failed = 0
    await page.setRequestInterception(true)
    page.on('request', (request) => {
      const fails = request.url().includes('cursor=')
      if (fails) failed++
      void (fails ? request.abort() : request.continue())
    })
    await page.goto(`${url}${tokens}?sort=name`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.evaluate('scrollTo(0, document.body.scrollHeight)')
    t.match(await textOf(page, '.notice.error'), /cannot be reached/)
    // What comes into sight is noticed with each frame.
    for (let frame = 0; frame < 20; frame++) await page.evaluate('new Promise(requestAnimationFrame)')
    t.equal(failed, 1)
    await page.browserContext().close()
    await world.sql(`delete from tokens where name like 'Many %'`)
  })

  await t.test('a click anywhere on a row opens its token', async (t) => {
    await page.goto(`${url}${tokens}?search=warehouse`)
    await page.waitForFunction(`document.querySelectorAll('tbody:not(.skeleton) tr').length === 1`)
    await page.click('tbody tr td:nth-child(2)')
    t.equal(await textOf(page, 'h1 .name'), 'Nightly export')
  })

  await t.test('a filter keeps the spaces as one types, and does not follow to another screen', async (t) => {
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.type('input[name=search]', 'Nightly ')
    await page.waitForFunction(`location.search === '?search=Nightly'`)
    await page.type('input[name=search]', 'export')
    await page.waitForFunction(`location.search === '?search=Nightly+export'`)
    await page.waitForFunction(`document.querySelectorAll('tbody:not(.skeleton) tr').length === 1`)
    await page.evaluate(holdTimers)
    await page.type('input[name=search]', ' job')
    t.ok(await page.evaluate('heldTimers.size'), 'the filter waits for more')
    await page.click('tbody tr th a')
    await page.waitForSelector('.timeline')
    await page.evaluate('for (const call of heldTimers.values()) call()')
    t.equal(await page.evaluate('location.search'), '')
    await page.reload()
  })

  await t.test('the skip link moves the focus to the content', async (t) => {
    const before = page.url()
    await page.focus('.skip')
    await page.keyboard.press('Enter')
    t.equal(await page.evaluate('document.activeElement.id'), 'main')
    t.equal(page.url(), before)
  })

  await t.test('by keyboard: create a token', async () => {
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await tabTo(page, 'Create token')
    await page.keyboard.press('Enter')
    await page.waitForSelector('.create')
    await tabTo(page, 'Name')
    await page.keyboard.type('By keyboard')
    await page.keyboard.press('Enter')
    await page.waitForSelector('#secret')
    recordSecret(await page.$eval('#secret', (field) => (field as { value?: string }).value ?? ''))
    await tabTo(page, 'I have stored the token in a safe place')
    await page.keyboard.press('Space')
    await tabTo(page, 'Done')
    await page.keyboard.press('Enter')
    await page.waitForSelector('.timeline')
  })

  await t.test('by keyboard: revoke it from the menu of its row, with a reason', async (t) => {
    await page.goto(`${url}${tokens}?search=keyboard`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await tabTo(page, 'Actions for By keyboard')
    await page.keyboard.press('Enter')
    await page.waitForFunction(`document.activeElement.role === 'menuitem'`)
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    t.equal(await focused(page), 'Revoke')
    await page.keyboard.press('Enter')
    await page.waitForSelector('dialog[open]')
    t.match(await textOf(page, 'dialog[open]'), /stop working at once/, 'it says what will happen')
    await page.keyboard.press('Escape')
    await page.waitForFunction(`!document.querySelector('dialog[open]')`)
    t.equal(await focused(page), 'Actions for By keyboard', 'the focus goes back')
    await page.keyboard.press('Enter')
    await page.waitForFunction(`document.activeElement.role === 'menuitem'`)
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForSelector('dialog[open]')
    await tabTo(page, 'Reason')
    await page.keyboard.type('Not needed any more')
    await page.keyboard.press('Enter')
    await page.waitForFunction(`document.querySelector('[role=status]').textContent.includes('was revoked')`)
    const { body } = await world.ask('GET', `/v1/organizations/${organization}/tokens?search=keyboard`)
    t.match(body.items, [{ status: 'revoked', revoked_reason: 'Not needed any more' }])
    await page.goto(`${url}${tokens}?status=revoked`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    t.match(await textOf(page, 'tbody'), /By keyboard.*Revoked/s)
    const counted = /Active\s*[1-9]\d*\s*Expiring\s*\d+\s*Expired\s*0\s*Revoked\s*1\b/
    await page.waitForFunction(`${counted}.test(document.querySelector('.tabs').innerText)`)
  })

  await t.test('name and comment are changed where the token is shown', async (t) => {
    const { id } = await openToken(page, world, url, 'Nightly export')
    await replaceText(page, 'input[name=name]', 'Hourly export')
    await clickText(page, 'button', 'Save changes')
    await page.waitForFunction(`document.querySelector('h1 .name').textContent === 'Hourly export'`)
    t.equal(await textOf(page, '[role=status]'), 'Changes saved.', 'which screen readers say')
    t.match((await world.ask('GET', `/v1/organizations/${organization}/tokens/${id}`)).body, {
      name: 'Hourly export',
    })
    await page.waitForFunction(`document.querySelector('.changes')?.textContent.includes('Token updated')`)
  })

  await t.test('instants are in the zone of the browser, which is named, and in UTC', async (t) => {
    await page.emulateTimezone('Asia/Tokyo')
    await openToken(page, world, url, 'Hourly export')
    t.match(await textOf(page, '.summary'), /at \d\d:\d\d GMT\+9 \(\d\d:\d\d UTC\)/)
    await page.emulateTimezone('UTC')
  })

  await t.test('an owner is suspended, and all of their tokens are revoked', async (t) => {
    await page.goto(`${url}/console/organizations/${organization}/owners`)
    await clickText(page, 'tbody a', 'ada@example.com')
    await clickText(page, '.actions button', 'Suspend')
    await clickText(page, 'dialog[open] button', 'Suspend')
    t.match(await textOf(page, '.notice.warning'), /Suspended since/)
    await clickText(page, '.actions button', 'Revoke all tokens')
    await clickText(page, 'dialog[open] button', 'Revoke all tokens')
    await page.waitForFunction(
      `document.querySelector('[role=status]').textContent === '1 token was revoked.'`,
    )
    const { body } = await world.ask('GET', `/v1/organizations/${organization}/tokens?owner=u-4711`)
    t.match(body.items, [{ name: 'Too long', status: 'revoked' }])
  })

  await t.test('the change log has filters, and a download of what they let through', async (t) => {
    await page.goto(`${url}/console/organizations/${organization}/log`)
    await page.waitForSelector('.changes li')
    await clickText(page, 'main button', 'Show older entries')
    await page.waitForFunction(`document.querySelectorAll('.changes li').length === 100`)
    await page.select('.filters select', 'token.revoked')
    await page.waitForFunction(`location.search === '?action=token.revoked'`)
    await page.waitForFunction(`document.querySelectorAll('.changes li').length === 2`)
    t.match(await textOf(page, '.changes'), /Token revoked Too long.*Token revoked By keyboard/s)
    const lines = (await page.evaluate(
      `fetch(document.querySelector('a[download]').href).then((answer) => answer.text())`,
    )) as string
    t.match(
      lines
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
      [
        { action: 'token.revoked', target: { name: 'Too long' } },
        { action: 'token.revoked', target: { name: 'By keyboard' } },
      ],
    )
  })

  await t.test('a rotation shows the new secret once, and the previous one ends when it says', async (t) => {
    const { id, secret: previous } = await world.issue(
      { name: 'To rotate', lifetime_days: 365 },
      organization,
    )
    await page.goto(`${url}${tokens}/${id}`)
    await page.waitForSelector('.timeline')
    await clickText(page, '.actions button', 'Rotate')
    await page.waitForSelector('dialog[open] option[value="86400"]')
    await page.click('dialog[open] input[value=first_use]')
    await page.select('dialog[open] select', '3600')
    t.ok(await page.$('dialog[open] input[value=first_use]:checked'), 'the other choice stays')
    await page.click('dialog[open] input[value=now]')
    await page.select('dialog[open] select', '86400')
    t.match(await textOf(page, 'dialog[open] .field .help'), /^It stops working on /)
    await page.click('dialog[open] button[type=submit]', { count: 2 })
    await page.waitForSelector('#secret')
    const { body } = await world.ask('GET', `/v1/organizations/${organization}/tokens/${id}/secrets`)
    t.equal(body.items.length, 2, 'a double click rotates once')
    const secret = await page.$eval('#secret', (field) => (field as { value?: string }).value ?? '')
    recordSecret(secret)
    t.match(await world.introspect(secret), { active: true })
    t.match(await world.introspect(previous), { active: true })
    await page.click('.stored input')
    await page.click('.reveal .buttons .primary')
    await page.waitForSelector('.timeline .overlapping')
    await secretIsGone(t, page, secret)
    await clickText(page, '.notice button', 'End it now')
    await page.waitForSelector('dialog[open]')
    await clickText(page, 'dialog[open] button', 'End it now')
    await page.waitForFunction(`!document.querySelector('.timeline .overlapping')`)
    t.match(await world.introspect(previous), { active: false })
  })

  await t.test('a token is deleted by typing its name, where the policy says so', async (t) => {
    await world.ask('PATCH', `/v1/organizations/${organization}/policy`, {
      body: { delete: { confirm_name: true } },
    })
    const { id } = await openToken(page, world, url, 'To rotate')
    await clickText(page, '.actions button', 'Delete')
    await page.waitForSelector('dialog[open] input')
    const button = 'dialog[open] button[type=submit]'
    t.ok(await page.$eval(button, (one) => one.hasAttribute('disabled')))
    await page.type('dialog[open] input', 'To rotate')
    await page.locator(`${button}:not([disabled])`).click()
    await page.waitForSelector('.list')
    t.equal((await world.ask('GET', `/v1/organizations/${organization}/tokens/${id}`)).status, 404)
  })

  await t.test('where creation is disabled, the list stays and says why', async (t) => {
    await world.ask('PATCH', `/v1/organizations/${organization}/policy`, {
      body: { creation: { sso_users: false } },
    })
    await page.goto(`${url}${tokens}?owner=u-sso`)
    await world.sql(
      `insert into owners (organization_id, subject, identity_source, created_at, updated_at)
        select id, 'u-sso', 'sso', now(), now() from organizations where key = '${organization}' on conflict do nothing`,
    )
    await page.reload()
    await page.waitForSelector('.notice')
    t.match(await textOf(page, '.notice'), /You cannot create tokens here/)
    t.notOk(await page.$('.heading .primary'))
    await page.goto(`${url}${tokens}?status=all&owner=u-4711`)
    t.match(await textOf(page, 'tbody:not(.skeleton)'), /Too long.*ada@example\.com/s, 'the list stays')
  })

  await t.test('nothing was requested from elsewhere, and nothing failed or broke the policy', async (t) => {
    passes(t, watched, [/status of 4(00|22)/])
  })

  await t.test('the link of the start signs in once, and leaves the URL', async (t) => {
    const code = (await createSignInLink(world.db, new Secret(world.admin).hash(), world.clock.now)).reveal()
    recordSecret(code)
    const fresh = await openPage(browser, url)
    await fresh.page.goto(`${url}/console/#${code}`)
    await fresh.page.waitForSelector('.shell')
    t.equal(fresh.page.url(), `${url}/console/`)
    passes(t, fresh)
    await t.test('from there, four clicks and no key lead to a token on the clipboard', async (t) => {
      const { page } = fresh
      let clicks = 0
      const click = async (selector: string) => {
        await page.locator(selector).click()
        clicks += 1
      }
      await click('.actions .primary, .empty .primary')
      await click('.fields .link')
      await click('.create button[type=submit]:not([disabled])')
      await click('.secret .copy')
      await page.waitForSelector('.secret .copy.copied')
      const secret = await clipboard(page)
      recordSecret(secret)
      t.match(await world.introspect(secret), { active: true })
      t.equal(clicks, 4)
      passes(t, fresh)
    })
    const late = await openPage(browser, url)
    await late.page.goto(`${url}/console/#${code}`)
    await late.page.waitForSelector('.sign-in .notice')
    t.match(await textOf(late.page, '.sign-in .notice'), /was used before/)
  })

  await t.test('a session that ended leads to the sign-in, and back to the same screen', async () => {
    await page.goto(`${url}${tokens}?status=revoked`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await world.sql('delete from sessions')
    // Unless an answer that was still on its way leads there before.
    await page.evaluate(`document.querySelector('.tabs a')?.click()`)
    await page.waitForSelector('.sign-in')
    await page.type('input[name=token]', world.admin)
    await page.click('.sign-in button[type=submit]')
    await page.waitForSelector('.shell .list')
  })

  await t.test('signing out ends the session, however many others there are', async (t) => {
    await page.setViewport({ width: 1440, height: 300 })
    await page.goto(`${url}${tokens}`)
    await page.waitForSelector('tbody:not(.skeleton) tr')
    await page.evaluate('new Promise((resolve) => (addEventListener("scroll", resolve), scrollTo(0, 50)))')
    await clickText(page, '.side nav a', 'Sessions')
    await page.waitForSelector('.list.sessions')
    const { rows } = await world.sql('select id from sessions')
    t.equal(rows.length, 1)
    await world.sql(
      `insert into sessions
        (id, organization_id, hash, name, token_id, token_hash, created_at, last_seen_at, expires_at)
        select gen_random_uuid(), organization_id, sha256(n::text::bytea), name, token_id, token_hash,
          created_at + n * interval '1 millisecond', last_seen_at, expires_at
        from sessions, generate_series(1, 200) as n`,
    )
    await clickText(page, '.who button', 'Sign out')
    await page.waitForSelector('.sign-in')
    t.equal((await world.sql('select from sessions where id = $1', [rows[0].id])).rowCount, 0)
    t.equal(await page.evaluate('document.cookie'), '', 'scripts see no cookie')
  })

  await t.test('who signs in next finds nothing of who was there before', async (t) => {
    await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
    await page.type('input[name=token]', await world.manager(['tokens:read'], 'acme'))
    await page.click('.sign-in button[type=submit]')
    await page.waitForSelector('.shell')
    t.equal(await textOf(page, '.side .organization'), 'Acme')
    await page.waitForSelector('tbody:not(.skeleton) tr')
    t.notOk(await page.$('.heading .primary'), 'who may only read is not offered to create')
    await page.goto(`${url}/console/organizations/acme/policy`)
    t.match(
      await textOf(page, '.notice.error'),
      /policy:read/,
      'what one may not see says which permission it needs',
    )
    await page.goBack()
    await page.goBack()
    await page.waitForSelector('.list.sessions')
    await page.goBack()
    // Either what the service says, or the list as it was left.
    t.match(
      await textOf(page, 'main .notice.error, .list.tokens tbody:not(.skeleton)'),
      /no such organization/i,
    )
  })
}

async function openToken(page: Page, world: World, url: string, name: string): Promise<{ id: string }> {
  const { body } = await world.ask(
    'GET',
    `/v1/organizations/${organization}/tokens?name=${encodeURIComponent(name)}`,
  )
  await page.goto(`${url}${tokens}/${body.items[0].id}`)
  await page.waitForSelector('.timeline')
  return body.items[0]
}
