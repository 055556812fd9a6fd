// Every screen in both themes and three widths: accessible, at rest, within its policy, without errors. With
// SCREENSHOTS=<folder> each is also written there as a picture, to be looked at.
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

/** The themes differ in colours only, and a phone differs in the places and sizes of what one touches. */
const rules = {
  light: {
    runOnly: {
      type: 'tag',
      values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    },
    rules: { 'target-size': { enabled: true } },
  },
  dark: { runOnly: { type: 'rule', values: ['color-contrast', 'target-size'] } },
}

/** From the start of a document on: what moved without anybody having touched anything. */
const watchShifts = `{
  window.shifts = []
  new PerformanceObserver((list) => {
    for (const { value, hadRecentInput, sources } of list.getEntries())
      if (!hadRecentInput) shifts.push(value.toFixed(4) + sources.map(({ node }) => ' ' + (node?.className || node?.nodeName)))
  }).observe({ type: 'layout-shift', buffered: true })
}`

/** What looks like a whole secret where people can read it, such as in a picture of the page. */
const readable = `[document.body.innerText, ...[...document.querySelectorAll('input, textarea')]
  .map(({ type, value }) => (type === 'password' ? '' : value))].join(' ').match(/(?<![a-z])(cfm|api|scim|mcp|um|whsec)_[\\w+/=]{20,}/g) ?? []`

/** What scrolls horizontally. */
const tooWide = `[document.documentElement, ...document.querySelectorAll('dialog[open]')]
  .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ nodeName }) => nodeName)`

/** What moves, or would move after a change. */
const moving = `[...document.querySelectorAll('*')].flatMap((element) =>
  ['', '::before', '::after', '::backdrop'].filter((part) => {
    const { animationName, transitionDuration } = getComputedStyle(element, part)
    return animationName !== 'none' || !/^0s(, 0s)*$/.test(transitionDuration)
  }).map((part) => element.nodeName + part))
  .concat(document.getAnimations().map(({ id }) => 'animation ' + id))`

/** Of everything that takes the focus, one of each kind: what shows no ring, or is behind something else. */
const unseen = `(() => {
  const found = []
  const kinds = new Set()
  for (const element of document.querySelectorAll('a, button, input, select, textarea, summary, [tabindex="0"]')) {
    const kind = element.nodeName + element.className + element.closest('[class]').className
    if (element.disabled || kinds.has(kind)) continue
    element.focus()
    // Behind a dialog, or hidden.
    if (document.activeElement !== element) continue
    kinds.add(kind)
    const rings = [element, element.closest('.choice') ?? element].map((one) => getComputedStyle(one))
    if (!rings.some(({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2))
      found.push('no ring: ' + element.outerHTML)
    const { x, y, width, height } = element.getBoundingClientRect()
    const top = document.elementFromPoint(x + width / 2, y + height / 2)
    if (!element.contains(top) && !top?.contains(element)) found.push('hidden: ' + element.outerHTML)
  }
  return found
})()`

export async function checkScreens(t: Test, { world, url, browser }: Console): Promise<void> {
  await seed(t, world)
  const source = await readFile(axe, 'utf8')
  if (folder) mkdirSync(folder, { recursive: true })
  const { page, foreign, errors } = await openPage(browser, url)
  await page.evaluateOnNewDocument(watchShifts)
  const motion = { name: 'prefers-reduced-motion', value: 'reduce' }

  const check = async (name: string) => {
    await page.evaluate(source)
    t.same(await page.evaluate(moving), [], `${name}: nothing moves`)
    t.same(await page.evaluate(readable), [], `${name}: no secret can be read, nor gets into a picture`)
    for (const theme of ['light', 'dark'] as const) {
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }, motion])
      const widths = theme === 'light' ? [768, 1440] : [360]
      for (const width of folder ? [360, 768, 1440] : widths) {
        await page.setViewport({ width, height: 900 })
        t.same(await page.evaluate(tooWide), [], `${name} fits ${width} px`)
        if (folder)
          await page.screenshot({ path: join(folder, `${name}-${theme}-${width}.png`) as `${string}.png` })
      }
      await page.setViewport({ width: widths.at(-1) as number, height: 900 })
      const violations =
        await page.evaluate(`axe.run(document, { ...${JSON.stringify(rules[theme])}, resultTypes: ['violations'] })
        .then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`)
      t.same(violations, [], `${name}, ${theme}`)
    }
    await page.setViewport({ width: 1440, height: 900 })
    // After a key, browsers show the focus.
    await page.keyboard.press('Tab')
    t.same(await page.evaluate(unseen), [], `${name}: the focus is seen`)
  }

  await page.goto(`${url}/console/`)
  await page.waitForSelector('input[name=token]')
  await check('sign-in')
  await signIn(page, url, world.admin)
  const reference = `fetch(document.querySelector('.who a').href).then(({ status }) => status)`
  t.equal(await page.evaluate(reference), 200, 'the API reference is next to the tokens')
  await t.test('the first screen needs at most 60 kB of script', async (t) => {
    await page.waitForSelector('tbody:not(.skeleton) tr')
    const bytes = (await page.evaluate(`performance.getEntriesByType('resource')
      .filter(({ name }) => name.endsWith('.js'))
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`)) as number
    t.ok(bytes > 10_000 && bytes <= 60_000, `${bytes} bytes`)
  })
  page.on('dialog', (dialog) => dialog.accept())
  // Each answer comes some frames after the one before, so that what it moves is seen to move.
  await page.emulateNetworkConditions({ offline: false, download: -1, upload: -1, latency: 40 })
  for (const { name, path, ready, pills, act } of await screensOf(world)) {
    for (const width of [360, 1440]) {
      await page.setViewport({ width, height: 900 })
      await page.goto(`${url}${path}`)
      await page.waitForSelector(ready)
      await page.waitForNetworkIdle({ idleTime: 100 })
      await page.waitForFunction(`!document.querySelector('.skeleton')`)
      t.same(await page.evaluate('shifts'), [], `${name}: the layout does not shift at ${width} px`)
    }
    for (const [state, text] of Object.entries(pills ?? {})) {
      const shown = await page.$$eval(`tbody .pill.${state}`, (all) => all.map((one) => one.textContent))
      t.ok(shown.includes(text), `${state}: ${text}`)
    }
    await act?.(page)
    await page.waitForFunction(`!document.querySelector('.skeleton')`)
    await check(name)
  }
  await page.browserContext().close()
  t.same(foreign, [], 'nothing is requested from other origins')
  t.same(
    errors.filter((error) => !/status of 400/.test(error)),
    [],
    'nothing fails, and nothing breaks the policy',
  )
}
