/** As a client does that heeds Retry-After: on a busy machine a burst of requests outruns the connections there are. */
export async function retried<T extends { status: number }>(send: () => Promise<T>): Promise<T> {
  for (;;) {
    const answer = await send()
    if (answer.status !== 503) return answer
  }
}
