import { isShown, linkKey, sameContent } from '../consolidation/observation-rows.ts';
import type { LockedObservation } from '../store/apply-locks.ts';
import {
  type ChangeOpRow,
  type ConflictImage,
  emptyOp,
  type LinkImage,
  type MemoryImage,
  type ObservationImage,
} from '../store/change-ops.ts';
import type { ReviewedOp } from '../store/change-review.ts';
import type { MemoryMove } from '../store/memory-states.ts';
import { decodeRealArray } from '../store/vectors/vector-bytes.ts';
import { asStored, type KeptVector, sameVector } from './kept-vector.ts';
import { memoriesBack } from './memories-back.ts';
import type { UndoGround, UndoPlan, UndoWrites } from './plan-undo.ts';
import { excerpt, type LaterChange } from './refusals.ts';
import { markBack, restingOnGone, restingUnmoved, standsAsLeft } from './standing-marks.ts';
import { changedIds, createdId, imagesAfter, imagesBefore, isComplete, movedLinks } from './touched.ts';

interface Row {
  image: ObservationImage;
  vector: KeptVector;
  readonly found: LockedObservation;
}

/** The store as it becomes while ops are taken back, one after the other. */
export class Reversal {
  readonly #ground: UndoGround;
  readonly #rows: Map<string, Row>;
  readonly #links: Map<string, LinkImage>;
  readonly #foundLinks: ReadonlyMap<string, LinkImage>;
  readonly #conflicts: Map<string, ConflictImage>;
  readonly #moves = new Map<string, MemoryMove>();
  readonly #withdrawn = new Set<string>();
  /** Rows that lost a source while they were marked, and come out as if they had it. */
  readonly #bereft = new Set<string>();
  readonly #ops: ChangeOpRow[] = [];
  readonly #later: LaterChange[] = [];

