import { migrateDatabase } from '../../src/daemon/open-database.ts';
import { createDatabase } from '../../src/db/database.ts';
import { localEmbeddingModel } from '../../src/models/local/local-embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

export interface StormSize {
  readonly memories: number;
  readonly observations: number;
}

/** Halves of vectors, two of which make a row: rows of one topic have a cosine of a half, and of both nearly one. */
const halves = 300;

/**
 * One bank of vectors made by the server itself, since 150 MB of numbers took minutes to send. Every fiftieth row says
 * nearly what the one before says. Everything is consolidated: nothing but the storm has anything to do.
 */
export async function seedStorm(databaseUrl: string, bankId: string, size: StormSize): Promise<void> {
  const db = createDatabase({
    connectionString: databaseUrl,
    poolMax: 2,
    applicationName: 'engramd-bench',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  try {
    await migrateDatabase(db);
    await pinEmbeddingModel(db, localEmbeddingModel);
    const model = localEmbeddingModel.id;
    await db.query('insert into engram.banks (id) values ($1)', [bankId]);
    await db.query("insert into engram.scopes (bank_id, tags, epoch) values ($1, '{}', 1)", [bankId]);
    await db.query(
      `create table public.storm_halves as select h.id, array(
         select ((random() + random() + random() - 1.5) * (h.id + 1) / (h.id + 1))::real from generate_series(1, 256)) as v
       from generate_series(0, ${2 * halves - 1}) as h(id)`,
    );
    await db.query('create unique index on public.storm_halves (id)');
    // Of row n: a half of each kind, and a last number that is its own.
    const vectors = `
      select n, left_half.v || right_half.v[1:255] || (n % 97 / 970.0)::real as v
      from generate_series($2::int, $3::int) as n
        cross join lateral (select n - (n % 50 = 0)::int as pair) as p
        join public.storm_halves left_half on left_half.id = p.pair % ${halves}
        join public.storm_halves right_half on right_half.id = ${halves} + p.pair / ${halves} % ${halves}`;
    for (let from = 1; from <= size.memories; from += 5000) {
      await db.query(
        `insert into engram.memories (bank_id, id, text, tags, embedding, embedding_model, state)
         select $1, gen_random_uuid(), 'what was written down as number ' || n, '{}', v, $4, 'consolidated' from (${vectors})`,
        [bankId, from, Math.min(size.memories, from + 4999), model],
      );
    }
    for (let from = 1; from <= size.observations; from += 5000) {
      await db.query(
        `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
         select $1, gen_random_uuid(), 'what is known of number ' || n, '{}', v, $4, 1 from (${vectors})`,
        [bankId, from, Math.min(size.observations, from + 4999), model],
      );
    }
    await db.query(
      `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
       select $1, o.id, m.id, m.version
       from (select id, row_number() over () as n from engram.observations where bank_id = $1) o
       join (select id, version, row_number() over () as n from engram.memories where bank_id = $1) m using (n)`,
      [bankId],
    );
    await db.query('drop table public.storm_halves');
    await db.query('vacuum analyze engram.memories, engram.observations, engram.observation_sources');
  } finally {
    await db.close();
  }
}

/** As cold as at first: what was saved is gone. */
export async function forgetBuilds(databaseUrl: string): Promise<void> {
  const db = createDatabase({
    connectionString: databaseUrl,
    poolMax: 1,
    applicationName: 'engramd-bench',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  try {
    await db.query('truncate engram.shared_builds, engram.build_leases');
  } finally {
    await db.close();
  }
}
