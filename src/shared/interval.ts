/**
 * Runs something repeatedly until the returned function is called. Tests pass another implementation to control the
 * timing.
 */
export type Interval = (ms: number, run: () => void) => () => void

export const startInterval: Interval = (ms, run) => {
  const timer = setInterval(run, ms)
  return () => clearInterval(timer)
}
