import type { LockedObservation } from '../store/apply-locks.ts';
import type { TimelineEvent } from '../store/apply-writes.ts';
import type { AfterImage, BeforeImage, ChangeOpRow, ObservationImage } from '../store/change-ops.ts';
import type { ChangedObservation, Link } from '../store/observations.ts';
import type { MemoryRef, NewText, OpGroup, PlannedOp, TargetRef } from './plan.ts';
import { memoriesOf, textOf } from './plan.ts';

/** What the store has to write so that the groups have happened. */
export interface Writes {
  readonly inserted: readonly { readonly image: ObservationImage; readonly embedding: Float32Array }[];
  readonly updated: readonly ChangedObservation[];
  readonly links: readonly Link[];
  readonly droppedLinks: readonly Link[];
  readonly conflicts: readonly {
    readonly id: string;
    readonly left: string;
    readonly right: string;
    readonly reason: string;
  }[];
  readonly memories: readonly { readonly id: string; readonly state: 'consolidated'; readonly reason: string | null }[];
  readonly changeOps: readonly ChangeOpRow[];
  readonly events: readonly TimelineEvent[];
}

interface Entry {
  image: ObservationImage;
  /** Whether others could lean on it before: live, and its evidence intact. */
  readonly wasShown: boolean;
  readonly isNew: boolean;
  /** The vector to write: of a new row, or of a row whose text changed. */
  embedding: Float32Array | null;
  changed: boolean;
}

/**
 * Plays the ops, in their order, over the locked rows. Pure: the same rows and ops give the same writes, so that a
 * transaction that met a deadlock can simply run again.
 */
export function carryOut(options: {
  readonly groups: readonly OpGroup[];
  readonly locked: ReadonlyMap<string, LockedObservation>;
  readonly changeSetId: string;
  readonly now: Date;
  readonly newId: () => string;
}): Writes {
  const play = new Play(options);
  for (const group of options.groups) for (const op of group.ops) play.run(op);
  return play.writes(options.groups.flatMap((group) => group.memberIds));
}

class Play {
  readonly #entries = new Map<string, Entry>();
  readonly #locked: ReadonlyMap<string, LockedObservation>;
  readonly #changeSetId: string;
  readonly #now: string;
  readonly #newId: () => string;
  readonly #links: Link[] = [];
  readonly #dropped: Link[] = [];
  readonly #conflicts: Writes['conflicts'][number][] = [];
  readonly #rows: ChangeOpRow[] = [];
  readonly #events: TimelineEvent[] = [];
  readonly #skipReasons = new Map<string, string>();

  constructor(options: {
    readonly locked: ReadonlyMap<string, LockedObservation>;
    readonly changeSetId: string;
    readonly now: Date;
    readonly newId: () => string;
  }) {
    this.#locked = options.locked;
    this.#changeSetId = options.changeSetId;
    this.#now = options.now.toISOString();
    this.#newId = options.newId;
    for (const [id, row] of options.locked) {
      const wasShown = isShown(row.image);
      this.#entries.set(id, { image: row.image, wasShown, isNew: false, embedding: null, changed: false });
    }
  }

