#!/usr/bin/env node
// Also runs on Node versions that are too old for the rest, to report that in one sentence.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major > 22 || (major === 22 && minor >= 22)) {
  await import('../dist/src/server.js')
} else {
  console.error(`counterfoil: Node.js 22.22 or newer is needed; this is ${process.versions.node}.`)
  process.exitCode = 69
}
