import type { FastifyRequest } from 'fastify'
import { validate as isUuid } from 'uuid'

/** A preHandler hook. Ids in upper case are the same ids (RFC 9562 §4); normalizes them to lower case. */
export async function lowerCaseIds({ params, routeOptions }: FastifyRequest): Promise<void> {
  const { properties = {} } = (routeOptions.schema?.params ?? {}) as Described
  const given = params as Record<string, string>
  for (const [name, value] of Object.entries(given)) {
    const isId = properties[name]?.format === 'uuid' || (name === 'organization' && isUuid(value))
    if (isId) given[name] = value.toLowerCase()
  }
}

type Described = { properties?: Record<string, { format?: string }> }
