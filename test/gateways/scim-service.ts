import type { IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'

type User = { id: string; userName: string }

/** The subset of SCIM (RFC 7644) that connectors need for a trial; the gateway tells it whose users to use. */
export function scimService() {
  const users = new Map<string, User[]>()

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const organization = String(request.headers['x-token-organization'])
    const own = users.get(organization) ?? []
    users.set(organization, own)
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/scim+json' })
      response.end(JSON.stringify(body))
    }
    if (request.url === '/scim/v2/Users' && request.method === 'POST') {
      const { userName } = (await json(request)) as User
      const user = { id: `${organization}-${own.length}`, userName }
      own.push(user)
      return answer(201, { schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'], ...user })
    }
    if (request.url === '/scim/v2/Users' && request.method === 'GET') {
      const schemas = ['urn:ietf:params:scim:api:messages:2.0:ListResponse']
      return answer(200, { schemas, totalResults: own.length, Resources: own })
    }
    answer(404, { schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'], status: '404' })
  }
}
