const start = performance.now()

/** Says on standard error, for whoever waits, what is being done; standard output is for the table. */
export function progress(what: string): void {
  const seconds = (performance.now() - start) / 1000
  console.error(`${seconds.toFixed(0).padStart(4)} s  ${what}`)
}