  constructor(ground: UndoGround) {
    this.#ground = ground;
    this.#rows = new Map(
      [...ground.rows].map(([id, found]) => {
        const vector = { bytes: found.embedding, model: found.embeddingModel };
        return [id, { image: found.image, vector, found }];
      }),
    );
    this.#foundLinks = new Map(ground.links.map((link) => [linkKey(link), link]));
    this.#links = new Map(this.#foundLinks);
    this.#conflicts = new Map(ground.conflicts.map((conflict) => [conflict.id, conflict]));
  }

  run(ops: readonly ReviewedOp[]): UndoPlan {
    this.#refuseLater(ops);
    for (const op of ops) {
      if (op.isErased) this.#refuse(op.targetId ?? op.resultId, 'its texts were erased', op);
      else if (!isComplete(op)) this.#refuse(op.targetId ?? op.resultId, 'it is older than what undo needs', op);
      else this.#reverse(op);
    }
    this.#refuseWhatStandsOnWithdrawn();
    if (this.#later.length > 0) return { kind: 'refused', later: this.#later };
    const missing = [...this.#rows.values()].flatMap((row) =>
      this.#vectorOf(row) === undefined ? [row.image.text] : [],
    );
    if (missing.length > 0) return { kind: 'embed', texts: [...new Set(missing)] };
    this.#markWhatRestsOnGone();
    return { kind: 'writes', writes: this.#writes() };
  }

  /** Ops in force that came after one of those to be undone and touch the same observation. */
  #refuseLater(ops: readonly ReviewedOp[]): void {
    const firstNo = new Map<string, number>();
    for (const op of ops) {
      for (const id of changedIds(op)) firstNo.set(id, Math.min(op.appliedNo, firstNo.get(id) ?? op.appliedNo));
    }
    for (const op of this.#ground.later) {
      const observationId = op.observationIds.find(
        (id) => op.appliedNo > (firstNo.get(id) ?? Number.POSITIVE_INFINITY),
      );
      if (observationId === undefined) continue;
      const { changeSetId, seq, at } = op;
      const what = `${op.op} ${excerpt(op.text ?? this.#rows.get(observationId)?.image.text ?? null)}`;
      this.#later.push({ changeSetId, seq, op: op.op, at, observationId, what });
    }
  }

  #reverse(op: ReviewedOp): void {
    const before = new Map(imagesBefore(op).map((image) => [image.id, image]));
    const changed = new Set(changedIds(op));
    const created = createdId(op);
    const found: ObservationImage[] = [];
    const left: ObservationImage[] = [];
    let vectors: { found: KeptVector; left: KeptVector } | null = null;
    for (const image of imagesAfter(op)) {
      if (!changed.has(image.id)) continue;
      const row = this.#rows.get(image.id);
      if (!row || !standsAsLeft(image, row.image)) {
        this.#refuse(image.id, `is no longer as this left it: ${excerpt(row?.image.text ?? image.text)}`, null);
        continue;
      }
      const earlier = before.get(image.id);
      const target =
        image.id === created
          ? { ...row.image, retiredAt: row.image.retiredAt ?? this.#ground.now.toISOString(), needsReplanAt: null }
          : { ...(earlier ?? row.image), needsReplanAt: markBack(image, row.image, earlier) };
      if (sameContent(target, row.image)) continue;
      if (target.text !== row.image.text) {
        const stood = { bytes: op.afterEmbedding, model: op.afterEmbeddingModel };
        if (!sameVector(stood, row.vector)) this.#refuse(image.id, 'has another vector than this left', null);
        vectors = { found: row.vector, left: { bytes: op.beforeEmbedding, model: op.beforeEmbeddingModel } };
        row.vector = vectors.left;
      }
      found.push(row.image);
      row.image = { ...target, version: row.image.version + 1 };
      left.push(row.image);
    }
    if (created !== null) this.#withdrawn.add(created);
    const marked = left.filter((image, index) => image.needsReplanAt !== null && found[index]?.needsReplanAt === null);
    const links = this.#reverseLinks(op, new Set(marked.map((image) => image.id)));
    const conflicts = this.#reverseConflicts(op);
    const memories = this.#reverseMemories(op);
    const mainId = op.targetId ?? created;
    const isMain = (image: ObservationImage) => image.id === mainId;
    this.#ops.push({
      ...emptyOp,
      op: op.op,
      status: 'applied',
      groupNo: op.groupNo,
      targetId: mainId,
      baseVersion: found.find(isMain)?.version ?? null,
      resultId: mainId === created ? null : op.resultId,
      observationIds: op.observationIds,
      memoryIds: op.memoryIds,
      memoryVersions: op.memoryVersions,
      sourceIds: op.sourceIds,
      before: {
        target: found.find(isMain) ?? null,
        repointed: found.filter((image) => !isMain(image)),
        links: links.found,
        conflicts: conflicts.found,
        memories: memories.found,
      },
      after: {
        target: left.find(isMain) ?? null,
        created: null,
        repointed: left.filter((image) => !isMain(image)),
        links: links.left,
        conflictId: null,
        conflicts: conflicts.left,
        memories: memories.left,
        undid: { changeSetId: op.changeSetId, seq: op.seq },
      },
      beforeEmbedding: vectors?.found.bytes ?? null,
      beforeEmbeddingModel: vectors?.found.model ?? null,
      afterVector: asStored(vectors?.left ?? null),
      reason: op.reason,
    });
  }

  #reverseLinks(op: ReviewedOp, marked: ReadonlySet<string>): { found: LinkImage[]; left: LinkImage[] } {
    const found: LinkImage[] = [];
    const left: LinkImage[] = [];
    for (const { key, before, after } of movedLinks(op)) {
      const stands = this.#links.get(key);
      // Its memory was deleted, and took the link along: there is nothing to take away.
      if (!stands && !before && after && !this.#ground.memories.has(after.memoryId)) continue;
      if (stands?.memoryVersion !== after?.memoryVersion) {
        const { observationId, memoryId } = after ?? before ?? { observationId: null, memoryId: '' };
        this.#refuse(observationId, `no longer rests on memory ${memoryId} as this left it`, null);
        continue;
      }
      if (stands) found.push(stands);
      if (before) {
        if (!this.#ground.memories.has(before.memoryId)) {
          this.#refuse(before.observationId, `rested on memory ${before.memoryId}, which is gone`, null);
        }
        this.#links.set(key, before);
        left.push(before);
      } else this.#links.delete(key);
    }
    for (const link of op.setKind === 'undo' ? (op.before?.links ?? []) : []) {
      if (!this.#links.has(linkKey(link))) this.#bereft.add(link.observationId);
    }
    const unmoved = restingUnmoved(this.#links.values(), marked, [...found, ...left]);
    return { found: [...found, ...unmoved], left: [...left, ...unmoved] };
  }

  #reverseConflicts(op: ReviewedOp): { found: ConflictImage[]; left: ConflictImage[] } {
    const before = new Map(op.before?.conflicts?.map((conflict) => [conflict.id, conflict]));
    const after = new Map(op.after?.conflicts?.map((conflict) => [conflict.id, conflict]));
    const found: ConflictImage[] = [];
    const left: ConflictImage[] = [];
    for (const id of new Set([...before.keys(), ...after.keys()])) {
      const stands = this.#conflicts.get(id);
      const then = after.get(id);
      if (stands?.status !== then?.status || stands?.resolution !== then?.resolution) {
        const sides = [then ?? before.get(id)].flatMap((one) => (one ? [one.left, one.right] : []));
        const told = sides.find((side) => this.#later.some((later) => later.observationId === side));
        this.#refuse(told ?? sides[0] ?? null, `conflict ${id} was resolved or taken away since`, null);
        continue;
      }
      if (stands) found.push(stands);
      const earlier = before.get(id);
      if (earlier) {
        this.#conflicts.set(id, earlier);
        left.push(earlier);
      } else this.#conflicts.delete(id);
    }
    return { found, left };
  }

  #reverseMemories(op: ReviewedOp): { found: readonly MemoryImage[]; left: readonly MemoryImage[] } {
    const { memories, later } = this.#ground;
    const { found, left, takenUp } = memoriesBack(op, { memories, later, moved: this.#moves });
    for (const id of takenUp) this.#refuse(null, `memory ${id} was taken up again since`, null);
    for (const { id, state, reason } of left) this.#moves.set(id, { id, state, reason });
    return { found, left };
  }

  /** An observation that an op had made goes out of use: nothing may be left that points at it. */
  #refuseWhatStandsOnWithdrawn(): void {
    for (const id of this.#withdrawn) {
      const pointing = [...this.#rows.values()].find((row) =>
        [row.image.canonicalId, row.image.supersededBy].includes(id),
      );
      if (pointing) this.#refuse(id, `is pointed at by ${excerpt(pointing.image.text)}`, null);
      const link = [...this.#links.values()].find((one) => one.observationId === id);
      if (link) this.#refuse(id, `rests on memory ${link.memoryId} as well`, null);
      const open = [...this.#conflicts.values()].find(
        (conflict) => conflict.status === 'open' && [conflict.left, conflict.right].includes(id),
      );
      if (open) this.#refuse(id, `cannot hold beside another since: conflict ${open.id}`, null);
    }
    const pairs = [...this.#conflicts.values()]
      .filter((one) => one.status === 'open')
      .map((c) => `${c.left}/${c.right}`);
    if (new Set(pairs).size < pairs.length) this.#refuse(null, 'the same two were found to conflict again since', null);
  }

  /** What comes back into sight over a memory that went or changed meanwhile is looked at again by the next run. */
  #markWhatRestsOnGone(): void {
    const gone = restingOnGone(this.#links.values(), this.#ground.memories);
    for (const [id, row] of this.#rows) {
      if (row.image.needsReplanAt !== null || !(gone.has(id) || this.#bereft.has(id))) continue;
      const version = row.found.image.version + 1;
      row.image = {
        ...row.image,
        needsReplanAt: this.#ground.now.toISOString(),
        version: Math.max(version, row.image.version),
      };
    }
  }

  #refuse(observationId: string | null, what: string, op: ReviewedOp | null): void {
    // A later op that is listed says it better.
    if (observationId !== null && this.#later.some((one) => one.observationId === observationId)) return;
    this.#later.push({
      changeSetId: op?.changeSetId ?? null,
      seq: op?.seq ?? null,
      op: op?.op ?? null,
      at: op?.at ?? null,
      observationId,
      what,
    });
  }

  /** Null: the vector in the row stays. Undefined: one has to be made, since the text's own is of another model. */
  #vectorOf(row: Row): Float32Array | null | undefined {
    if (row.image.text === row.found.image.text) return null;
    if (row.vector.model === this.#ground.model && row.vector.bytes) return decodeRealArray(row.vector.bytes);
    return this.#ground.vectors.get(row.image.text);
  }

  #writes(): UndoWrites {
    const changed = [...this.#rows.values()].filter((row) => row.image !== row.found.image);
    const keys = new Set([...this.#foundLinks.keys(), ...this.#links.keys()]);
    const moved = [...keys].filter((key) => this.#links.get(key) !== this.#foundLinks.get(key));
    const foundConflicts = new Map(this.#ground.conflicts.map((conflict) => [conflict.id, conflict]));
    return {
      updated: changed.map((row) => ({
        image: row.image,
        embedding: this.#vectorOf(row) ?? null,
        surfaced: isShown(row.image) && (!isShown(row.found.image) || row.image.text !== row.found.image.text),
        tags: row.found.tags,
      })),
      links: moved.flatMap((key) => this.#links.get(key) ?? []),
      droppedLinks: moved.flatMap((key) => (this.#links.has(key) ? [] : (this.#foundLinks.get(key) ?? []))),
      conflicts: [...this.#conflicts.values()].filter((conflict) => foundConflicts.get(conflict.id) !== conflict),
      droppedConflictIds: [...foundConflicts.keys()].filter((id) => !this.#conflicts.has(id)),
      memories: [...this.#moves.values()],
      ops: this.#ops,
    };
  }
}
