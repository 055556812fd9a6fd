const start = performance.now()

/** Reports progress on standard error; standard output is for the table. */
export function progress(what: string): void {
  const seconds = (performance.now() - start) / 1000
  console.error(`${seconds.toFixed(0).padStart(4)} s  ${what}`)
}
