/**
 * Every queue with its policy and its timings, in one place.
 *
 * Jobs are hints: the due rows of the store are the truth, and the reconciler makes a lost job again. So nothing here
 * has to be kept for ever, and nothing has to be delivered at any price.
 */
export interface QueueTimings {
  /** A claimed job whose worker has not been heard of for this long goes to somebody else. pg-boss takes 10 or more. */
  readonly heartbeatSeconds: number;
  /** How long a job may be worked on, heartbeats or not. */
  readonly expireInSeconds: number;
  /** How often a job is tried again after a failure or a lost worker before it is a dead letter. */
  readonly retryLimit: number;
  /** First pause after a failure; doubles each time, with jitter, up to `retryDelayMax`. */
  readonly retryDelay: number;
  readonly retryBackoff: true;
  readonly retryDelayMax: number;
  /** How long a job may wait to be taken, counted from when it may be. */
  readonly retentionSeconds: number;
  /** How long an ended job stays in sight of `jobs list`. */
  readonly deleteAfterSeconds: number;
}

export interface BankQueue extends QueueTimings {
  readonly name: 'consolidate' | 'embed' | 'score';
  /**
   * At most one job a bank in created, retry or active. `stately` (one queued beside one active) kept other banks
   * waiting 60 s behind a retry, dead-lettered a job for its neighbour's retry, and blocked two writers.
   */
  readonly policy: 'exclusive';
  /** Jobs of different banks that one process works on at once. */
  readonly concurrency: number;
  /** Longest wait of the poller; a job sent by this process wakes it at once. */
  readonly pollMs: number;
  /** Our own signal is raised here, so that a slow handler hands its job back itself, before `expireInSeconds`. */
  readonly deadlineMs: number;
}

const hour = 3600;
const day = 24 * hour;

/** Where jobs go that ran out of retries; `jobs retry` or the reconciler brings them back. */
export const deadLetterQueue = {
  name: 'dead-letter',
  policy: 'standard',
  // A dead letter is a note that something is wrong; a month is long enough to be read. The rows stay due meanwhile.
  retentionSeconds: 30 * day,
  deleteAfterSeconds: day,
} as const;

export const consolidateQueue: BankQueue = {
  name: 'consolidate',
  policy: 'exclusive',
  // Told every 10 s (`heartbeatEveryMs`), so that two may be lost to a database that stalls.
  heartbeatSeconds: 30,
  // A slice selects for 60 s and then waits for its batches; a model that answers slowly and is asked again after a
  // malformed answer may take minutes. A quarter of an hour means that a handler hangs.
  expireInSeconds: 900,
  deadlineMs: 840_000,
  // A memory that kills the process is isolated by halving: two crashes of a batch of 12, then 6, 3, 2, 1, and once
  // more alone make seven. Ten leaves room, and with the pauses below takes half an hour.
  retryLimit: 10,
  retryDelay: 5,
  retryBackoff: true,
  retryDelayMax: 300,
  retentionSeconds: 14 * day,
  deleteAfterSeconds: day,
  // A slice fills the model's slots by itself; several banks at once only hide each other's waits. Each costs no
  // connection while it waits.
  concurrency: 4,
  pollMs: 1000,
};

export const embedQueue: BankQueue = {
  name: 'embed',
  policy: 'exclusive',
  heartbeatSeconds: 30,
  expireInSeconds: 900,
  deadlineMs: 840_000,
  retryLimit: 10,
  retryDelay: 5,
  retryBackoff: true,
  retryDelayMax: 300,
  retentionSeconds: 14 * day,
  // One a second for each bank that is written to without a pause: kept for a day that would be 86,400 rows a bank.
  deleteAfterSeconds: hour,
  // The local embedder is one worker thread; a second bank fills the gaps between its database calls.
  concurrency: 2,
  // Embedding is hinted by the process that wrote; the poll only finds what another process left behind.
  pollMs: 2000,
};

export const scoreQueue: BankQueue = {
  name: 'score',
  policy: 'exclusive',
  heartbeatSeconds: 30,
  // A slice asks for 60 s, and its last call may take minutes.
  expireInSeconds: 900,
  deadlineMs: 840_000,
  retryLimit: 10,
  retryDelay: 5,
  retryBackoff: true,
  retryDelayMax: 300,
  retentionSeconds: 14 * day,
  // Of a bank that is written to without a pause there is one for each dozen memories.
  deleteAfterSeconds: hour,
  // One call at a time for a bank; each of these costs no connection while it waits for its model.
  concurrency: 4,
  // Hinted by the process that wrote, as embedding is.
  pollMs: 2000,
};

export const bankQueues = [consolidateQueue, embedQueue, scoreQueue] as const;

export type BankQueueName = BankQueue['name'];

/** A third of the shortest heartbeat. */
export const heartbeatEveryMs = 10_000;

/**
 * Supervision by pg-boss itself: with its defaults (60 s, and 900 s of expiry without heartbeats) a dead worker is
 * noticed after sixteen minutes; with these after at most 30 + 15 s.
 */
export const supervision = {
  superviseIntervalSeconds: 15,
  monitorIntervalSeconds: 15,
  queueCacheIntervalSeconds: 15,
  // Ended jobs are few; hourly keeps `embed` and `score` at their hour.
  maintenanceIntervalSeconds: hour,
  // No job here waits for another one. The resolver cannot be switched off, only made rare.
  flowIntervalSeconds: day,
} as const;

/** New texts of one burst are embedded together. */
export const embedDelayMs = 1000;
