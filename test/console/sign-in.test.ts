// Signing in at an OpenID provider, as a person does in a browser, and signing out of both.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Page } from 'puppeteer-core'
import t from 'tap'
import { startProvider } from '../issuers/provider.ts'
import { createTrustingWorld } from '../issuers/trust.ts'
import { serve } from '../outbound/server.ts'
import { trustForConsole } from '../sessions/openid.ts'
import type { World } from '../support/world.ts'
import { launch, openPage, skip } from './browser.ts'

const folder = process.env.SCREENSHOTS
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

t.test('sign-in at a provider', { skip }, async (t) => {
  // The service has to know its address before it starts.
  let world: World | undefined
  const { url } = await serve(t, (request, response) => world?.app.routing(request, response))
  world = await createTrustingWorld(t, { issuer: url })
  const provider = await startProvider(t)
  const admins = [{ group: 'admins', permissions: ['tokens:read', 'tokens:write', 'policy:read'] }]
  await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
  await trustForConsole(world, provider, {
    organization: 'acme',
    name: 'Acme single sign-on',
    group_permissions: admins,
    publicUrl: url,
  })
  await world.issue({ name: 'Okta SCIM connector', type: 'scim' }, 'acme')
  provider.account('ada', { email: 'ada@example.com', email_verified: true, groups: ['admins'] })
  const { page, errors } = await openPage(await launch(t), url)
  const tokens = `${url}/console/organizations/acme/tokens`
  const source = await readFile(axe, 'utf8')

  const check = async (name: string) => {
    await page.evaluate(source)
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }])
      t.same(
        await page.evaluate('axe.run(document).then(({ violations }) => violations.map(({ id }) => id))'),
        [],
        `${name}, ${theme}`,
      )
      for (const width of [360, 1440]) {
        await page.setViewport({ width, height: 900 })
        t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, `${name} fits`)
        if (folder)
          await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`) as `${string}.png` })
      }
    }
  }

  await page.goto(`${tokens}?search=okta`)
  await page.locator('input[name=organization]').fill('nobody')
  await page.keyboard.press('Enter')
  await page.waitForSelector('input[name=organization][aria-invalid=true]')
  await check('sign-in-unknown')
  await page.locator('input[name=organization]').fill('acme')
  await page.keyboard.press('Enter')
  await page.waitForSelector('.providers > button')
  await check('sign-in-providers')
  t.match(await textOf(page, '.providers > button'), 'Continue with Acme single sign-on')

  await page.click('.providers > button')
  await page.waitForSelector('input[name=login]')
  t.equal(new URL(page.url()).origin, provider.issuer)
  await Promise.all([page.waitForNavigation(), page.click('a[href$="/abort"]')])
  await page.waitForSelector('.sign-in .notice')
  t.match(await textOf(page, '.sign-in .notice'), /was cancelled/)
  await check('sign-in-cancelled')

  await page.goto(`${tokens}?search=okta`)
  await page.waitForSelector('.providers > button')
  t.match(await textOf(page, '.providers > button'), 'Acme', 'the browser remembers the organization')
  await page.click('.providers > button')
  await page.locator('input[name=login]').fill('ada')
  await page.type('input[name=password]', 'any')
  await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')])
  await Promise.all([page.waitForNavigation(), page.click('button[type=submit]')])
  await page.waitForSelector('tbody:not(.skeleton) tr')
  t.equal(page.url(), `${tokens}?search=okta`, 'the page that was asked for')
  t.match(await textOf(page, 'tbody'), /Okta SCIM connector/)
  t.match(await textOf(page, '.side'), /ada@example\.com/)

  const endSession = () => world?.sql('delete from sessions')
  await endSession()
  await page.reload()
  await page.waitForSelector('.providers > button')
  t.equal(page.url(), `${tokens}?search=okta`, 'a session that ends at once leads to the sign-in screen')
  await page.evaluate(
    `sessionStorage.setItem('counterfoil.sign-in', sessionStorage.getItem('counterfoil.sign-in').replace(/"at":\\d+/, '"at":0'))`,
  )
  await page.reload()
  await page.waitForSelector('tbody:not(.skeleton) tr')
  t.equal(page.url(), `${tokens}?search=okta`, 'later it leads through the provider, without a question')

  await page.goto(`${url}/console/sign-in?organization=acme`)
  await page.waitForSelector('tbody:not(.skeleton) tr')
  t.equal(new URL(page.url()).pathname, '/console/', 'who is signed in does not see the sign-in')

  await Promise.all([
    page.waitForNavigation(),
    page.evaluate(
      `[...document.querySelectorAll('.side button')].find((one) => one.textContent === 'Sign out').click()`,
    ),
  ])
  await page.waitForSelector('button[name=logout]')
  await Promise.all([page.waitForNavigation(), page.click('button[name=logout]')])
  await page.waitForSelector('.sign-in .providers')
  t.equal(page.url(), `${url}/console/`, 'the provider leads back')
  t.same(
    errors.filter((error) => !error.startsWith('Failed to load resource')),
    [],
    'no page breaks its policy; the pages of the provider lack fonts here',
  )
})

async function textOf(page: Page, selector: string): Promise<string> {
  return page.$eval(selector, (element) => (element as { innerText?: string }).innerText ?? '')
}
