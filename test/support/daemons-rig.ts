import { v7 as uuid } from 'uuid';
import type { SliceReport } from '../../src/consolidation/engine.ts';
import { createDatabase, type Database } from '../../src/db/database.ts';
import { encodeRealArray } from '../../src/store/vectors/vector-bytes.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog, silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { poolMemories } from '../bench/pool-input.ts';
import { createDrivenClock, type DrivenClock } from './driven-clock.ts';
import { createFakeEmbedder, wordVector } from './fake-embedder.ts';
import { createLlmEngine, type LlmEngine, type LlmEngineOptions } from './llm-engine.ts';
import { createScriptedModel, type ScriptedModel } from './scripted-model.ts';
import { createTestDatabase } from './test-database.ts';

export const concurrency = 3;
/** Memories a call. */
export const perCall = 3;

export interface DaemonsRigOptions {
  /** Daemons on one database, each with a pool, a gate and a bank of its own. Default 1. */
  readonly daemons?: number;
  /** Default: vectors are made in the process and are not part of the trouble. */
  readonly embeds?: 'at the endpoint';
  readonly engine?: Partial<Omit<LlmEngineOptions, 'db' | 'baseUrl' | 'clock' | 'log'>>;
}

/** Daemons between their database and their queue, a scripted endpoint, and a clock that goes as fast as they work. */
export interface DaemonsRig {
  readonly db: Database;
  readonly model: ScriptedModel;
  readonly clock: DrivenClock;
  /** One a daemon. */
  readonly banks: readonly string[];
  /** Warnings and errors, one line of JSON each. */
  readonly logged: readonly string[];
  /** Distinct facts, `perCall` of which make a call. */
  remember(bank: string, count: number): Promise<void>;
  /** The same with texts and a scope of their own. */
  rememberTexts(
    bank: string,
    texts: readonly string[],
    of?: { readonly tags?: readonly string[]; readonly mentionedAt?: string },
  ): Promise<void>;
  /**
   * Each daemon works on its bank as its queue would have it: slice after slice, a deferred one when it is due again.
   * Until nothing is due, or until the instant has come.
   *
   * @returns the last report of each
   */
  work(until: Date): Promise<SliceReport[]>;
  /** Operations that the judges refused, by validator, over all daemons. */
  rejected(): Promise<Record<string, number>>;
  /** Memories of all banks by state, those with an attempt counted apart. */
  states(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

/** No failure outside is asked about more often by the queue. */
const shortestDeferralMs = 5000;

export async function createDaemonsRig(options: DaemonsRigOptions = {}): Promise<DaemonsRig> {
  const daemonCount = options.daemons ?? 1;
  const database = await createTestDatabase({ poolMax: 4 });
  const model = await createScriptedModel();
  const clock = createDrivenClock();
  const logged: string[] = [];
  const log = createLog({ level: 'warn', pretty: false, destination: { write: (line) => logged.push(line) } });
  const daemons: { readonly bank: string; readonly db: Database; readonly engine: LlmEngine }[] = [];
  let facts = 0;

  for (let daemon = 1; daemon <= daemonCount; daemon += 1) {
    const db = createDatabase({
      connectionString: database.connectionString,
      poolMax: 4,
      applicationName: `engramd-test-${daemon}`,
      log: silentLog,
      clock: systemClock,
      metrics: createMetrics(),
    });
    const engine = await createLlmEngine({
      db,
      baseUrl: model.baseUrl,
      concurrency,
      batchMemories: perCall,
      clock,
      log,
      ...(options.embeds === undefined && { embedder: createFakeEmbedder() }),
      ...options.engine,
    });
    const bank = `bank-${daemon}`;
    await db.query('insert into engram.banks (id) values ($1)', [bank]);
    daemons.push({ bank, db, engine });
  }
  const { id: embeddingModel } = (daemons[0] as (typeof daemons)[number]).engine.embedder.model;

  /** A request that hangs is done with: nothing comes of it but its time-out. */
  function isQuiet(): boolean {
    const requests = daemons.reduce((sum, { engine }) => sum + engine.requestsUnderWay(), 0);
    return requests === model.hanging() && daemons.every(({ db }) => isIdle(db)) && isIdle(database.db);
  }

  const insert: DaemonsRig['rememberTexts'] = async (bank, texts, { tags = [], mentionedAt = '2026-03-01' } = {}) => {
    await database.db.query(
      `insert into engram.memories (bank_id, id, text, tags, mentioned_at, embedding, embedding_model)
       select $1, m.id, m.text, $5, $7, m.vector::real[], case when m.vector is not null then $2 end
       from unnest($3::uuid[], $4::text[], $6::text[]) as m(id, text, vector)`,
      [
        bank,
        embeddingModel,
        texts.map(() => uuid()),
        texts,
        tags,
        texts.map((text) => (options.embeds === undefined ? encodeRealArray(wordVector(text)) : null)),
        mentionedAt,
      ],
    );
  };

  async function workOn({ bank, engine }: (typeof daemons)[number], until: Date): Promise<SliceReport> {
    for (;;) {
      const { signal } = new AbortController();
      const report = await engine.engine.runSlice({ bankId: bank, trigger: 'successor', signal });
      switch (report.outcome) {
        case 'deferred': {
          const now = clock.now().getTime();
          const at = new Date(Math.max(report.retryAt?.getTime() ?? 0, now + shortestDeferralMs));
          if (at > until) return report;
          await clock.sleep(at.getTime() - now);
          break;
        }
        case 'time_up':
        case 'yielded':
          break;
        default:
          return report;
      }
    }
  }

  return {
    db: database.db,
    model,
    clock,
    banks: daemons.map(({ bank }) => bank),
    logged,
    async remember(bank, count) {
      facts += 1;
      const memories = poolMemories({ count, twinShare: 0, seed: 100 + facts });
      await insert(
        bank,
        memories.map(({ text }) => text),
      );
    },
    rememberTexts: insert,
    work: (until) => clock.drive(Promise.all(daemons.map((daemon) => workOn(daemon, until))), isQuiet),
    async rejected() {
      const counts: Record<string, number> = {};
      for (const { engine } of daemons) {
        for (const { labels, value } of (await engine.metrics.opsRejected.get()).values) {
          const validator = String(labels.validator);
          if (value > 0) counts[validator] = (counts[validator] ?? 0) + value;
        }
      }
      return counts;
    },
    async states() {
      const { rows } = await database.db.query<{ state: string; n: number }>(
        `select state, count(*)::int as n from engram.memories group by 1
         union all select 'with an attempt', count(*)::int from engram.memories where attempts > 0 having count(*) > 0`,
      );
      return Object.fromEntries(rows.map(({ state, n }) => [state, n]));
    },
    async close() {
      await Promise.all(daemons.map(({ engine }) => engine.release()));
      await Promise.all(daemons.map(({ db }) => db.close()));
      await model.close();
      await database.drop();
    },
  };
}

function isIdle(db: Database): boolean {
  const { used, waiting } = db.poolCounts();
  return used === 0 && waiting === 0;
}
