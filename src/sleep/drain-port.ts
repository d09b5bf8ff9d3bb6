export type QueueName = 'consolidate' | 'embed' | 'score';

/** What could be worked on now, over all banks. */
export interface Workable {
  /** Rows that are due, that somebody is ready to decide and that no pause keeps; counted up to a limit that the queue sets. */
  readonly rows: number;
  /** Memories that could be scored; not among `rows`. */
  readonly scores: number;
  /** Banks that have such rows. */
  readonly banks: readonly string[];
  /** Jobs in somebody's hands, over all daemons. */
  readonly jobsActive: number;
  /** When the first of what rests becomes workable, by the database's clock; null: nothing rests. */
  readonly nextAt: Date | null;
  /** Why due rows are not workable, in a few words (`the endpoint refuses the key`); null where nothing keeps any. */
  readonly heldBy: string | null;
}

/** Jobs are handed out for as long as somebody holds this. */
export interface HandOut {
  /**
   * No more jobs are handed out, unless somebody else holds one: then nothing else changes. Those in hand select no more
   * and get `graceMs`; what is in hand still is called off as by a stop: batches go back, memories stay pending, no retry
   * is burned. Resolves when nothing is in hand, or somebody opened again meanwhile. Twice is once.
   */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** What steps want of the queue, which hands out nothing by itself while the daemon sleeps. */
export interface DrainPort {
  /** Of these queues. */
  openHandOut(queues: readonly QueueName[]): HandOut;
  /** Makes a bank due now; which bank is next is the queue's to say, and it is fair. */
  requestConsolidation(bankId: string): Promise<unknown>;
  /** The same for what waits for its score. */
  requestScores(bankId: string): Promise<unknown>;
  /** By these queues. */
  workable(queues: readonly QueueName[]): Promise<Workable>;
}
