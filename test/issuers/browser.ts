/**
 * Signs in and consents like a person in a browser, or cancels if there is no login; returns the URL to which the
 * provider redirects in the end.
 */
export async function browse(start: URL, login: string | undefined, end: string): Promise<URL> {
  const cookies = new Map<string, string>()
  const visit = async (url: URL, form?: Record<string, string>) => {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      cookies.set(name, value)
    }
    return response
  }
  let url = start
  let response = await visit(url)
  while (!url.href.startsWith(end)) {
    const location = response.headers.get('location')
    if (location) {
      url = new URL(location, url)
      if (!url.href.startsWith(end)) response = await visit(url)
      continue
    }
    const page = await response.text()
    const cancel = /<a href="([^"]+\/abort)"/.exec(page)?.[1]
    if (login === undefined && cancel) {
      response = await visit(new URL(cancel, url))
      continue
    }
    const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1]
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1]
    if (!action || !prompt) throw new Error(`the provider shows something else: ${page}`)
    response = await visit(new URL(action, url), { prompt, login: login ?? '', password: 'any' })
  }
  return url
}
