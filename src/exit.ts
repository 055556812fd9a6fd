import { NoAdministratorError } from './bootstrap.ts'
import { ConfigError } from './config-files.ts'
import { isUnavailable } from './db/database.ts'
import { DatabaseNewerError } from './db/migrate.ts'
import { poolerInTheWay, refusedByPooler } from './db/session.ts'
import { EmbeddedError } from './embedded-postgres/error.ts'
import { AppError } from './errors.ts'
import { exitCodes } from './exit-codes.ts'
import { MasterKeyError } from './keys/maintenance.ts'
import { WorkerFailedError } from './workers.ts'

/** The command line is not understood. */
export class UsageError extends Error {}

const configErrors = [ConfigError, NoAdministratorError, DatabaseNewerError, MasterKeyError, AppError]

/** What to tell a person about the error that ended the process, and the exit code that says it to a program. */
export function explainExit(error: unknown): { message: string; code: number } {
  if (!(error instanceof Error)) return { message: String(error), code: exitCodes.software }
  const { message, stack } = error
  if (error instanceof WorkerFailedError) return { message, code: error.exitCode }
  const { code = '' } = error as NodeJS.ErrnoException
  if (error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS'))
    return { message, code: exitCodes.usage }
  if (configErrors.some((kind) => error instanceof kind)) return { message, code: exitCodes.config }
  if (error instanceof EmbeddedError) return { message, code: exitCodes.unavailable }
  if ('syscall' in error && (error.syscall === 'listen' || error.syscall === 'bind'))
    return { message: `HOST and PORT cannot be listened on: ${message}`, code: exitCodes.config }
  if (refusedByPooler(error)) return { message: poolerInTheWay, code: exitCodes.config }
  if (isUnavailable(error)) {
    return { message: `The database cannot be reached: ${message || code}`, code: exitCodes.unavailable }
  }
  return { message: stack ?? message, code: exitCodes.software }
}
