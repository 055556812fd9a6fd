import t from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import lock from '../../package-lock.json' with { type: 'json' }

const packages: [string, object][] = Object.entries(lock.packages)

t.test('every dependency has an exact version', async (t) => {
  const { dependencies, devDependencies, optionalDependencies } = manifest
  const wanted = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
  t.same(
    wanted.filter(([, version]) => !/^(npm:\S+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
  )
})

t.test('builds for other platforms are locked too, which `npm ci` requires', async (t) => {
  const locked = new Set(packages.map(([path]) => path.replace(/^.*node_modules\//, '')))
  const wanted = packages.flatMap(([, entry]) =>
    'optionalDependencies' in entry ? Object.keys(entry.optionalDependencies as object) : [],
  )
  t.ok(wanted.length > 0, 'there is something to check')
  t.same(
    wanted.filter((name) => !locked.has(name)),
    [],
  )
})
