export type Answer = { status: number; active: boolean; body: string }

/** The HTTP response in `text`, or undefined if it is still incomplete. */
export function readAnswer(text: string): Answer | undefined {
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const length = contentLength.exec(text)?.[1]
  if (length === undefined) throw new Error(`a response without Content-Length: ${text.slice(0, headEnd)}`)
  if (text.length < headEnd + 4 + Number(length)) return undefined
  const body = text.slice(headEnd + 4)
  return { status: Number(text.slice(9, 12)), active: body.includes('"active":true'), body }
}

const contentLength = /\r\ncontent-length: *(\d+)/i
