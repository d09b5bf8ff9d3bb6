import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Why a backup may fail, as `engramd_backup_failures_total` says it. */
const backupFailureCauses = ['storage', 'damaged', 'unverified', 'database', 'other'] as const;
export type BackupFailureCause = (typeof backupFailureCauses)[number];

/**
 * Every metric of the daemon, in one place, so that names, units and labels can be read and linted together.
 *
 * Labels are closed sets (queue, outcome, op, validator, state): never a bank, a memory, a job or a URL, since each
 * value of a label lives for the life of the process.
 */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter<L>({ name: `engramd_${name}`, help, labelNames, registers });
  const gauge = <L extends string = never>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge<L>({ name: `engramd_${name}`, help, labelNames, registers });
  /** Of something that has to be read first. Until then it is not in a scrape: 0 would be a finding that nobody made. */
  const readGauge = (name: string, help: string) => {
    const unread = gauge(name, help);
    unread.remove();
    return unread;
  };
  const histogram = <L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ) => new Histogram<L>({ name: `engramd_${name}`, help, buckets: [...buckets], labelNames, registers });

  const backupFailures = counter('backup_failures_total', 'Backups that failed, by cause.', ['cause']);
  // In a scrape from the start: a series that begins with its first failure has no increase.
  for (const cause of backupFailureCauses) backupFailures.inc({ cause }, 0);

  return {
    registry,

    buildInfo: gauge('build_info', 'Always 1; the version is the label.', ['version']),
    startTimeSeconds: gauge('start_timestamp_seconds', 'When this process started, in seconds since the epoch.'),
    dataFreshAtSeconds: readGauge(
      'gauges_timestamp_seconds',
      'When the gauges that describe the store were last read.',
    ),

    poolConnections: gauge('pool_connections', 'Pooled database connections by state; waiting counts callers.', [
      'state',
    ]),
    poolHoldSeconds: histogram(
      'pool_hold_seconds',
      'How long a pooled connection was checked out.',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    ),
    heldConnectionViolations: counter(
      'held_connection_violations_total',
      'Model or embedder calls refused because the caller held a database connection. Anything above 0 is a bug.',
    ),
    transactionRetries: counter(
      'transaction_retries_total',
      'Transactions run again after a deadlock or a serialisation failure.',
      ['sqlstate'],
    ),

    memoriesIngested: counter('memories_ingested_total', 'Memories offered, by what became of them.', ['outcome']),
    memoriesDue: readGauge('memories_due', 'Pending memories that could be worked on now.'),
    memories: gauge('memories', 'Memories by state.', ['state']),
    observations: readGauge('observations', 'Observations that are current: not folded, superseded or retired.'),
    oldestDueSeconds: readGauge('oldest_due_seconds', 'Age of the oldest due memory, 0 when none is due.'),

    jobs: counter('jobs_total', 'Jobs handled, by queue and outcome.', ['queue', 'outcome']),
    jobSeconds: histogram(
      'job_duration_seconds',
      'How long a job ran.',
      [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 120],
      ['queue'],
    ),
    jobsInFlight: gauge('jobs_in_flight', 'Jobs being handled by this process.', ['queue']),
    lostClaims: counter('lost_claims_total', 'Jobs that another worker had taken over before this one settled them.', [
      'queue',
    ]),
    deadLetters: readGauge('dead_letters', 'Jobs that gave up, waiting for `engramd jobs retry`.'),

    batches: counter('batches_total', 'Consolidation batches, by outcome.', ['outcome']),
    batchPhaseSeconds: histogram(
      'batch_phase_seconds',
      'Time of a consolidation batch by phase.',
      [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60],
      ['phase'],
    ),
    ops: counter('ops_total', 'Change operations applied, by kind.', ['op']),
    opsRejected: counter('ops_rejected_total', 'Proposed operations refused, by validator.', ['validator']),
    replans: counter('replans_total', 'Op groups decided again because the store had moved on.', ['reason']),

    modelCalls: counter('model_calls_total', 'Calls of models, by purpose, model and outcome.', [
      'purpose',
      'model',
      'outcome',
    ]),
    modelCallSeconds: histogram(
      'model_call_duration_seconds',
      'Time from the request to the answer of a model.',
      [0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
      ['purpose', 'model'],
    ),
    modelTokens: counter('model_tokens_total', 'Tokens charged by models; `cached` are part of `prompt`.', [
      'purpose',
      'model',
      'kind',
    ]),
    modelCost: counter('model_cost_usd_total', 'What models cost, in dollars; models without a known price count 0.', [
      'purpose',
      'model',
    ]),
    modelBreakerOpen: gauge('model_breaker_open', '1 while an endpoint and model is left alone after failures.', [
      'model',
    ]),
    budgetLeftRatio: readGauge(
      'budget_left_ratio',
      'Share of the budget of the day that is neither spent nor reserved.',
    ),
    storedAnswers: counter('model_answers_reused_total', 'Stored answers and verdicts used instead of a call.', [
      'kind',
    ]),

    embeddings: counter('embeddings_total', 'Texts embedded, by purpose.', ['purpose']),
    vectorCacheBytes: gauge('vector_cache_bytes', 'What the cached vectors of the exact scan occupy; 0 with pgvector.'),
    recallSeconds: histogram(
      'recall_seconds',
      'Time of a recall request.',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    ),
    httpRequests: counter('http_requests_total', 'HTTP requests, by route template, method and status class.', [
      'route',
      'method',
      'status',
    ]),
    httpSeconds: histogram(
      'http_request_duration_seconds',
      'Time of an HTTP request.',
      [0.005, 0.025, 0.1, 0.5, 2.5, 10],
      ['route'],
    ),

    lifecycleState: gauge('lifecycle_state', '1 for the state the daemon is in, 0 for the others.', ['state']),
    lifecycleTransitions: counter('lifecycle_transitions_total', 'Transitions made by this process.', ['from', 'to']),
    parked: gauge('parked', '1 while this process has released everything and only listens.'),
    paused: gauge('paused', '1 while somebody has paused the daemons: no work is handed out and no cycle begins.'),
    activityTimestamp: readGauge(
      'activity_timestamp_seconds',
      'When the last request was dispatched, over all daemons.',
    ),
    ticks: counter('ticks_total', 'Ticks of this process, by outcome.', ['outcome']),
    tickTimestamp: readGauge('tick_timestamp_seconds', 'When this process last ticked.'),
    leading: gauge('leading', '1 while this process leads.'),
    cyclesStarted: readGauge('sleep_cycles_started', 'Sleep cycles begun on this database.'),
    cyclesCompleted: readGauge(
      'sleep_cycles_completed',
      'Sleep cycles ended with every step done but those in quarantine.',
    ),
    lastCleanCycle: readGauge(
      'last_clean_cycle_timestamp_seconds',
      'End of the last sleep cycle with every step done; the birth of the database where there was none.',
    ),
    sleepSteps: counter('sleep_steps_total', 'Runs of steps of the sleep cycle, by step and outcome.', [
      'step',
      'outcome',
    ]),
    sleepStepSeconds: histogram(
      'sleep_step_duration_seconds',
      'How long a run of a step took.',
      [0.1, 0.5, 1, 2, 5, 15, 60, 300, 600],
      ['step'],
    ),
    quarantined: gauge('sleep_step_quarantined', '1 while a step is left alone after three failures.', ['step']),
    interruptSeconds: histogram(
      'sleep_interrupt_seconds',
      'From the request that woke a running step to its yielding.',
      [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5],
    ),
    memoriesUnscored: readGauge('memories_unscored', 'Memories that wait for their score, those that rest included.'),
    oldestUnscoredSeconds: readGauge(
      'oldest_unscored_seconds',
      'How long the first memory has waited for its score in this store, rests included; 0 when none does.',
    ),
    workResting: gauge(
      'work_resting',
      '1 while it waits for its model or for money: memories, scores. Scores stop at half of the day.',
      ['work'],
    ),
    scores: counter('scores_total', 'Memories scored, by what came of it: scored, refused, missed, parked, stale.', [
      'outcome',
    ]),
    scoreWaitSeconds: histogram(
      'score_wait_seconds',
      'From when a memory was due for its score to the score.',
      [1, 10, 30, 60, 300, 900, 3600, 21_600, 86_400],
    ),
    pins: gauge('pins', 'Pinned memories, by who pinned them: manual, auto.', ['pin']),
    pinsEvicted: counter('pins_evicted_total', 'Automatic pins that made room for newer ones.'),
    pinsOverCap: readGauge('pins_over_cap', 'Pins beyond the cap of their banks, over all banks.'),

    backups: counter('backups_total', 'Backups tried, by outcome: verified, unchanged, failed.', ['outcome']),
    backupFailures,
    backupSeconds: histogram(
      'backup_duration_seconds',
      'Time of a backup by phase: write, verify.',
      [1, 5, 15, 60, 300, 900, 3600, 14_400],
      ['phase'],
    ),
    backupBytes: readGauge('backup_size_bytes', 'Size of the last backup, as its files stand.'),
    lastVerifiedBackup: readGauge(
      'last_verified_backup_timestamp_seconds',
      'When a backup of all there is was last verified, or nothing had changed since; the birth of the database where there was none.',
    ),
    snapshots: counter('snapshots_total', 'Snapshots of banks, by outcome.', ['outcome']),
    lastSnapshot: readGauge(
      'last_snapshot_timestamp_seconds',
      'When all banks last had a snapshot of what they are, or nothing had changed in them.',
    ),

    builds: counter(
      'builds_total',
      'Expensive builds, by kind and outcome: built, joined, loaded, failed, timed_out.',
      ['kind', 'outcome'],
    ),
    watchdogProbes: gauge('watchdog_probes', 'Probes of the watchdog thread since the start, by outcome.', ['outcome']),
    needsOperator: gauge('needs_operator', '1 after three watchdog kills in ten minutes: it does not kill any more.'),
    // Not `quantile`, which promtool keeps for summaries.
    eventLoopDelaySeconds: gauge('event_loop_delay_seconds', 'Delay of the event loop since the last scrape.', [
      'percentile',
    ]),
    cpuSeconds: gauge('process_cpu_seconds', 'CPU time of this process since its start, by mode.', ['mode']),
    residentBytes: gauge('process_resident_memory_bytes', 'Resident memory of this process.'),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
