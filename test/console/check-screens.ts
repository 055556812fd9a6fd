// Every screen in both themes and three widths: accessible, within its policy, without errors. With SCREENSHOTS=<folder>
// each is also written there as a picture, to be looked at.
import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Console, openPage, signIn } from './browser.ts'
import { screensOf } from './screens.ts'
import { seed } from './seed.ts'

const folder = process.env.SCREENSHOTS
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

const standards = {
  type: 'tag',
  values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
}

export async function checkScreens(t: Test, { world, url, browser }: Console): Promise<void> {
  await seed(t, world)
  const source = await readFile(axe, 'utf8')
  if (folder) mkdirSync(folder, { recursive: true })
  const { page, foreign, errors } = await openPage(browser, url)

  const check = async (name: string) => {
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }])
      // The themes differ in colours only.
      const rules = theme === 'light' ? standards : { type: 'rule', values: ['color-contrast'] }
      const violations =
        await page.evaluate(`axe.run(document, { runOnly: ${JSON.stringify(rules)}, resultTypes: ['violations'] })
        .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`)
      t.same(violations, [], `${name}, ${theme}`)
      if (folder)
        for (const width of [360, 768, 1440]) {
          await page.setViewport({ width, height: 900 })
          await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`) as `${string}.png` })
        }
      await page.setViewport({ width: 1440, height: 900 })
    }
    for (const width of [360, 768]) {
      await page.setViewport({ width, height: 900 })
      t.equal(
        await page.evaluate('document.documentElement.scrollWidth'),
        width,
        `${name} fits into ${width} px`,
      )
    }
    await page.setViewport({ width: 1440, height: 900 })
  }

  await page.goto(`${url}/console/`)
  await page.waitForSelector('input[name=token]')
  await page.evaluate(source)
  await check('sign-in')
  await signIn(page, url, world.admin)
  await t.test('the first screen needs at most 60 kB of script', async (t) => {
    await page.waitForSelector('tbody:not(.skeleton) tr')
    const bytes = (await page.evaluate(`performance.getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js'))
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`)) as number
    t.ok(bytes > 10_000 && bytes <= 60_000, `${bytes} bytes`)
  })
  page.on('dialog', (dialog) => dialog.accept())
  for (const { name, path, ready, act } of await screensOf(world)) {
    await page.goto(`${url}${path}`)
    await page.waitForSelector(ready)
    await act?.(page)
    await page.waitForFunction(`!document.querySelector('.skeleton')`)
    await page.evaluate(source)
    await check(name)
  }
  t.same(foreign, [], 'nothing is requested from other origins')
  t.same(
    errors.filter((error) => !/status of 400/.test(error)),
    [],
    'nothing fails, and nothing breaks the policy',
  )
}
