/** Runs something again and again; what it returns ends that. Tests give another one, which runs when they say so. */
export type Interval = (ms: number, run: () => void) => () => void

export const startInterval: Interval = (ms, run) => {
  const timer = setInterval(run, ms)
  return () => clearInterval(timer)
}
