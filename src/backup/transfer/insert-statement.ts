import { quoteName } from '../../db/direct-session.ts';
import type { TransferTableName } from './transfer-tables.ts';

/**
 * Writes lines of an export into their table and returns a row for each that was new.
 *
 * Parameters: the lines as a JSON array, the bank's name here, the instance that imports, whether the bank stood here
 * before. Columns that a newer schema has
 * beside those of the file take their defaults. What refers to something that is not here (a memory that was forgotten)
 * is left out.
 */
export function insertStatement(table: TransferTableName, columns: readonly string[]): string {
  const listed = columns.map(quoteName).join(', ');
  const { values, condition, conflict } = partsOf(table);
  const target = table === 'events' ? 'incoming_events' : `engram.${quoteName(table)}`;
  const selected = columns.map((column) => values[column] ?? `r.${quoteName(column)}`).join(', ');
  return `insert into ${target} as t (${listed}) overriding system value
    select ${selected}
    from jsonb_array_elements($1::jsonb) with ordinality as l(line, n)
    cross join lateral jsonb_populate_record(null::engram.${quoteName(table)}, l.line -> 'row') as r
    where ${condition} and $2::text is not null and $3::uuid is not null and $4::boolean is not null
    order by l.n
    ${table === 'events' ? '' : `on conflict ${conflict}`}
    returning 1`;
}

interface Parts {
  /** Columns that are not taken as they stand. */
  readonly values: Readonly<Record<string, string>>;
  readonly condition: string;
  readonly conflict: string;
}

const doNothing = 'do nothing';
const inBank = { bank_id: '$2' } as const;

function partsOf(table: TransferTableName): Parts {
  switch (table) {
    case 'banks':
      return { values: { id: '$2' }, condition: 'true', conflict: doNothing };
    case 'embedding_models':
      return {
        values: {
          is_active: 'r.is_active and not exists (select from engram.embedding_models a where a.is_active)',
          switch_started_at: 'null',
          switch_worker: 'null',
          switch_worker_until: 'null',
          switch_problem: 'null',
        },
        condition: 'true',
        conflict: doNothing,
      };
    case 'memories':
      // Forgotten here, and the rest of the bank stands: it is not brought back, not for a moment.
      return {
        values: inBank,
        condition: `(not exists (select from engram.erasures e where e.bank_id = $2 and e.memory_id = r.id)
          or not $4::boolean)`,
        conflict: doNothing,
      };
    case 'memory_entities':
      return {
        values: {
          ...inBank,
          entity_id: `(select e.id from engram.entities e where e.bank_id = $2
            and lower(e.name) = lower(l.line -> 'row' ->> 'entity_name'))`,
        },
        condition: 'exists (select from engram.memories m where m.bank_id = $2 and m.id = r.memory_id)',
        conflict: doNothing,
      };
    case 'scopes':
      // Epochs only grow (law L22).
      return {
        values: inBank,
        condition: 'true',
        conflict: '(bank_id, tags) do update set epoch = excluded.epoch where t.epoch < excluded.epoch',
      };
    case 'observations':
      // Erased with a memory that was forgotten here.
      return {
        values: inBank,
        condition: `(not exists (select from engram.erasures e where e.bank_id = $2 and r.id = any(e.observation_ids))
          or not $4::boolean)`,
        conflict: doNothing,
      };
    case 'observation_sources':
      return {
        values: inBank,
        condition: `exists (select from engram.memories m where m.bank_id = $2 and m.id = r.memory_id)
          and exists (select from engram.observations o where o.bank_id = $2 and o.id = r.observation_id)`,
        conflict: doNothing,
      };
    case 'runs':
      return { values: { ...inBank, instance_id: '$3' }, condition: 'true', conflict: doNothing };
    case 'conflicts':
      return {
        values: inBank,
        condition: `exists (select from engram.observations o where o.bank_id = $2 and o.id = r.left_id)
          and exists (select from engram.observations o where o.bank_id = $2 and o.id = r.right_id)`,
        conflict: doNothing,
      };
    case 'idempotency_keys':
      return { values: { scope: '$2' }, condition: 'true', conflict: doNothing };
    case 'snapshot_rows':
      return {
        values: inBank,
        condition: 'exists (select from engram.snapshots s where s.bank_id = $2 and s.id = r.snapshot_id)',
        conflict: doNothing,
      };
    case 'entities':
    case 'change_sets':
    case 'change_ops':
    case 'verdicts':
    case 'erasures':
    case 'snapshots':
    case 'events':
      return { values: inBank, condition: 'true', conflict: doNothing };
    default:
      return table satisfies never;
  }
}
