/**
 * What a backup holds of schema `engram`, in the order in which foreign keys let it be loaded. A test compares both lists
 * with the catalog: a new table has to be named in one of them.
 */
export const keptTables = [
  'banks',
  'embedding_models',
  'instances',
  'memories',
  'entities',
  'memory_entities',
  'scopes',
  'observations',
  'observation_sources',
  'runs',
  'change_sets',
  'change_ops',
  'conflicts',
  'events',
  'attempts',
  'idempotency_keys',
  'model_calls',
  'budget_ledger',
  'model_answers',
  'verdicts',
  'model_abilities',
  'erasures',
  'erasures_due',
  'next_embeddings',
  'lifecycle_events',
  'sleep_cycles',
  'sleep_steps',
  'digests',
  'snapshots',
  'snapshot_rows',
] as const;

/** Of the moment, of one machine, or by transaction ids, which mean nothing in another database. */
export const leftOutTables = {
  migrations: 'written by the migrations that make the tables',
  store: 'says which of two stores this is',
  lifecycle: 'who restores is awake',
  leader: 'a lease',
  backups: 'tells of files, which tell for themselves',
  step_failures: 'a restored database has not failed yet',
  model_breakers: 'an endpoint may be well by now',
  vector_tombstones: 'no cache is older than the restore',
  contradiction_marks: 'by transaction ids: looked through once more',
  sweep_marks: 'by transaction ids: looked through once more',
  shared_builds: 'by transaction ids: built once more',
  build_leases: 'leases',
} as const;
