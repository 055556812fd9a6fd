/** Runs something again and again; what it returns ends that. Tests give another one, which runs when they say so. */
export type Repeat = (ms: number, run: () => void) => () => void

export const repeat: Repeat = (ms, run) => {
  const timer = setInterval(run, ms)
  return () => clearInterval(timer)
}
