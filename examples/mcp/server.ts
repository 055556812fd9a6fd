import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { getOAuthProtectedResourceMetadataUrl } from '@modelcontextprotocol/sdk/server/auth/router.js'
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { createVerifier } from 'counterfoil/client'
import { counterfoilTokens } from './verifier.ts'

const { COUNTERFOIL_URL = '', COUNTERFOIL_TOKEN = '', RESOURCE = '', PORT = '3000' } = process.env

/** The URL under which clients reach this server, and the audience of its tokens. */
const resource = new URL(RESOURCE)
const scopes = ['mcp:use']
const metadataUrl = getOAuthProtectedResourceMetadataUrl(resource)
const verifier = createVerifier({ url: COUNTERFOIL_URL, token: COUNTERFOIL_TOKEN })

function createServer(): McpServer {
  const server = new McpServer({ name: 'example', version: '1.0.0' })
  server.registerTool('whoami', { description: 'Says who is calling' }, ({ authInfo }) => ({
    content: [{ type: 'text', text: `${authInfo?.extra?.subject} of ${authInfo?.extra?.organization}` }],
  }))
  return server
}

const app = createMcpExpressApp()

// RFC 9728. It names no authorization server: people create tokens in Counterfoil and configure their clients with
// them.
app.get(new URL(metadataUrl).pathname, (_request, response) => {
  response.json({
    resource: resource.href,
    resource_name: 'An example',
    scopes_supported: scopes,
    bearer_methods_supported: ['header'],
  })
})

app.use(
  resource.pathname,
  requireBearerAuth({
    verifier: counterfoilTokens(verifier, resource),
    requiredScopes: scopes,
    resourceMetadataUrl: metadataUrl,
    expectedResource: resource,
  }),
)

app.post(resource.pathname, async (request, response) => {
  const server = createServer()
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
  response.on('close', () => {
    void transport.close()
    void server.close()
  })
  await server.connect(transport)
  await transport.handleRequest(request, response, request.body)
})

const listening = app.listen(Number(PORT), '127.0.0.1', () => console.log(`MCP server at ${resource.href}`))

process.once('SIGTERM', () => {
  verifier.close()
  listening.close()
})
