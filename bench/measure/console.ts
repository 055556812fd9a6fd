import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import puppeteer, { type Page } from 'puppeteer-core'
import { atEnd } from '../cleanup.ts'
import type { Server } from '../database.ts'
import type { Plan } from '../options.ts'
import { addTokens, organization, prepare } from '../seed.ts'
import { startService } from '../service.ts'

const browsers = [process.env.CHROMIUM ?? '', '/usr/bin/chromium', '/usr/bin/google-chrome']
const notches = 400
/** At 60 frames a second, a frame that takes as long as three is noticeable. */
const frameMs = 1000 / 60
const lateMs = 3 * frameMs

/** Notes each frame and each task of the page's thread that took longer than 50 ms. */
const watch = `{
  window.frames_ = []
  window.tasks = [0]
  const note = (at) => { frames_.push(at); requestAnimationFrame(note) }
  requestAnimationFrame(note)
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: 'longtask' })
}`

/** Scrolls the console's list of very many tokens with the wheel, as fast as a hand does. */
export async function measureConsole(server: Server, { listed }: Plan) {
  const seeded = await prepare(await server.createDatabase())
  await addTokens(seeded, listed)
  const service = await startService({ DATABASE_URL: seeded.url })
  const executablePath = browsers.find(existsSync)
  if (executablePath === undefined) throw new Error('Chromium is not installed: set CHROMIUM to its path')
  const browser = await puppeteer.launch({ executablePath, args: ['--no-sandbox'] })
  atEnd(() => void browser.close())
  try {
    const page = await browser.newPage()
    await page.setViewport({ width: 1440, height: 900 })
    const url = `http://localhost:${service.port}/console/organizations/${organization}/tokens`
    await page.goto(url)
    await page.locator('input[name=token]').fill(seeded.admin)
    await page.locator('form:has(input[name=token]) button[type=submit]').click()
    await page.waitForSelector('tbody:not(.skeleton) tr')
    return { listed, ...(await scroll(page)) }
  } finally {
    await browser.close()
    await service.stop()
  }
}

async function scroll(page: Page) {
  await page.mouse.move(800, 500)
  await page.evaluate(watch)
  for (let notch = 0; notch < notches; notch++) {
    await page.mouse.wheel({ deltaY: 120 })
    await delay(frameMs)
  }
  const [frames, tasks, rows] = (await page.evaluate(
    `[frames_, tasks, document.querySelectorAll('tbody tr').length]`,
  )) as [number[], number[], number]
  const gaps = frames.slice(1).map((at, i) => at - (frames[i] as number))
  const passed = (await page.evaluate('scrollY / 40')) as number
  return {
    passed: Math.round(passed),
    rows,
    late: gaps.filter((gap) => gap > lateMs).length / gaps.length,
    longestTask: Math.max(...tasks),
  }
}
