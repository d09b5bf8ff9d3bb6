import type { Database, Tx } from '../db/database.ts';
import { scrubJson } from '../models/scrub-secrets.ts';
import { ensureBank } from '../store/banks.ts';
import { linkEntities } from '../store/entities.ts';
import type { IdempotentRequest } from '../store/idempotency.ts';
import { findExisting, insertMemories, markWriter, type NewMemory } from '../store/memories.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Racepoints } from '../telemetry/racepoints.ts';
import { idempotently } from './idempotent-write.ts';
import { IngestKeyConflictError } from './ingest-errors.ts';
import { parseIsoTime } from './iso-time.ts';
import type { MemoryInput } from './memory-schema.ts';

export interface WrittenMemory {
  /** The row that holds the memory: a new one, or the one that was there. */
  readonly id: string;
  readonly duplicate: boolean;
}

export interface WriteResult {
  /** In the order of the input. */
  readonly memories: readonly WrittenMemory[];
  readonly added: number;
  readonly duplicates: number;
  /** Secrets taken out of what was sent. */
  readonly scrubbed: number;
}

export interface WriteOptions {
  /** Stands for the whole request, and for each element that brings no key of its own. */
  readonly idempotency?: IdempotentRequest | undefined;
}

export interface MemoryWriter {
  /**
   * Writes memories of one bank in one short transaction, all or none, making the bank if need be. Each element has
   * passed `memoryInputSchema`. Secrets are taken out here (law L20). No model is asked anything.
   *
   * @throws IngestKeyConflictError, IdempotencyKeyReusedError
   */
  writeMemories(
    bankId: string,
    inputs: readonly MemoryInput[],
    options?: WriteOptions,
  ): Promise<WriteResult & { readonly replayed: boolean }>;
}

export interface MemoryWriterDeps {
  readonly db: Database;
  readonly instanceId: string;
  readonly newId: () => string;
  /** Told after the commit. Its failure loses nothing, since the rows say themselves that they are due. */
  readonly hint: (bankId: string) => Promise<void>;
  readonly racepoints: Racepoints;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createMemoryWriter(deps: MemoryWriterDeps): MemoryWriter {
  const { db, racepoints, metrics, log } = deps;

  async function hint(bankId: string): Promise<void> {
    try {
      await deps.hint(bankId);
    } catch (thrown) {
      log.warn(
        { error: errorMessage(thrown) },
        'memories were written but their job was not sent; the reconciler will',
      );
    }
  }

  return {
    async writeMemories(bankId, inputs, options = {}) {
      const { rows, entities, scrubbed } = prepare(inputs, options.idempotency?.key, deps.newId);
      const { answer, replayed } = await db.tx({ label: 'ingest' }, async (tx) => {
        const written = await idempotently(tx, options.idempotency, 201, async () => {
          const memories = await write(tx, bankId, rows, entities);
          const duplicates = memories.filter((memory) => memory.duplicate).length;
          return { memories, added: memories.length - duplicates, duplicates, scrubbed };
        });
        await racepoints.reach('ingest:before-commit', { bankId });
        return written;
      });
      await racepoints.reach('ingest:after-commit', { bankId });
      if (!replayed) {
        metrics.memoriesIngested.inc({ outcome: 'added' }, answer.added);
        metrics.memoriesIngested.inc({ outcome: 'duplicate' }, answer.duplicates);
      }
      // Also for a replay: the answer to the first request may have been lost together with its hint.
      await hint(bankId);
      return { ...answer, replayed };
    },
  };

  async function write(
    tx: Tx,
    bankId: string,
    rows: readonly NewMemory[],
    entities: readonly { readonly memoryId: string; readonly name: string }[],
  ): Promise<WrittenMemory[]> {
    await markWriter(tx, deps.instanceId);
    await ensureBank(tx, bankId);
    const added = new Set<string>();
    const existing = new Map<string, string>();
    let missing: readonly NewMemory[] = rows;
    while (missing.length > 0) {
      for (const id of await insertMemories(tx, bankId, missing)) added.add(id);
      missing = missing.filter((row) => !added.has(row.id));
      const found = await findExisting(tx, bankId, missing);
      refuseOtherTexts(rows, found);
      for (const { wantedId, id } of found) existing.set(wantedId, id);
      // Neither new nor there: the row that stood in the way was deleted between the two statements. Once more.
      missing = missing.filter((row) => !existing.has(row.id));
    }
    await linkEntities(
      tx,
      bankId,
      entities.filter((link) => added.has(link.memoryId)),
      deps.newId,
    );
    return rows.map((row) => ({ id: existing.get(row.id) ?? row.id, duplicate: !added.has(row.id) }));
  }
}

function refuseOtherTexts(
  rows: readonly NewMemory[],
  found: readonly { readonly wantedId: string; readonly isSame: boolean }[],
): void {
  const others = new Set(found.filter(({ isSame }) => !isSame).map(({ wantedId }) => wantedId));
  if (others.size === 0) return;
  throw new IngestKeyConflictError(
    rows.flatMap((row, index) =>
      others.has(row.id)
        ? [{ path: `[${index}].idempotency_key`, message: 'was used before for a memory with another text' }]
        : [],
    ),
  );
}

interface Prepared {
  readonly rows: readonly NewMemory[];
  readonly entities: readonly { readonly memoryId: string; readonly name: string }[];
  readonly scrubbed: number;
}

/** What is to be stored: without secrets, with ids in the order of the input, which is the order of time. */
function prepare(inputs: readonly MemoryInput[], requestKey: string | undefined, newId: () => string): Prepared {
  let scrubbed = 0;
  const entities: { memoryId: string; name: string }[] = [];
  const rows = inputs.map((input, index) => {
    const { value, removed } = scrubJson(input);
    scrubbed += removed;
    // scrubJson keeps the shape of what it is given.
    const memory = value as MemoryInput;
    const id = newId();
    for (const name of memory.entities ?? []) entities.push({ memoryId: id, name: name.trim() });
    return {
      id,
      text: memory.text,
      context: memory.context ?? null,
      kind: memory.kind ?? ('world' as const),
      tags: memory.tags ?? [],
      metadata: memory.metadata ?? {},
      dialogue: memory.dialogue ?? null,
      occurredStart: storedTime(memory.occurred_start),
      occurredEnd: storedTime(memory.occurred_end),
      mentionedAt: storedTime(memory.mentioned_at),
      sourceRef: memory.source_ref ?? null,
      ingestKey:
        input.idempotency_key ?? (requestKey === undefined ? null : elementKey(requestKey, index, inputs.length)),
    };
  });
  return { rows, entities, scrubbed };
}

/** The key of a request of one memory is that memory's; an array's elements get theirs by position. */
function elementKey(requestKey: string, index: number, count: number): string {
  return count === 1 ? requestKey : `${requestKey}:${index}`;
}

function storedTime(text: string | undefined): string | null {
  const time = text === undefined ? undefined : parseIsoTime(text);
  return time === undefined ? null : new Date(time).toISOString();
}
