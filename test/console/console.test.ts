// The console in a browser: one browser and one service for all, since both cost seconds.
import t from 'tap'
import { createWorld } from '../support/world.ts'
import { adminStories } from './admin-stories.ts'
import { launch, skip } from './browser.ts'
import { checkScreens } from './check-screens.ts'
import { largeList } from './large-list.ts'
import { tokenStories } from './token-stories.ts'

t.test('the console', { skip }, async (t) => {
  const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] } })
  world.clock.now = new Date()
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const browser = await launch(t)
  const parts = { world, url, browser }
  await t.test('every screen is accessible in both themes', (t) => checkScreens(t, parts))
  await t.test('stories of administrators', (t) => adminStories(t, parts))
  await t.test('stories of tokens', (t) => tokenStories(t, parts))
  await t.test('a list of 100,000 tokens', (t) => largeList(t, parts))
})
