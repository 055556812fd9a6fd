import { existsSync } from 'node:fs'
import type { Browser, Page } from 'puppeteer-core'
import puppeteer from 'puppeteer-core'
import type { Test } from 'tap'

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
  const args = ['--no-sandbox', '--force-prefers-reduced-motion']
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
