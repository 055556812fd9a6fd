// A list of 100,000 tokens costs the browser and the service no more than a short one.
import type { Test } from 'tap'
import { fill } from '../support/database.ts'
import { type Console, openPage, signIn, textOf } from './browser.ts'

const organization = 'large'
const tokens = `/console/organizations/${organization}/tokens`
const rowsPerPage = 50

export async function largeList(t: Test, { world, url, browser }: Console): Promise<void> {
  await world.ask('POST', '/v1/organizations', { body: { key: organization, name: 'Large' } })
  await fill(
    world.databaseUrl,
    ['tokens', 'token_secrets', 'token_uses'],
    `insert into tokens (organization_id, id, type, name, scopes, audience, metadata, created_at, created_by, updated_at)
      select organizations.id, gen_random_uuid(), 'api', 'Token ' || lpad(i::text, 6, '0'), '{}', '{}', '{}', at,
        '{"type": "token", "id": "1", "name": "Import"}', at
      from generate_series(1, 100000) i join organizations on key = '${organization}',
        lateral (select timestamptz '${world.clock.now.toISOString()}' as at);
    create temporary table made as
      select tokens.* from tokens join organizations on organizations.id = organization_id where key = '${organization}';
    insert into token_uses (organization_id, token_id) select organization_id, id from made;
    insert into token_secrets (hash, organization_id, token_id, hint, created_at)
      select sha256(id::text::bytea), organization_id, id, 'api_', created_at from made`,
  )
  // As autovacuum does after so many rows.
  await world.sql('analyze tokens, token_secrets')
  const { page } = await openPage(browser, url)
  await signIn(page, url, world.admin)
  const requested: string[] = []
  page.on('request', (request) => {
    if (request.url().includes('/v1/')) requested.push(new URL(request.url()).pathname)
  })
  await page.goto(`${url}${tokens}?sort=name`)
  await page.waitForSelector('tbody:not(.skeleton) tr')
  const rows = () => page.$$eval('tbody:not(.skeleton) tr', (all) => all.length)
  const read = () => page.$$eval('.tokens tbody:not(.skeleton)', (all) => all.length)

  await t.test('only the rows near the window are in the document', async (t) => {
    const before = requested.filter((path) => path.endsWith('/tokens')).length
    const most = 20
    for (let pages = await read(); pages < most; pages = await read()) {
      t.ok((await rows()) <= 5 * rowsPerPage, `${pages} pages were read`)
      await page.evaluate('scrollTo(0, document.body.scrollHeight)')
      await page.waitForFunction(
        `document.querySelectorAll('.tokens tbody:not(.skeleton)').length > ${pages}`,
      )
    }
    t.ok((await rows()) <= 5 * rowsPerPage)
    const asked = requested.filter((path) => path.endsWith('/tokens')).length
    t.ok(asked - before <= (await read()), 'one request for each page')
  })

  await t.test('the place is kept, with its rows, and rows know which they are', async (t) => {
    await page.evaluate(`scrollTo(0, ${rowsPerPage} * 40 * 8)`)
    const at = (await page.evaluate('scrollY')) as number
    const inSight = `[...document.querySelectorAll('.tokens tbody tr a')].find((link) => {
      const { top } = link.getBoundingClientRect()
      return top > 200 && top < 300
    })`
    await page.waitForFunction(inSight)
    const name = (await page.evaluate(`${inSight}.textContent`)) as string
    const row = Number(await page.evaluate(`${inSight}.closest('tr').ariaRowIndex`))
    t.equal(name, `Token ${String(row - 1).padStart(6, '0')}`)
    await page.evaluate(`${inSight}.click()`)
    t.equal(await textOf(page, 'h1 .name'), name)
    await page.goBack()
    await page.waitForFunction(`${inSight}?.textContent === ${JSON.stringify(name)}`)
    t.equal(await page.evaluate('scrollY'), at)
  })

  await t.test('what has the focus stays in the document', async (t) => {
    await page.evaluate(`[...document.querySelectorAll('.tokens tbody tr a')].at(-1).focus()`)
    const name = await page.evaluate('document.activeElement.textContent')
    await page.evaluate('scrollTo(0, 0)')
    await page.waitForFunction(`document.querySelector('.tokens tbody tr a').textContent === 'Token 000001'`)
    t.equal(await page.evaluate('document.activeElement.textContent'), name)
  })
  await page.browserContext().close()
}