  run(op: PlannedOp): void {
    switch (op.op) {
      case 'create': {
        const superseder = op.supersededBy === null ? null : this.#image(op.supersededBy);
        const created = this.#create(op.id, op.content, op.memories, op.validFrom);
        if (superseder) this.#change(op.id, { supersededBy: superseder.id, validTo: superseder.validFrom });
        this.#record(op, { created: this.#entry(op.id).image, links: this.#link(created.id, op.memories) });
        return;
      }
      case 'reinforce': {
        const before = this.#image(op.target);
        this.#change(op.target.id, {
          ...widened(before, op.memories),
          ...(op.replan === null ? {} : { needsReplanAt: null }),
        });
        const dropped = this.#drop(op.replan?.dropped ?? []);
        this.#record(op, { before, droppedLinks: dropped, links: this.#link(op.target.id, op.memories) });
        return;
      }
      case 'revise': {
        const before = this.#image(op.target);
        this.#change(op.target.id, {
          ...widened(before, op.memories),
          text: op.content.text,
          version: before.version + 1,
          needsReplanAt: null,
        });
        this.#entry(op.target.id).embedding = op.content.embedding;
        const dropped = this.#drop(op.replan?.dropped ?? []);
        this.#record(op, { before, droppedLinks: dropped, links: this.#link(op.target.id, op.memories) });
        return;
      }
      case 'supersede': {
        const before = this.#image(op.target);
        const created = this.#create(op.id, op.content, op.memories, op.validFrom);
        this.#change(op.target.id, {
          supersededBy: created.id,
          validTo: created.validFrom,
          version: before.version + 1,
        });
        this.#record(op, { before, created, links: this.#link(created.id, op.memories) });
        return;
      }
      case 'conflict': {
        const before = this.#image(op.target);
        const created = this.#create(op.id, op.content, op.memories, op.validFrom);
        const conflictId = this.#newId();
        this.#conflicts.push({ id: conflictId, left: op.target.id, right: created.id, reason: op.reason });
        this.#record(op, { before, created, conflictId, links: this.#link(created.id, op.memories) });
        return;
      }
      case 'fold': {
        const before = this.#image(op.target);
        // Whatever pointed at the folded one points at its canonical now, so that a chain is never longer than one.
        const repointed = this.#pointingAt(op.target.id);
        this.#change(op.target.id, { canonicalId: op.into.id, version: before.version + 1 });
        for (const image of repointed) {
          this.#change(image.id, {
            version: image.version + 1,
            ...(image.canonicalId === op.target.id ? { canonicalId: op.into.id } : {}),
            ...(image.supersededBy === op.target.id ? { supersededBy: op.into.id } : {}),
          });
        }
        this.#record(op, { before, repointed });
        return;
      }
      case 'retire': {
        const before = this.#image(op.target);
        // What it had superseded holds again: the only word against it has gone. Marked, so that it is looked at before
        // anybody leans on it: the same may have been written anew while it was history.
        const reopened = this.#pointingAt(op.target.id).filter((image) => image.supersededBy === op.target.id);
        this.#change(op.target.id, {
          retiredAt: before.retiredAt ?? this.#now,
          needsReplanAt: null,
          version: before.version + 1,
        });
        for (const image of reopened) {
          this.#change(image.id, {
            supersededBy: before.supersededBy,
            ...(before.supersededBy === null ? { validTo: null, needsReplanAt: image.needsReplanAt ?? this.#now } : {}),
            version: image.version + 1,
          });
        }
        const dropped = this.#drop(op.replan?.dropped ?? []);
        this.#record(op, { before, repointed: reopened, droppedLinks: dropped });
        return;
      }
      case 'skip': {
        for (const memory of op.memories) this.#skipReasons.set(memory.id, op.reason);
        this.#record(op, {});
        return;
      }
      default:
        op satisfies never;
    }
  }

  writes(memberIds: readonly string[]): Writes {
    const entries = [...this.#entries.values()];
    return {
      inserted: entries.flatMap((entry) =>
        entry.isNew && entry.embedding ? [{ image: entry.image, embedding: entry.embedding }] : [],
      ),
      updated: entries
        .filter((entry) => !entry.isNew && entry.changed)
        .map(({ image, embedding, wasShown }) => ({ image, embedding, surfaced: !wasShown && isShown(image) })),
      links: deduplicated(this.#links),
      droppedLinks: this.#dropped,
      conflicts: this.#conflicts,
      memories: [...new Set(memberIds)].map((id) => ({
        id,
        state: 'consolidated' as const,
        reason: this.#skipReasons.get(id) ?? null,
      })),
      changeOps: this.#rows,
      events: this.#events,
    };
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`observation ${id} was neither locked nor created before it was used`);
    return entry;
  }

  #image(target: TargetRef): ObservationImage {
    return this.#entry(target.id).image;
  }

  #change(id: string, change: Partial<ObservationImage>): void {
    const entry = this.#entry(id);
    const next = { ...entry.image, ...change };
    if (!entry.isNew) entry.changed ||= !sameImage(entry.image, next);
    // A row that this plan makes has no earlier version that anybody could have seen.
    entry.image = entry.isNew ? { ...next, version: 1 } : next;
  }

  #create(id: string, content: NewText, memories: readonly MemoryRef[], validFrom: Date | null): ObservationImage {
    const image: ObservationImage = {
      id,
      text: content.text,
      version: 1,
      validFrom: validFrom?.toISOString() ?? null,
      validTo: null,
      occurredStart: null,
      occurredEnd: null,
      supersededBy: null,
      canonicalId: null,
      retiredAt: null,
      needsReplanAt: null,
    };
    const bounded = { ...image, ...widened(image, memories), validFrom: image.validFrom };
    this.#entries.set(id, {
      image: bounded,
      wasShown: false,
      isNew: true,
      embedding: content.embedding,
      changed: true,
    });
    return bounded;
  }

  #pointingAt(id: string): ObservationImage[] {
    return [...this.#entries.values()]
      .map((entry) => entry.image)
      .filter((image) => image.id !== id && (image.canonicalId === id || image.supersededBy === id));
  }

  #link(observationId: string, memories: readonly MemoryRef[]): Link[] {
    const links = memories.map((memory) => ({ observationId, memoryId: memory.id, memoryVersion: memory.version }));
    this.#links.push(...links);
    return links;
  }

  #drop(links: readonly Link[]): readonly Link[] {
    this.#dropped.push(...links);
    return links;
  }

  #record(
    op: PlannedOp,
    seen: {
      readonly before?: ObservationImage;
      readonly created?: ObservationImage;
      readonly repointed?: readonly ObservationImage[];
      readonly links?: readonly Link[];
      readonly droppedLinks?: readonly Link[];
      readonly conflictId?: string;
    },
  ): void {
    const targetId = seen.before?.id ?? null;
    const memoryIds = memoriesOf(op).map((memory) => memory.id);
    const before: BeforeImage = {
      target: seen.before ?? null,
      repointed: seen.repointed ?? [],
      links: seen.droppedLinks ?? [],
    };
    const after: AfterImage = {
      target: targetId === null ? null : this.#entry(targetId).image,
      created: seen.created ?? null,
      repointed: (seen.repointed ?? []).map((image) => this.#entry(image.id).image),
      links: seen.links ?? [],
      conflictId: seen.conflictId ?? null,
    };
    const replacedVector = op.op === 'revise' ? this.#locked.get(op.target.id) : undefined;
    this.#rows.push({
      op: op.op,
      status: 'applied',
      targetId,
      baseVersion: seen.before?.version ?? null,
      resultId: seen.created?.id ?? (op.op === 'fold' ? op.into.id : null),
      memoryIds,
      sourceIds: memoryIds,
      before: op.op === 'skip' ? null : before,
      after: op.op === 'skip' ? null : after,
      beforeEmbedding: replacedVector?.embedding ?? null,
      beforeEmbeddingModel: replacedVector?.embeddingModel ?? null,
      wroteVector: textOf(op) !== null,
      reason: op.reason,
      verdicts: [],
    });
    this.#events.push({
      kind: op.op === 'skip' ? 'memory.skipped' : `observation.${eventNames[op.op]}`,
      memoryId: memoryIds.length === 1 ? (memoryIds[0] ?? null) : null,
      observationId: targetId ?? seen.created?.id ?? null,
      changeSetId: this.#changeSetId,
      detail: seen.created && targetId !== null ? { by: seen.created.id } : {},
    });
  }
}

