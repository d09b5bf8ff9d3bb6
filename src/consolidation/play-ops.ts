import type { TimelineEvent } from '../store/apply-writes.ts';
import type { ChangeOpRow, ConflictImage, ObservationImage } from '../store/change-ops.ts';
import type { Link } from '../store/observations.ts';
import { encodeRealBytes } from '../store/vectors/vector-bytes.ts';
import type { CarryOutOptions, Writes } from './carry-out.ts';
import { isShown, linkKey, sameImage, widened } from './observation-rows.ts';
import type { MemoryRef, NewText, PlannedOp, TargetRef } from './plan.ts';
import { textOf } from './plan.ts';
import { type Group, recordOf, type Seen } from './record-op.ts';

interface Entry {
  image: ObservationImage;
  /** Whether others could lean on it before: live, and its evidence intact. */
  readonly wasShown: boolean;
  readonly isNew: boolean;
  /** The vector to write: of a new row, or of a row whose text changed. */
  embedding: Float32Array | null;
  changed: boolean;
}

/** The rows as they become while the ops are played over them, one after the other. */
export class Play {
  readonly #options: CarryOutOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #now: string;
  /** Links as they stand while the ops are played. */
  readonly #held: Map<string, Link>;
  readonly #links: Link[] = [];
  readonly #dropped: Link[] = [];
  readonly #conflicts: ConflictImage[] = [];
  readonly #rows: { readonly row: ChangeOpRow; readonly wrote: Float32Array | null }[] = [];
  readonly #events: TimelineEvent[] = [];
  readonly #skipReasons = new Map<string, string>();

  constructor(options: CarryOutOptions) {
    this.#options = options;
    this.#now = options.now.toISOString();
    this.#held = new Map(options.links.map((link) => [linkKey(link), link]));
    for (const [id, row] of options.locked) {
      const wasShown = isShown(row.image);
      this.#entries.set(id, { image: row.image, wasShown, isNew: false, embedding: null, changed: false });
    }
  }

  run(op: PlannedOp, group: Group): void {
    switch (op.op) {
      case 'create': {
        const superseder = op.supersededBy === null ? null : this.#image(op.supersededBy);
        const created = this.#create(op.id, op.content, op.memories, op.validFrom);
        if (superseder) this.#change(op.id, { supersededBy: superseder.id, validTo: superseder.validFrom });
        this.#record(op, group, { created: this.#entry(op.id).image, ...this.#link(created.id, op.memories) });
        return;
      }
      case 'reinforce': {
        const before = this.#image(op.target);
        this.#change(op.target.id, {
          ...widened(before, op.memories),
          ...(op.replan === null ? {} : { needsReplanAt: null }),
        });
        const dropped = this.#drop(op.replan?.dropped ?? []);
        const { links, moved } = this.#link(op.target.id, op.memories);
        this.#record(op, group, { before, links, moved: [...dropped, ...moved] });
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
        const replaced = this.#vectorOf(op.target.id);
        this.#entry(op.target.id).embedding = op.content.embedding;
        const dropped = this.#drop(op.replan?.dropped ?? []);
        const { links, moved } = this.#link(op.target.id, op.memories);
        this.#record(op, group, { before, links, moved: [...dropped, ...moved], replaced });
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
        this.#record(op, group, { before, created, ...this.#link(created.id, op.memories) });
        return;
      }
      case 'conflict': {
        const before = this.#image(op.target);
        const created = this.#create(op.id, op.content, op.memories, op.validFrom);
        const conflict = this.#conflict(op.target.id, created.id, op.reason);
        this.#record(op, group, { before, created, conflict, ...this.#link(created.id, op.memories) });
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
        this.#record(op, group, { before, repointed });
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
        this.#record(op, group, { before, repointed: reopened, moved: dropped });
        return;
      }
      case 'skip': {
        for (const memory of op.memories) this.#skipReasons.set(memory.id, op.reason);
        this.#record(op, group, {});
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
      // One row a pair: an upsert may not touch a row twice in one statement.
      links: [...new Map(this.#links.map((link) => [linkKey(link), link])).values()],
      droppedLinks: this.#dropped,
      conflicts: this.#conflicts,
      memories: [...new Set(memberIds)].map((id) => ({
        id,
        state: 'consolidated' as const,
        reason: this.#skipReasons.get(id) ?? null,
      })),
      changeOps: this.#rows.map(({ row, wrote }) => this.#withVector(row, wrote)),
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

  /** Adds links; `moved` are those that stood there before, as they were. */
  #link(observationId: string, memories: readonly MemoryRef[]): { links: readonly Link[]; moved: readonly Link[] } {
    const moved: Link[] = [];
    const links = memories.map((memory): Link => {
      const key = linkKey({ observationId, memoryId: memory.id });
      const held = this.#held.get(key);
      if (held) moved.push(held);
      const memoryVersion = Math.max(memory.version, held?.memoryVersion ?? 0);
      const link = { observationId, memoryId: memory.id, memoryVersion };
      this.#held.set(key, link);
      return link;
    });
    this.#links.push(...links);
    return { links, moved };
  }

  #drop(links: readonly Link[]): readonly Link[] {
    this.#dropped.push(...links);
    for (const link of links) this.#held.delete(linkKey(link));
    return links;
  }

  #conflict(a: string, b: string, reason: string): ConflictImage {
    const [left, right] = a < b ? [a, b] : [b, a];
    const id = this.#options.newId();
    const unresolved = { status: 'open', resolution: null, resolvedAt: null, changeSetId: null } as const;
    const conflict = { id, left, right, reason, ...unresolved, createdAt: null };
    this.#conflicts.push(conflict);
    return conflict;
  }

  /** The vector that stands in a row by now, as history keeps it. */
  #vectorOf(id: string): { bytes: Buffer; model: string } | null {
    const { embedding } = this.#entry(id);
    if (embedding !== null) return { bytes: encodeRealBytes(embedding), model: this.#options.embeddingModel };
    const row = this.#options.locked.get(id);
    return row ? { bytes: row.embedding, model: row.embeddingModel } : null;
  }

  /** A vector that an op of the same plan has replaced since stands in no row, and is kept by its bytes. */
  #withVector(row: ChangeOpRow, wrote: Float32Array | null): ChangeOpRow {
    if (wrote === null) return row;
    const isInRow = this.#entry(row.resultId ?? row.targetId ?? '').embedding === wrote;
    const bytes = { bytes: encodeRealBytes(wrote), model: this.#options.embeddingModel };
    return { ...row, afterVector: isInRow ? 'in-row' : bytes };
  }

  #record(op: PlannedOp, group: Group, seen: Seen): void {
    const { changeSetId } = this.#options;
    const { row, event } = recordOf(op, { group, seen, changeSetId, imageOf: (id) => this.#entry(id).image });
    this.#rows.push({ row, wrote: textOf(op)?.embedding ?? null });
    this.#events.push(event);
  }
}
