import { z } from 'zod';
import { bankNameSchema } from '../ingest/bank-name.ts';
import type { ChangeOpKind } from '../store/change-ops.ts';
import type { MemoryState } from '../store/memories.ts';
import type { Pin } from '../store/memory-rows.ts';
import type { ObservationState } from '../store/recall-rows.ts';
import { backupStatusSchema } from './backup-status.ts';
import { lifeSchema } from './life-schema.ts';
import { modelStatusSchema } from './model-status.ts';

/** The shapes of what the service answers. Times are ISO 8601 in UTC, ids are UUIDs. */

/** Lower case, as the database writes them: ids are compared as text. */
export const id = z.uuid('must be a UUID').toLowerCase();
const time = z.iso.datetime();

export const bankParams = z.strictObject({ bank: bankNameSchema });
export const bankItemParams = z.strictObject({ bank: bankNameSchema, id });

export const memoryStates = ['pending', 'consolidated', 'proposed', 'held', 'parked'] as const satisfies MemoryState[];
export const observationStates = ['live', 'superseded', 'folded', 'retired'] as const satisfies ObservationState[];
export const pins = ['manual', 'auto'] as const satisfies Pin[];
export const opKinds = [
  'create',
  'revise',
  'reinforce',
  'supersede',
  'fold',
  'conflict',
  'retire',
  'skip',
] as const satisfies ChangeOpKind[];
const changeSetKinds = ['consolidation', 'undo', 'curation', 'contradictions', 'sweep'] as const;
export const changeSetStatuses = ['proposed', 'applied', 'rejected', 'conflicted', 'undone'] as const;

const count = z.int().min(0);
const memoryCounts = z.strictObject(fromKeys(memoryStates));
const observationCounts = z.strictObject(fromKeys(observationStates));

function fromKeys<K extends string>(keys: readonly K[]): Record<K, typeof count> {
  return Object.fromEntries(keys.map((key) => [key, count])) as Record<K, typeof count>;
}

export const bankSchema = z
  .strictObject({
    id: z.string(),
    mission: z.string(),
    created_at: time,
    memories: memoryCounts,
    due: count,
    unembedded: count,
    observations: observationCounts,
    open_conflicts: count,
    proposed_changes: count,
  })
  .meta({ id: 'Bank' });

export const writeResultSchema = z
  .strictObject({
    memories: z.array(z.strictObject({ id, duplicate: z.boolean() })),
    added: count,
    duplicates: count,
    scrubbed: count.meta({ description: 'Secrets taken out of what was sent.' }),
  })
  .meta({ id: 'WriteResult' });

const citationSchema = z.strictObject({
  observation_id: id,
  memory_version: count,
  root_id: id.meta({ description: 'The observation, or the one it is folded into.' }),
  root_state: z.enum(observationStates),
  superseded_by: id.nullable(),
});

export const memorySchema = z
  .strictObject({
    id,
    text: z.string(),
    context: z.string().nullable(),
    kind: z.enum(['world', 'experience']),
    tags: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    dialogue: z.array(z.unknown()).nullable(),
    entities: z.array(z.string()),
    occurred_start: time.nullable(),
    occurred_end: time.nullable(),
    mentioned_at: time.nullable(),
    source_ref: z.string().nullable(),
    version: count,
    state: z.enum(memoryStates),
    state_reason: z.string().nullable(),
    attempts: count,
    next_attempt_at: time,
    embedded: z.boolean(),
    created_at: time,
    edited_at: time.nullable(),
    invalidated_at: time.nullable(),
    significance: z.int().min(0).max(3).nullable().meta({ description: 'How much it matters; null: not scored yet.' }),
    pin: z.enum(pins).nullable().meta({ description: '`manual` by a person, `auto` by its significance.' }),
    pinned_at: time.nullable(),
    cited_by: z.array(citationSchema),
  })
  .meta({ id: 'Memory' });

const sourceSchema = z.strictObject({
  id,
  text: z.string(),
  source_ref: z.string().nullable(),
  mentioned_at: time.nullable(),
  occurred_start: time.nullable(),
});

