import { migrateDatabase } from '../../src/daemon/open-database.ts';
import { createDatabase } from '../../src/db/database.ts';
import { localEmbeddingModel } from '../../src/models/local/local-embedder.ts';
import { pinEmbeddingModel } from '../../src/store/embedding-models.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

/** Different vectors; a row's is one of them, far enough from its like that no compression window sees both. */
const vectors = 2000;
const rowsAStatement = 20_000;

/**
 * A bank that has been lived with: each memory with a vector and an event, an observation for each fifth, with its
 * sources. Made by the server itself, without the triggers, which would double the time.
 */
export async function seedBackup(databaseUrl: string, memories: number): Promise<void> {
  const db = createDatabase({
    connectionString: databaseUrl,
    poolMax: 2,
    applicationName: 'engramd-bench',
    log: silentLog,
    clock: systemClock,
    metrics: createMetrics(),
  });
  const model = localEmbeddingModel.id;
  try {
    await migrateDatabase(db);
    await pinEmbeddingModel(db, localEmbeddingModel);
    await db.query("insert into engram.banks (id) values ('bench')");
    await db.query("insert into engram.scopes (bank_id, tags, epoch) values ('bench', '{}', 1)");
    await db.query(
      `create table public.bench_vectors as select v.id, array(
         select (random() - 0.5 + 0 * v.id)::real from generate_series(1, 512)) as v
       from generate_series(0, ${vectors - 1}) as v(id)`,
    );
    await db.query('create unique index on public.bench_vectors (id)');
    await db.query('alter table engram.memories disable trigger user');
    // Ids that grow, as those of the daemon do.
    const idOf = (kind: number) => `('0198c1f0-000${kind}-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`;
    for (let from = 1; from <= memories; from += rowsAStatement) {
      const range = [from, Math.min(memories, from + rowsAStatement - 1)];
      await db.query(
        `insert into engram.memories (bank_id, id, text, tags, embedding, embedding_model, state, significance, scored_version)
         select 'bench', ${idOf(1)}, 'Order ' || n || ' went to customer ' || n % 977 || ' with ' || n % 12 || ' prints on matte paper.',
           '{}', b.v, $3, 'consolidated', 1, 1
         from generate_series($1::int, $2::int) as n join public.bench_vectors b on b.id = n % ${vectors}`,
        [...range, model],
      );
      await db.query(
        `insert into engram.events (bank_id, kind, memory_id)
         select 'bench', 'memory.added', ${idOf(1)} from generate_series($1::int, $2::int) as n`,
        range,
      );
      await db.query(
        `insert into engram.observations (bank_id, id, text, tags, embedding, embedding_model, scope_epoch)
         select 'bench', ${idOf(2)}, 'Customer ' || n % 977 || ' takes matte paper; order ' || n || ' says so.', '{}', b.v, $3, 1
         from generate_series($1::int, $2::int, 5) as n join public.bench_vectors b on b.id = n % ${vectors}`,
        [...range, model],
      );
      await db.query(
        `insert into engram.observation_sources (bank_id, observation_id, memory_id, memory_version)
         select 'bench', ${idOf(2)}, ${idOf(1)}, 1 from generate_series($1::int, $2::int, 5) as n`,
        range,
      );
    }
    await db.query('alter table engram.memories enable trigger user');
    await db.query('drop table public.bench_vectors');
    await db.query('vacuum analyze engram.memories, engram.observations, engram.observation_sources, engram.events');
  } finally {
    await db.close();
  }
}