const eventNames = {
  create: 'created',
  reinforce: 'reinforced',
  revise: 'revised',
  supersede: 'superseded',
  conflict: 'conflicted',
  fold: 'folded',
  retire: 'retired',
} as const;

/** The bounds of an observation are those of all that supports it; evidence that dates it dates it from then on. */
function widened(
  image: ObservationImage,
  memories: readonly MemoryRef[],
): Pick<ObservationImage, 'validFrom' | 'occurredStart' | 'occurredEnd'> {
  return {
    validFrom: extreme('earliest', [image.validFrom, ...memories.map((memory) => memory.heldAt)]),
    occurredStart: extreme('earliest', [image.occurredStart, ...memories.map((memory) => memory.occurredStart)]),
    occurredEnd: extreme('latest', [
      image.occurredEnd,
      ...memories.map((memory) => memory.occurredEnd ?? memory.occurredStart),
    ]),
  };
}

function extreme(which: 'earliest' | 'latest', times: readonly (Date | string | null)[]): string | null {
  const known = times.filter((time) => time !== null).map((time) => new Date(time).getTime());
  if (known.length === 0) return null;
  return new Date(which === 'earliest' ? Math.min(...known) : Math.max(...known)).toISOString();
}

function isShown(image: ObservationImage): boolean {
  return [image.supersededBy, image.canonicalId, image.retiredAt, image.needsReplanAt].every((mark) => mark === null);
}

function sameImage(a: ObservationImage, b: ObservationImage): boolean {
  return (Object.keys(a) as (keyof ObservationImage)[]).every((key) => a[key] === b[key]);
}

/** One row a pair: an upsert may not touch a row twice in one statement. */
function deduplicated(links: readonly Link[]): Link[] {
  const newest = new Map<string, Link>();
  for (const link of links) {
    const key = `${link.observationId}/${link.memoryId}`;
    const known = newest.get(key);
    if (!known || known.memoryVersion < link.memoryVersion) newest.set(key, link);
  }
  return [...newest.values()];
}
