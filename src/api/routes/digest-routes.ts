import { z } from 'zod';
import { digestMarkdown } from '../../sleep/digest/read-digest.ts';
import { type Digest, findDigest, listDigests } from '../../store/digests.ts';
import { ApiError } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { cursorSchema, encodeCursor, limitSchema, pageEnd } from '../cursor.ts';
import { type Route, route } from '../route.ts';
import { id, pageSchema } from '../schemas.ts';

const count = z.int().min(0);
const time = z.iso.datetime();

const digestShape = {
  id,
  cycle_id: id,
  from: time.meta({ description: 'The end of the night before.' }),
  to: time,
  made_at: time,
  counts: z
    .strictObject({
      added: count,
      superseded: count,
      folded: count,
      refused: count,
      conflicts: count,
      proposed: count,
      parked: count,
      scored: count,
      pinned: count,
      evicted: count,
      calls: count,
      tokens: count,
      usd: z.number().min(0),
    })
    .meta({ description: 'As they stood when the night was over.' }),
};

export const digestListSchema = pageSchema({ digests: z.array(z.strictObject(digestShape).meta({ id: 'Digest' })) });

export const digestSchema = z
  .strictObject({
    ...digestShape,
    markdown: z.string().meta({
      description: 'Made when it is read: what was forgotten since is gone from it, what was undone says so.',
    }),
  })
  .meta({ id: 'DigestText' });

const expectedDay = 'must be a day, YYYY-MM-DD';

export function digestRoutes({ db }: AppDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/v1/digests',
      operationId: 'listDigests',
      summary: 'Nights that were slept, newest first.',
      query: z.strictObject({
        date: z.iso
          .date(expectedDay)
          .optional()
          .meta({ description: "Nights that ended on this day, by the daemon's clock." }),
        limit: limitSchema(30, 200),
        cursor: cursorSchema,
      }),
      response: digestListSchema,
      successStatus: 200,
      isWork: true,
      async handle({ query }) {
        const day = query.date === undefined ? null : localMidnight(query.date, 0);
        const { digests, end } = await listDigests(db, {
          endedFrom: day,
          endedBefore: query.date === undefined ? null : localMidnight(query.date, 1),
          after: pageEnd(query.cursor),
          limit: query.limit,
        });
        return { status: 200, body: { digests: digests.map(presentDigest), next_cursor: encodeCursor(end) } };
      },
    }),

    route({
      method: 'GET',
      path: '/v1/digests/{id}',
      operationId: 'getDigest',
      summary: 'What changed in a night, what it cost and what it asks, in Markdown.',
      params: z.strictObject({ id }),
      response: digestSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params }) {
        const digest = await findDigest(db, params.id);
        if (!digest) throw new ApiError(404, 'NOT_FOUND', `there is no digest ${params.id}`);
        return { status: 200, body: { ...presentDigest(digest), markdown: await digestMarkdown(db, digest) } };
      },
    }),
  ];
}

/** By the calendar and not by adding 24 hours: two days a year have 23 or 25. */
function localMidnight(date: string, daysLater: number): Date {
  const [year = 0, month = 1, day = 1] = date.split('-').map(Number);
  return new Date(year, month - 1, day + daysLater);
}

function presentDigest({ id: digestId, cycleId, fromAt, toAt, madeAt, counts: { nanoUsd, ...counts } }: Digest) {
  return {
    id: digestId,
    cycle_id: cycleId,
    from: fromAt.toISOString(),
    to: toAt.toISOString(),
    made_at: madeAt.toISOString(),
    counts: { ...counts, usd: nanoUsd / 1e9 },
  };
}