export const observationSchema = z
  .strictObject({
    id,
    text: z.string(),
    tags: z.array(z.string()),
    state: z.enum(observationStates),
    version: count,
    valid_from: time.nullable(),
    valid_to: time.nullable(),
    occurred_start: time.nullable(),
    occurred_end: time.nullable(),
    superseded_by: id.nullable(),
    canonical_id: id.nullable().meta({ description: 'What it is folded into.' }),
    evidence: count.meta({ description: 'Distinct live memories under it and all that is folded into it.' }),
    sources: z.array(sourceSchema).meta({ description: 'The newest of them.' }),
    conflicts: z
      .array(z.strictObject({ id, with: id, text: z.string(), reason: z.string() }))
      .meta({ description: 'Observations that cannot hold beside this one.' }),
  })
  .meta({ id: 'Observation' });

const itemBase = {
  tokens: count.meta({ description: 'Of the text, estimated as characters / 4.' }),
};

export const recallResultSchema = z
  .strictObject({
    items: z.array(
      z.discriminatedUnion('type', [
        z.strictObject({ type: z.literal('observation'), ...itemBase, ...observationSchema.shape }),
        z.strictObject({
          type: z.literal('memory'),
          ...itemBase,
          id,
          text: z.string(),
          context: z.string().nullable(),
          kind: z.enum(['world', 'experience']),
          tags: z.array(z.string()),
          state: z.enum(memoryStates),
          source_ref: z.string().nullable(),
          occurred_start: time.nullable(),
          occurred_end: time.nullable(),
          mentioned_at: time.nullable(),
          pinned: z.boolean(),
          superseded_by: id.nullable().meta({ description: 'The observation that took the place of what it said.' }),
        }),
      ]),
    ),
    tokens: count,
    degraded: z
      .enum(['embedder'])
      .nullable()
      .meta({ description: 'Set where the embedder did not answer and full text answered alone.' }),
    as_of: z
      .strictObject({
        at: time,
        edited_since: count.meta({
          description:
            'Memories of the bank that were there then and are left out: they were edited since, and what they said is not kept.',
        }),
      })
      .nullable()
      .meta({ description: 'The instant that was asked about; null: now.' }),
  })
  .meta({ id: 'RecallResult' });

const verdictSchema = z.strictObject({ validator: z.string(), reason: z.string() });

const imageSchema = z.strictObject({
  id,
  text: z.string(),
  version: count,
  valid_from: time.nullable(),
  valid_to: time.nullable(),
  occurred_start: time.nullable(),
  occurred_end: time.nullable(),
  superseded_by: id.nullable(),
  canonical_id: id.nullable(),
  retired_at: time.nullable(),
});

export const opSchema = z
  .strictObject({
    change_set_id: id,
    seq: count,
    group: count.meta({ description: 'Ops of one group stand or fall together.' }),
    at: time,
    decider: z.string(),
    op: z.enum(opKinds),
    status: z.enum(['applied', 'rejected', 'proposed', 'conflicted', 'undone']),
    target_id: id.nullable(),
    result_id: id.nullable(),
    base_version: count.nullable(),
    before: imageSchema.nullable().meta({ description: 'The target as the op found it.' }),
    after: imageSchema.nullable().meta({ description: 'The target as the op left it.' }),
    created: imageSchema.nullable().meta({ description: 'The observation that the op brought into being.' }),
    before_text: z.string().nullable(),
    after_text: z.string().nullable().meta({ description: 'Of what the op created, else of what it left.' }),
    sources: z.array(z.strictObject({ id, text: z.string().nullable(), mentioned_at: time.nullable() })),
    reason: z.string(),
    verdicts: z.array(verdictSchema),
  })
  .meta({ id: 'ChangeOp' });

export const changeSetSchema = z
  .strictObject({
    id,
    run_id: id,
    decider: z.string(),
    kind: z.enum(changeSetKinds),
    status: z.enum(changeSetStatuses),
    undoes: id.nullable().meta({ description: 'The change set that this one took back.' }),
    reason: z.string().nullable(),
    created_at: time,
    ops: z.partialRecord(z.enum(opKinds), count),
    rejected: count,
  })
  .meta({ id: 'ChangeSet' });

