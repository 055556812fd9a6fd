import { existsSync } from 'node:fs'
import type { Browser, KeyInput, Page } from 'puppeteer-core'
import puppeteer from 'puppeteer-core'
import type { Test } from 'tap'
import type { World } from '../support/world.ts'

/** What all stories share. */
export type Console = { world: World; url: string; browser: Browser }

const browsers = [process.env.CHROMIUM ?? '', '/usr/bin/chromium', '/usr/bin/google-chrome']
const executablePath = browsers.find(existsSync)

/** Only for steps that never happen: a busy machine may take long. */
const timeout = 60_000

/** Why tests in a browser are skipped, if they are. */
export const skip = executablePath
  ? false
  : 'Chromium is not installed: apt-get install chromium, or set CHROMIUM to the path of a Chromium'

export async function launch(t: Test): Promise<Browser> {
  // Chromium's sandbox does not work as root.
  const args = ['--no-sandbox']
  const browser = await puppeteer.launch({ executablePath: executablePath ?? '', args, timeout })
  t.teardown(() => browser.close())
  return browser
}

export type Watched = {
  page: Page
  /** Requests to other origins. */
  foreign: string[]
  /** Errors and warnings in the console of the browser, but for refusals that the test expects. */
  errors: string[]
}

/** A page in a context of its own, whose requests and errors are noted. */
export async function openPage(
  browser: Browser,
  url: string,
  { width = 1440, height = 900 } = {},
): Promise<Watched> {
  const context = await browser.createBrowserContext()
  await context.overridePermissions(url, ['clipboard-read', 'clipboard-write', 'clipboard-sanitized-write'])
  const page = await context.newPage()
  page.setDefaultTimeout(timeout)
  await page.setViewport({ width, height })
  const foreign: string[] = []
  const errors: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && new URL(request.url()).origin !== url)
      foreign.push(request.url())
  })
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) errors.push(message.text())
  })
  page.on('pageerror', (error) => errors.push(String(error)))
  // A violation of the content security policy is reported to the document.
  await page.evaluateOnNewDocument(
    `document.addEventListener('securitypolicyviolation', (event) =>
      console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))`,
  )
  return { page, foreign, errors }
}

/** Signs in with a token as a person does. */
export async function signIn(page: Page, url: string, token: string, path = '/console/'): Promise<void> {
  await page.goto(`${url}${path}`)
  await page.locator('input[name=token]').fill(token)
  await page.locator('.sign-in form:has(input[name=token]) button[type=submit]').click()
  await page.waitForSelector('.shell')
}

export const clipboard = (page: Page) => page.evaluate('navigator.clipboard.readText()') as Promise<string>

export function passes(t: Test, { foreign, errors }: Watched, expected: RegExp[] = []): void {
  t.same(foreign, [], 'nothing is requested from other origins')
  t.same(
    errors.filter((error) => !expected.some((one) => one.test(error))),
    [],
  )
}

export async function secretIsGone(t: Test, page: Page, secret: string): Promise<void> {
  const left = (await page.evaluate(`JSON.stringify([
    document.documentElement.outerHTML,
    [...document.querySelectorAll('input, textarea')].map(({ value }) => value),
    location.href,
    history.state,
    { ...localStorage },
    { ...sessionStorage },
    document.title,
  ])`)) as string
  t.notOk(left.includes(secret), 'no secret in the document, the URL, the history or a storage')
  const read = JSON.stringify(await page.accessibility.snapshot({ interestingOnly: false }))
  t.ok(read.includes('heading'))
  t.notOk(read.includes(secret), 'nor in what the browser paints and screen readers read')
  t.same(await page.evaluate('indexedDB.databases().then((all) => all.length)'), 0)
}

export async function textOf(page: Page, selector: string): Promise<string> {
  await page.waitForSelector(selector)
  return page.$eval(selector, (element) => (element as unknown as { innerText: string }).innerText)
}

export async function helpOf(page: Page, name: string): Promise<string> {
  const id = await page.$eval(`[name="${name}"]`, (field) => field.getAttribute('aria-describedby') ?? '')
  return textOf(page, `[id="${id}"]`)
}

export async function clickText(page: Page, selector: string, text: string): Promise<void> {
  const handle = await page.waitForFunction(
    `[...document.querySelectorAll(${JSON.stringify(selector)})].find((one) => !one.matches(':disabled, [aria-disabled=true]') && one.textContent.trim() === ${JSON.stringify(text)})`,
  )
  await handle.evaluate((element) => (element as { click(): void }).click())
}

export async function replaceText(page: Page, selector: string, text: string): Promise<void> {
  await page.waitForSelector(selector)
  await page.$eval(selector, (field) => (field as unknown as { select(): void }).select())
  await page.type(selector, text)
}

/** The accessible name of an element, as far as this console names things. */
const nameOf = `((element) => {
  const label = element.labels?.[0]
  const { textContent } = label?.querySelector('strong') ?? label ?? element
  return (element.getAttribute('aria-label') ?? textContent).replace(/optional$/, '').trim()
})`

/** The name of what has the focus. */
export async function focused(page: Page): Promise<string> {
  return (await page.evaluate(`${nameOf}(document.activeElement)`)) as string
}

/** Presses Tab until what has this name has the focus. */
export async function tabTo(page: Page, name: string): Promise<void> {
  await page.waitForFunction(`[...document.querySelectorAll('a, button, input, select, textarea, summary')].some((one) =>
    !one.matches(':disabled, [aria-disabled=true]') && ${nameOf}(one) === ${JSON.stringify(name)})`)
  for (let pressed = 0; pressed < 200; pressed++) {
    if ((await focused(page)) === name) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`Tab does not lead to ${name}`)
}

/** By keyboard: goes to what has this name, and presses Enter (links, buttons), Space (boxes) or another key there. */
export async function press(page: Page, name: string, key: KeyInput = 'Enter'): Promise<void> {
  await tabTo(page, name)
  await page.keyboard.press(key)
}

/** By keyboard: replaces what is in the field of this name. */
export async function enter(page: Page, name: string, text: string): Promise<void> {
  await tabTo(page, name)
  await page.keyboard.down('Control')
  await page.keyboard.press('KeyA')
  await page.keyboard.up('Control')
  await page.keyboard.type(text)
}

/** Chooses an action from the menu of this name. */
export async function choose(page: Page, menu: string, action: string): Promise<void> {
  await page.locator(`[aria-haspopup=menu][aria-label="${menu}"]`).click()
  await clickText(page, '[role=menuitem]', action)
}
