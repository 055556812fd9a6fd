import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Static, TObject, TSchema } from 'typebox'
import type { Caller } from '../access/caller.ts'
import { answer, problems } from './schemas.ts'

export type SuspensionRoutes<Params extends TObject, Answer extends TSchema> = {
  /** The URL of the resource to suspend. */
  item: string
  /** The end of the operationIds: `suspendOwner`, `resumeOwner`. */
  noun: string
  summaries: { suspend: string; resume: string }
  tags: string[]
  params: Params
  answers: { shape: Answer; description: string }
  statuses: number[]
  set(
    caller: Caller,
    params: Static<Params>,
    suspended: boolean,
    reply: FastifyReply,
  ): Promise<Static<Answer>>
}

/** `POST {item}/suspend` and `POST {item}/resume`. */
export function suspensionRoutes<Params extends TObject, Answer extends TSchema>(
  app: Pick<FastifyInstance, 'route'>,
  { item, noun, summaries, tags, params, answers, statuses, set }: SuspensionRoutes<Params, Answer>,
): void {
  for (const action of ['suspend', 'resume'] as const)
    app.route({
      method: 'POST',
      url: `${item}/${action}`,
      schema: {
        operationId: `${action}${noun}`,
        summary: summaries[action],
        tags,
        params,
        response: { 200: answer(answers.shape, answers.description, 'ETag'), ...problems(...statuses) },
      },
      handler: (request, reply) =>
        set(request.caller, request.params as Static<Params>, action === 'suspend', reply),
    })
}