export const runSchema = z
  .strictObject({
    id,
    trigger: z.string(),
    started_at: time,
    finished_at: time.nullable(),
    outcome: z.string().nullable(),
    counts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Run' });

const conflictSideSchema = z.strictObject({ id, text: z.string(), valid_from: time.nullable() });

export const conflictSchema = z
  .strictObject({
    id,
    status: z.enum(['open', 'resolved']),
    reason: z.string(),
    created_at: time,
    resolved_at: time.nullable(),
    resolution: z.enum(['left', 'right', 'both']).nullable(),
    change_set_id: id.nullable().meta({ description: 'Of the resolution; undo it to open the conflict again.' }),
    left: conflictSideSchema,
    right: conflictSideSchema,
  })
  .meta({ id: 'Conflict' });

export const dryRunSchema = z
  .strictObject({
    memories: count,
    ops: z.array(
      z.strictObject({
        op: z.enum(opKinds),
        before: z.string().nullable(),
        after: z.string().nullable(),
        sources: z.array(z.string()),
        reason: z.string(),
      }),
    ),
    rejected: z.array(verdictSchema),
    undecided: z
      .array(z.strictObject({ memories: z.array(z.string()), reason: z.string() }))
      .meta({ description: 'Batches that came to no answer, by the texts of their memories.' }),
    calls: count,
    cost_usd: z.number(),
  })
  .meta({
    id: 'DryRun',
    description: 'What a consolidation would do. Nothing was written; a model was asked, and the run uses its answers.',
  });

export const jobSchema = z
  .strictObject({
    id: z.string(),
    queue: z.string(),
    bank: z.string().nullable(),
    trigger: z.string().nullable(),
    state: z.string(),
    created_at: time,
    start_after: time.nullable(),
    started_at: time.nullable(),
    finished_at: time.nullable(),
    retries: count,
    outcome: z.string().nullable(),
  })
  .meta({ id: 'Job' });

const queueCountsSchema = z.strictObject({
  ready: count,
  delayed: count,
  active: count,
  oldest_ready_at: time.nullable(),
});

export const statusSchema = z
  .strictObject({
    version: z.string(),
    instance_id: id,
    condition: z.enum(['starting', 'ready', 'stopping']),
    started_at: time,
    uptime_seconds: z.number(),
    facts_at: time.nullable().meta({
      description: 'When what is said of the store and the models was read; null: not yet.',
    }),
    decider: z.string(),
    embedding: z.strictObject({
      model: z.string(),
      dimensions: count,
      configured: z.string().meta({ description: 'What the settings ask for; the pinned model serves.' }),
      pinned_differs: z.boolean(),
    }),
    ...modelStatusSchema,
    vectors: z.enum(['pgvector', 'exact']),
    pool: z.strictObject({ used: count, idle: count, waiting: count }),
    banks: count,
    memories: memoryCounts,
    due: count,
    oldest_due_seconds: z.number(),
    unembedded: count,
    unscored: count.meta({ description: 'Memories that wait for their score, those that rest included.' }),
    oldest_unscored_seconds: z.number(),
    scores_parked: count.meta({ description: 'Scores given up; `jobs retry` has them made again.' }),
    pins: z.strictObject({
      manual: count,
      auto: count,
      over_cap: count.meta({
        description: 'Beyond the caps of their banks: pins by hand, and automatic ones until the next night.',
      }),
    }),
    observations: count,
    open_conflicts: count,
    proposed_changes: count,
    queue: z
      .strictObject({
        consolidate: queueCountsSchema,
        embed: queueCountsSchema,
        score: queueCountsSchema,
        dead_letters: count,
        in_flight: count,
      })
      .nullable()
      .meta({ description: 'Null where the queue has never been started on this database.' }),
    life: lifeSchema.nullable().meta({ description: 'Null where a command asks itself, without a daemon.' }),
    backups: backupStatusSchema.nullable().meta({ description: 'Null as above.' }),
  })
  .meta({ id: 'Status' });

export const explanationSchema = z
  .strictObject({
    type: z.enum(['memory', 'observation']),
    why: z.string().meta({ description: 'How it came to stand as it does, in a sentence or two.' }),
    memory: memorySchema.nullable(),
    observation: observationSchema.nullable(),
    cited_by: z
      .array(z.strictObject({ id, text: z.string(), state: z.enum(observationStates) }))
      .meta({ description: 'Of a memory: the observations that rest on it.' }),
    folded: z.array(id).meta({ description: 'Of an observation: those folded into it.' }),
    superseded: z.array(id).meta({ description: 'Of an observation: those whose place it took.' }),
    conflicts: z.array(conflictSchema),
    ops: z.array(opSchema).meta({ description: 'Every op that touched it, oldest first; the newest 500.' }),
  })
  .meta({ id: 'Explanation' });

/** A page of a list and where the next begins. */
export function pageSchema<S extends z.ZodRawShape>(list: S) {
  return z.strictObject({ ...list, next_cursor: z.string().nullable() });
}
