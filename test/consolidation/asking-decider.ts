import { createHash } from 'node:crypto';
import type {
  Batch,
  DecideOptions,
  Decider,
  Proposal,
  RewriteRequest,
  Verdict,
} from '../../src/consolidation/decider.ts';
import type { Database } from '../../src/db/database.ts';
import { ScriptedDecider } from './workbench.ts';

/**
 * A scripted decider that does what one that asks a model does: tells of a request before it is sent, keeps the answer
 * under the request's hash, and takes a kept answer instead of asking.
 */
export class AskingDecider extends ScriptedDecider {
  override readonly asksModel: boolean = true;
  readonly #db: Database;
  /** What was paid for, oldest first: the texts of the memories asked about. */
  paid: string[][] = [];
  ready: Date | null = null;
  /** How often it was asked whether it is ready. */
  readyCalls = 0;
  malformed: NonNullable<Proposal['malformed']> = [];
  blamed: 'memory' | 'model' = 'memory';
  blames_: unknown[] = [];
  options: DecideOptions[] = [];
  lastHash: Buffer = Buffer.alloc(0);

  constructor(db: Database) {
    super();
    this.#db = db;
  }

  override reset(): void {
    super.reset();
    this.paid = [];
    this.ready = null;
    this.readyCalls = 0;
    this.malformed = [];
    this.blamed = 'memory';
    this.blames_ = [];
    this.options = [];
  }

  override async propose(batch: Batch, options?: DecideOptions): Promise<Proposal> {
    if (!options) return super.propose(batch);
    this.options.push(options);
    const hash = hashOf(batch);
    const kept = (await this.#kept(options.bankId, options.answeredBefore)) ?? (await this.#kept(options.bankId, hash));
    if (kept !== undefined) {
      this.batches.push(batch);
      return kept;
    }
    this.lastHash = hash;
    await options.onRequest?.(hash);
    const { ops } = await super.propose(batch);
    this.paid.push(batch.memories.map((memory) => memory.text));
    await this.#db.query(
      `insert into engram.model_answers (bank_id, request_hash, answer, subject_ids)
       select b.id, $2, $3, $4 from engram.banks b where b.id = $1 on conflict do nothing`,
      [options.bankId, hash, JSON.stringify(ops), options.subjectIds],
    );
    return { ops, malformed: this.malformed };
  }

  override async adjudicate(
    pair: Parameters<Decider['adjudicate']>[0],
    admissible: readonly Verdict[],
    options?: DecideOptions,
  ) {
    if (options) this.options.push(options);
    return super.adjudicate(pair, admissible);
  }

  override async rewrite(request: RewriteRequest, options?: DecideOptions) {
    if (options) this.options.push(options);
    return super.rewrite(request);
  }

  override async readyAt() {
    this.readyCalls += 1;
    return this.ready;
  }

  override async blames(thrown?: unknown) {
    this.blames_.push(thrown);
    return this.blamed;
  }

  async #kept(bankId: string, hash: Buffer | undefined): Promise<Proposal | undefined> {
    if (hash === undefined) return undefined;
    const { rows } = await this.#db.query<{ answer: Proposal['ops'] }>(
      'select answer from engram.model_answers where bank_id = $1 and request_hash = $2',
      [bankId, hash],
    );
    const ops = rows[0]?.answer.map((op) =>
      'validFrom' in op && op.validFrom !== null ? { ...op, validFrom: new Date(op.validFrom) } : op,
    );
    return ops && { ops };
  }
}

/** Over everything that an answer depends on. */
function hashOf({ mission, notes, memories, observations }: Batch): Buffer {
  const words = (rows: readonly { readonly alias: string; readonly text: string }[]) =>
    rows.map(({ alias, text }) => [alias, text]);
  const request = JSON.stringify([mission, notes, words(memories), words(observations)]);
  return createHash('sha256').update(request).digest();
}
