import type { FastifyRequest } from 'fastify'
import { validate as isUuid } from 'uuid'

/** A preHandler hook. RFC 9562 §4: an id in capitals is the same id; from here on there is one way to write it. */
export async function lowerCaseIds({ params, routeOptions }: FastifyRequest): Promise<void> {
  const { properties = {} } = (routeOptions.schema?.params ?? {}) as Described
  const given = params as Record<string, string>
  for (const [name, value] of Object.entries(given)) {
    const isId = properties[name]?.format === 'uuid' || (name === 'organization' && isUuid(value))
    if (isId) given[name] = value.toLowerCase()
  }
}

type Described = { properties?: Record<string, { format?: string }> }
