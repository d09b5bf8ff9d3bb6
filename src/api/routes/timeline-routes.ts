import { z } from 'zod';
import { findBank } from '../../store/banks.ts';
import { eventFilters } from '../../store/event-kinds.ts';
import { endOfTimeline, readBack, readOn, type TimelineRow } from '../../store/timeline.ts';
import { ApiError, bankNotFound } from '../api-error.ts';
import type { AppDeps } from '../app-deps.ts';
import { cursorOfOtherStore, encodePlace, limitSchema, placeCursorSchema, placeOf } from '../cursor.ts';
import { type Route, route, streamRoute } from '../route.ts';
import { bankParams, id } from '../schemas.ts';

export const eventSchema = z
  .strictObject({
    cursor: z.string().meta({
      description:
        'Its place: `after` goes on behind it, `before` ahead of it. Until the store is restored: then it is refused (422), and one reads from the beginning, or from now on.',
    }),
    at: z.iso.datetime(),
    kind: z.string(),
    memory_id: id.nullable(),
    observation_id: id.nullable(),
    change_set_id: id.nullable(),
    detail: z.record(z.string(), z.unknown()),
    text: z.string().nullable().meta({
      description: 'How the memory or observation begins now; null where it is gone.',
    }),
  })
  .meta({ id: 'Event' });

export const eventPageSchema = z
  .strictObject({
    events: z.array(eventSchema),
    next_cursor: z.string().nullable().meta({ description: 'Where this page goes on; null where nothing follows.' }),
    after_cursor: z.string().meta({
      description:
        'As `after`, what is written from now on. A page that was read backwards may show an event again that was not settled yet.',
    }),
  })
  .meta({ id: 'EventPage' });

const kindSchema = z.enum(eventFilters).optional().meta({
  description: 'One kind, or all of a family: `memory`, `observation`, `changes`, `conflict`, `bank`.',
});

/** What happened in a bank, and what happens. */
export function timelineRoutes(deps: AppDeps): Route[] {
  const { db } = deps;

  /** The timeline of a bank outlives it. */
  async function requireBank(bankId: string): Promise<void> {
    if (!(await findBank(db, bankId))) throw bankNotFound(bankId);
  }

  return [
    route({
      method: 'GET',
      path: '/v1/banks/{bank}/events',
      operationId: 'listEvents',
      summary: 'The timeline of a bank: newest first, or with `after` oldest first from there on, missing nothing.',
      params: bankParams,
      query: z
        .strictObject({
          kind: kindSchema,
          limit: limitSchema(50, 500),
          before: placeCursorSchema.meta({ description: 'Older than this cursor.' }),
          after: placeCursorSchema.meta({ description: 'Newer than this cursor, oldest first.' }),
        })
        .refine(({ before, after }) => before === undefined || after === undefined, {
          path: ['after'],
          message: 'goes in the other direction than before: give one of them',
        }),
      response: eventPageSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, query }) {
        const asked = { bankId: params.bank, kind: query.kind ?? null };
        const after = placeOf(query.after);
        const page = after
          ? (await readOn(db, [{ ...asked, after }], query.limit))[0]
          : await readBack(db, { ...asked, before: placeOf(query.before), limit: query.limit });
        if (page === undefined) throw new Error('a reader was given no page');
        if (page === null) throw cursorOfOtherStore(after ? 'after' : 'before');
        if (page.rows.length === 0) await requireBank(params.bank);
        const last = page.rows.at(-1);
        return {
          status: 200,
          body: {
            events: page.rows.map(presentEvent),
            next_cursor: page.hasMore && last ? encodePlace(last.place) : null,
            after_cursor: encodePlace(page.readOnFrom),
          },
        };
      },
    }),

    streamRoute({
      method: 'GET',
      path: '/v1/banks/{bank}/events/stream',
      operationId: 'followEvents',
      summary: 'The timeline of a bank as it goes on, an event a line, until one side ends it.',
      params: bankParams,
      query: z.strictObject({
        kind: kindSchema,
        after: placeCursorSchema.meta({ description: 'Newer than this cursor; default: from now on.' }),
      }),
      response: eventSchema,
      successStatus: 200,
      isWork: true,
      async handle({ params, query, signal }) {
        if (!deps.followers) throw new ApiError(503, 'NO_DAEMON', 'only a daemon goes on; `engramd run` starts one');
        await requireBank(params.bank);
        const end = await endOfTimeline(db);
        const after = placeOf(query.after) ?? end;
        if (after.store !== end.store) throw cursorOfOtherStore('after');
        const rows = deps.followers.follow({ bankId: params.bank, kind: query.kind ?? null, after }, signal);
        return { status: 200, body: presented(rows) };
      },
    }),
  ];
}

async function* presented(rows: AsyncIterable<TimelineRow>) {
  for await (const row of rows) yield presentEvent(row);
}

function presentEvent(row: TimelineRow): z.output<typeof eventSchema> {
  return {
    cursor: encodePlace(row.place),
    at: row.at.toISOString(),
    kind: row.kind,
    memory_id: row.memoryId,
    observation_id: row.observationId,
    change_set_id: row.changeSetId,
    detail: row.detail,
    text: row.text,
  };
}
