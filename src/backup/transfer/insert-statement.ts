import { quoteName } from '../../db/direct-session.ts';
import type { TransferTableName } from './transfer-tables.ts';

/**
 * Writes lines of an export into their table and returns a row for each that was new.
 *
 * Parameters: the lines as a JSON array, the bank's name here, the instance that imports, and for snapshots the number
 * here of the last op in each. Columns that a newer schema has beside those of the file take their defaults.
 */
export function insertStatement(table: TransferTableName, columns: readonly string[]): string {
  const { values, conflict, givenHere } = { ...asItStands, ...partsOf(table) };
  const written = columns.filter((column) => column !== givenHere);
  const target = table === 'events' ? 'incoming_events' : `engram.${quoteName(table)}`;
  const selected = written.map((column) => values[column] ?? `r.${quoteName(column)}`).join(', ');
  return `insert into ${target} as t (${written.map(quoteName).join(', ')}) overriding system value
    select ${selected}
    from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
    cross join lateral jsonb_populate_record(null::engram.${quoteName(table)}, l.line -> 'row') as r
    where num_nulls($2::text, $3::uuid, $4::bigint[]) >= 0
    order by l.n
    ${conflict}
    returning ${givenHere === null ? 'null::bigint' : `t.${quoteName(givenHere)}`} as number`;
}

interface Parts {
  /** Columns that are not taken as they stand. */
  readonly values: Readonly<Record<string, string>>;
  /** For what may be there although the bank is empty. Otherwise a row that stands in the file twice is refused. */
  readonly conflict: string;
  /** A column that the database fills, in the order of the lines. */
  readonly givenHere: string | null;
}

const asItStands: Parts = { values: { bank_id: '$2' }, conflict: '', givenHere: null };
const unlessThere = 'on conflict do nothing';

function partsOf(table: TransferTableName): Partial<Parts> {
  switch (table) {
    case 'banks':
      // One that was made before its rows came keeps what it is for, if it was told.
      return {
        values: { id: '$2' },
        conflict: `on conflict (id) do update set mission = excluded.mission where t.mission = '' and excluded.mission <> ''`,
      };
    case 'embedding_models':
      return {
        values: {
          is_active: 'r.is_active and not exists (select from engram.embedding_models a where a.is_active)',
          switch_started_at: 'null',
          switch_worker: 'null',
          switch_worker_until: 'null',
          switch_problem: 'null',
        },
        conflict: unlessThere,
      };
    case 'memory_entities':
      return {
        values: {
          bank_id: '$2',
          entity_id: `(select e.id from engram.entities e where e.bank_id = $2
            and lower(e.name) = lower(l.line -> 'row' ->> 'entity_name'))`,
        },
      };
    case 'scopes':
      // Epochs only grow (law L22).
      return {
        conflict: 'on conflict (bank_id, tags) do update set epoch = excluded.epoch where t.epoch < excluded.epoch',
      };
    case 'runs':
      return { values: { bank_id: '$2', instance_id: '$3' }, conflict: unlessThere };
    case 'change_ops':
      return { givenHere: 'applied_no' };
    case 'snapshots':
      return { values: { bank_id: '$2', applied_no: '($4::bigint[])[l.n]' }, conflict: unlessThere };
    case 'idempotency_keys':
      return { values: { scope: '$2' }, conflict: unlessThere };
    case 'entities':
    case 'verdicts':
    case 'erasures':
    case 'snapshot_rows':
      return { conflict: unlessThere };
    case 'memories':
    case 'observations':
    case 'observation_sources':
    case 'change_sets':
    case 'conflicts':
    case 'events':
      return {};
    default:
      return table satisfies never;
  }
}
