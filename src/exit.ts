import { ApplyError, ServiceUnreachableError } from './apply/api.ts'
import { ConnectionRefusedError } from './db/client.ts'
import { isUnavailable } from './db/database.ts'
import { poolerInTheWay, refusedByPooler } from './db/session.ts'
import { DataDirectoryError, EmbeddedError } from './embedded-postgres/error.ts'
import { exitCodes, type Failure, UsageError, WorkerFailedError } from './exit-codes.ts'
import { ConfigError } from './shared/config-files.ts'
import { AppError } from './shared/errors.ts'

const configErrors = [ApplyError, ConfigError, DataDirectoryError, AppError]

/** The message for the error that ended the process, and the exit code. */
export function explainExit(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: String(error), code: exitCodes.software }
  const { message, stack } = error
  if (error instanceof WorkerFailedError) return { message, code: error.exitCode }
  const { code = '' } = error as NodeJS.ErrnoException
  if (error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS'))
    return { message, code: exitCodes.usage }
  if (configErrors.some((kind) => error instanceof kind)) return { message, code: exitCodes.config }
  if (error instanceof EmbeddedError || error instanceof ServiceUnreachableError)
    return { message, code: exitCodes.unavailable }
  if ('syscall' in error && 'path' in error)
    return { message: `A file cannot be used: ${message}.`, code: exitCodes.config }
  if (code === '42501' && !(error instanceof ConnectionRefusedError))
    return {
      message: `The role of DATABASE_URL lacks a privilege (${message}): grant it.`,
      code: exitCodes.config,
    }
  if (refusedByPooler(error)) return { message: poolerInTheWay, code: exitCodes.config }
  if (isUnavailable(error)) {
    const reason = `The database cannot be reached: ${(message || code).replaceAll(/\s+/g, ' ')}`
    return { message: `${reason}${adviceOn(error)}.`, code: exitCodes.unavailable }
  }
  return { message: stack ?? message, code: exitCodes.software }
}

const advice: [RegExp, string][] = [
  [/^28P01$/, 'check the user name and the password in DATABASE_URL'],
  [/^28000$/, 'check the role in DATABASE_URL and pg_hba.conf of the server'],
  [/^42501$/, 'grant connect on the database to the role in DATABASE_URL'],
  [/^3D000$/, 'create it, or correct DATABASE_URL'],
  [/^55000$/, 'allow connections to it, or correct DATABASE_URL'],
  [/^(ENOTFOUND|EAI_\w+)$/, 'check the host in DATABASE_URL'],
  [
    /^(ECONNREFUSED|ENOENT|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/,
    'check that the server runs, and the host and port in DATABASE_URL',
  ],
  [
    /CERT|SIGNATURE|_CRL_|^HOSTNAME_MISMATCH$/,
    "check sslrootcert (the file of the certificate's authority) and the host in DATABASE_URL",
  ],
  [/^The server does not support SSL/, 'turn TLS on in the server, or set sslmode=disable in DATABASE_URL'],
  [/^SASL: .*password/, 'put the password into DATABASE_URL'],
]

/** By the SQLSTATE, the code of a system error or of OpenSSL, or pg's message. */
function adviceOn({ cause, message }: Error): string {
  const { code = message } = (cause ?? {}) as NodeJS.ErrnoException
  const found = advice.find(([pattern]) => pattern.test(code))
  return found ? `; ${found[1]}` : ''
}
