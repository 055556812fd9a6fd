import type { Page } from 'puppeteer-core'
import t from 'tap'
import { launch, skip } from '../console/browser.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

// Only for steps that never happen: a busy machine may take long.
const timeout = 120_000

t.test('the reference creates, introspects and revokes a token by clicks', { skip }, async (t) => {
  const world = await createWorld(t)
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await launch(t)
  const page = await browser.newPage()
  page.setDefaultTimeout(timeout)
  const foreign: string[] = []
  page.on('request', (request) => {
    if (!/^data:/.test(request.url()) && new URL(request.url()).origin !== url) foreign.push(request.url())
  })
  const errors: string[] = []
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
  page.on('pageerror', (error) => errors.push(String(error)))

  await page.goto(`${url}/docs/`)
  await authorize(page, world.admin)
  const created = await execute(page, 'createToken')
  t.equal(created.status, 201)
  const { id, secret } = JSON.parse(created.text)
  recordSecret(secret)
  const introspected = await execute(page, 'introspect', secret)
  t.equal(introspected.sent, `token=${secret}`, 'no optional field is sent')
  t.match(JSON.parse(introspected.text), { active: true, jti: id })
  const listed = await execute(page, 'listTokens')
  t.match(JSON.parse(listed.text).items, [{ id }], 'no optional parameter hides the token')
  const revoked = await execute(page, 'revokeBySecret', secret)
  t.equal(revoked.sent, `token=${secret}`, 'no optional field is sent')
  t.equal(revoked.status, 200)

  // Links open another tab: the address of this one is enough.
  const guides = await page.$eval('a[href$="/docs/guides/"]', (link) => link.getAttribute('href'))
  await page.goto(new URL(guides ?? '', page.url()).href)
  const follow = async (href: string) =>
    Promise.all([page.waitForNavigation(), page.locator(`main a[href="${href}"]`).click()])
  await follow('integrating.md')
  await follow('gateways/README.md')
  await follow('../resource-servers.md')
  t.equal(
    await page.$eval('h1', (title) => title.textContent),
    'Limit what a resource server sees and where a token works',
  )
  const font = await page.evaluate('getComputedStyle(document.body).fontFamily')
  t.match(font, /system-ui/, 'the style is applied')

  t.same(foreign, [], 'nothing is requested from other hosts')
  t.same(errors, [], 'nothing fails in the page')
})

async function authorize(page: Page, token: string): Promise<void> {
  await page.locator('.btn.authorize').click()
  await paste(page, '#auth-bearer-value', token)
  await page.locator('.auth-container:has(#auth-bearer-value) button[type=submit]').click()
  await page.locator('.btn-done').click()
}

/** The page draws all operations again for each key that is pressed. */
async function paste(page: Page, selector: string, text: string): Promise<void> {
  await page.locator(selector).click()
  await page.keyboard.sendCharacter(text)
}

/** Executes an operation with what the page prefills, and this token if it has a form. */
async function execute(page: Page, operationId: string, token?: string) {
  const operation = `.opblock[id$="-${operationId}"]`
  await page.locator(`${operation} .opblock-summary-control`).click()
  await page.locator(`${operation} .try-out__btn`).click()
  if (token) await paste(page, `${operation} tr[data-property-name=token] input[type=text]`, token)
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.request().resourceType() === 'fetch'),
    page.locator(`${operation} .execute`).click(),
  ])
  const answer = {
    status: response.status(),
    text: await response.text(),
    sent: response.request().postData(),
  }
  await page.locator(`${operation} .opblock-summary-control`).click()
  return answer
}
