import type { Page } from 'puppeteer-core'
import type { World } from '../support/world.ts'

export type ScreenShown = {
  name: string
  path: string
  /** What has to be there before the screen is looked at. */
  ready: string
  act?(page: Page): Promise<void>
}

/** Every screen of the console, with what is shown only after an action. */
export async function screensOf(world: World): Promise<ScreenShown[]> {
  const { body } = await world.ask('GET', '/v1/organizations/default/tokens?search=Okta')
  const okta = `/console/organizations/default/tokens/${body.items[0].id}`
  const tokens = '/console/organizations/default/tokens'
  return [
    { name: 'tokens', path: tokens, ready: 'tbody:not(.skeleton) tr' },
    { name: 'tokens-expired', path: `${tokens}?status=expired`, ready: 'tbody:not(.skeleton) tr' },
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
    { name: 'overview', path: '/console/organizations/default/overview', ready: '.card' },
    { name: 'owners', path: '/console/organizations/default/owners', ready: 'tbody:not(.skeleton) tr' },
    { name: 'owner', path: '/console/organizations/default/owners/u-4711', ready: 'tbody tr' },
    { name: 'policy', path: '/console/organizations/default/policy', ready: '.policy' },
    { name: 'types', path: '/console/organizations/default/types', ready: 'tbody:not(.skeleton) tr' },
    { name: 'issuers', path: '/console/organizations/default/issuers', ready: '.empty' },
    { name: 'log', path: '/console/organizations/default/log', ready: '.changes li' },
    { name: 'organizations', path: '/console/organizations', ready: 'tbody:not(.skeleton) tr' },
    { name: 'keys', path: '/console/keys', ready: 'tbody:not(.skeleton) tr' },
    { name: 'sessions', path: '/console/sessions', ready: 'tbody:not(.skeleton) tr' },
  ]
}
