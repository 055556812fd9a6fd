/** The exit codes in docs/operating.md, following sysexits.h where it has one. */
export const exitCodes = {
  done: 0,
  /**
   * Part of the work was not done: a time limit or a second signal cut the shutdown short, or an import had invalid
   * lines.
   */
  incomplete: 1,
  usage: 64,
  unavailable: 69,
  software: 70,
  config: 78,
} as const

/** The command line is invalid. */
export class UsageError extends Error {}

/** Why a process ends, and its exit code. */
export type Failure = { message: string; code: number }

export class WorkerFailedError extends Error {
  readonly exitCode: number

  constructor({ message, code }: Failure) {
    super(message)
    this.exitCode = code
  }
}
