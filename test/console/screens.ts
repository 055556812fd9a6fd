import { createHash } from 'node:crypto'
import type { Page } from 'puppeteer-core'
import { day, type World } from '../support/world.ts'
import { choose } from './browser.ts'

export type ScreenShown = {
  name: string
  path: string
  /** What has to be there before the screen is looked at. */
  ready: string
  /** What tells apart how long tokens are still good, by the class of its pill. */
  pills?: Record<string, string>
  act?(page: Page): Promise<void>
}

/** Every screen of the console, with what is shown only after an action. */
export async function screensOf(world: World): Promise<ScreenShown[]> {
  const { body } = await world.ask('GET', '/v1/organizations/default/tokens?search=Okta')
  const okta = `/console/organizations/default/tokens/${body.items[0].id}`
  const base = '/console/organizations/default'
  const tokens = `${base}/tokens`
  const [good, bad] = (await world.ask('GET', '/v1/organizations/default/webhooks')).body.items
  const leak = (await world.ask('GET', '/v1/organizations/default/leaks')).body.items[0]
  return [
    {
      name: 'tokens',
      path: tokens,
      ready: 'tbody:not(.skeleton) tr',
      pills: { ok: '26 days', warning: '4 days', imminent: 'Less than 24 hours' },
    },
    {
      name: 'tokens-expired',
      path: `${tokens}?status=expired`,
      ready: 'tbody:not(.skeleton) tr',
      pills: { expired: 'Expired' },
    },
    { name: 'tokens-none', path: `${tokens}?search=nothing-has-this-name`, ready: '.empty' },
    {
      name: 'tokens-menu',
      path: tokens,
      ready: 'tbody:not(.skeleton) tr',
      act: async (page) => {
        await page.locator('tbody tr:nth-child(2) [aria-haspopup=menu]').click()
        await page.waitForSelector('[role=menuitem]')
      },
    },
    { name: 'create', path: `${tokens}/new`, ready: '.create' },
    {
      name: 'create-typed',
      path: `${tokens}/new`,
      ready: '.create',
      act: async (page) => {
        await page.locator('input[name=name]').fill('Okta SCIM connector')
        await page.locator('input[value=scim]').click()
        await page.select('select[name=lifetime_days]', 'custom')
        await page.locator('input[name=custom]').fill('5000')
        await page.waitForSelector('.summary .notice')
      },
    },
    {
      name: 'reveal',
      path: `${tokens}/new`,
      ready: '.create',
      act: async (page) => {
        await page.locator('input[name=name]').fill('Billing export')
        await page.locator('.create button[type=submit]').click()
        await page.waitForSelector('#secret')
      },
    },
    { name: 'token', path: okta, ready: '.timeline' },
    { name: 'rotate', path: `${okta}?do=rotate`, ready: 'dialog[open] select' },
    { name: 'revoke', path: `${okta}?do=revoke`, ready: 'dialog[open] input' },
    { name: 'delete', path: `${okta}?do=delete`, ready: 'dialog[open] button' },
    { name: 'overview', path: `${base}/overview`, ready: '.card' },
    { name: 'owners', path: `${base}/owners`, ready: 'tbody:not(.skeleton) tr' },
    { name: 'owner', path: `${base}/owners/u-4711`, ready: 'tbody tr' },
    { name: 'policy', path: `${base}/policy`, ready: '.policy' },
    { name: 'types', path: `${base}/types`, ready: 'tbody:not(.skeleton) tr' },
    {
      name: 'type',
      path: `${base}/types`,
      ready: 'tbody:not(.skeleton) tr',
      act: (page) => choose(page, 'Actions for user-management', 'Change'),
    },
    { name: 'issuers', path: `${base}/issuers`, ready: 'tbody:not(.skeleton) tr' },
    {
      name: 'issuer',
      path: `${base}/issuers`,
      ready: 'tbody:not(.skeleton) tr',
      act: (page) => choose(page, 'Actions for Company login', 'Change'),
    },
    { name: 'webhooks', path: `${base}/webhooks`, ready: 'tbody:not(.skeleton) tr' },
    {
      name: 'webhook-new',
      path: `${base}/webhooks/new`,
      ready: 'form.narrow',
      act: (page) => page.click('input[name=some][value=true]'),
    },
    { name: 'webhook', path: `${base}/webhooks/${good.id}`, ready: '.deliveries tbody:not(.skeleton) tr' },
    {
      name: 'webhook-failing',
      path: `${base}/webhooks/${bad.id}?status=pending`,
      ready: '.deliveries tbody:not(.skeleton) tr',
    },
    { name: 'webhook-change', path: `${base}/webhooks/${bad.id}?do=change`, ready: 'dialog[open] form' },
    { name: 'webhook-rotate', path: `${base}/webhooks/${good.id}?do=rotate`, ready: 'dialog[open] form' },
    { name: 'leaks', path: `${base}/leaks`, ready: 'tbody:not(.skeleton) tr' },
    { name: 'leak', path: `${base}/leaks/${leak.id}`, ready: '.facts' },
    { name: 'import', path: `${base}/import`, ready: 'textarea' },
    {
      name: 'import-preview',
      path: `${base}/import`,
      ready: 'textarea',
      act: async (page) => {
        const expires_at = new Date(world.clock.now.getTime() + 200 * day)
        const line = (name: string, type: string) =>
          JSON.stringify({
            expires_at,
            sha256: createHash('sha256').update(`secret of ${name}`).digest('hex'),
            type,
            name,
          })
        const lines = [line('Nightly report', 'api'), line('Old assistant', 'mcp'), line('Typo', 'apj')]
        await page.type('textarea', lines.join('\n'))
        await page.click('main form button[type=submit]')
        await page.waitForSelector('.results tbody tr')
      },
    },
    { name: 'log', path: `${base}/log`, ready: '.changes li' },
    { name: 'organizations', path: '/console/organizations', ready: 'tbody:not(.skeleton) tr' },
    { name: 'keys', path: '/console/keys', ready: 'tbody:not(.skeleton) tr' },
    { name: 'sessions', path: '/console/sessions', ready: 'tbody:not(.skeleton) tr' },
  ]
}
