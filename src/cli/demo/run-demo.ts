import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../config/load-config.ts';
import { SocketPathTooLongError } from '../../db/embedded/embedded-errors.ts';
import { embeddedLayout } from '../../db/embedded/layout.ts';
import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import { call } from '../api-client.ts';
import type { Bank, ChangeOp, ChangeSet, RecallResult } from '../api-types.ts';
import { consolidateAndWait } from '../await-consolidation.ts';
import { ingest } from '../ingest.ts';
import { openIngestSource } from '../ingest-source.ts';
import { openLocalTransport } from '../local-transport.ts';
import { bankPath } from '../options.ts';
import { readPages } from '../read-pages.ts';
import type { Transport } from '../transport.ts';

/** What `demo --json` prints. */
export interface DemoReport {
  readonly memories: number;
  /** Current ones: neither folded, superseded nor retired. */
  readonly observations: number;
  /** Operations applied, by kind. */
  readonly ops: Readonly<Record<string, number>>;
  /** Operations refused, by validator. */
  readonly rejected: Readonly<Record<string, number>>;
  readonly pending: number;
  readonly conflicts: number;
  readonly costUsd: number;
  readonly elapsedMs: number;
}

/** What the telling needs beside the numbers. */
export interface DemoStory {
  readonly question: string;
  readonly before: RecallResult;
  readonly after: RecallResult;
  readonly applied: readonly ChangeOp[];
}

const bank = 'lantern-press';
/** Its answer changes in the sample bank, and is said several times in several ways. */
const question = 'When is the standup?';
const sampleBank = fileURLToPath(new URL('./sample-bank.jsonl', import.meta.url));

/**
 * The whole way in a place of its own: embedded database in a temporary folder, ingest, consolidation through the real
 * queue. Nothing of the machine's settings, keys or daemons is used, and nothing stays behind.
 */
export async function runDemo(options: {
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}): Promise<{ report: DemoReport; story: DemoStory }> {
  const { log, clock, signal, onProgress } = options;
  const startedMs = clock.monotonicMs();
  const dataDir = makeTemporaryDataDir();
  try {
    onProgress('starting an embedded PostgreSQL');
    const { config } = loadConfig({ env: {}, flags: { dataDir } });
    const transport = await openLocalTransport({
      config,
      log,
      clock,
      signal,
      hasWorkers: true,
      // What a power cut would take is thrown away in a moment anyway.
      extraServerSettings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
    });
    try {
      return await play(transport, options, startedMs);
    } finally {
      onProgress('cleaning up');
      await transport.close();
    }
  } finally {
    // An initdb that was interrupted may still be taking its files away; each trips over what the other has removed.
    await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

async function play(
  transport: Transport,
  { clock, signal, onProgress }: Parameters<typeof runDemo>[0],
  startedMs: number,
): Promise<{ report: DemoReport; story: DemoStory }> {
  const source = await openIngestSource(sampleBank, process.stdin);
  await ingest(transport, bank, source, (done) => onProgress(`${done} memories ingested`));
  const ask = () =>
    call<RecallResult>(transport, {
      method: 'POST',
      path: bankPath(bank, '/recall'),
      body: { query: question, limit: 3 },
    });
  // Half of the vectors would make a poorer answer than the raw memories deserve.
  const state = () => call<Bank>(transport, { method: 'GET', path: bankPath(bank) });
  for (let { unembedded } = await state(); unembedded > 0; { unembedded } = await state()) {
    onProgress(`${unembedded} memories to embed`);
    await clock.sleep(100, signal);
    signal.throwIfAborted();
  }
  const before = await ask();

  const done = await consolidateAndWait({
    transport,
    bank,
    clock,
    signal,
    onProgress: (left, total) => onProgress(`${total - left} of ${total} memories consolidated`),
  });
  const after = await ask();
  const { memories, observations, open_conflicts } = await state();
  const applied = await appliedOps(transport);
  const report: DemoReport = {
    memories: Object.values(memories).reduce((sum, count) => sum + count, 0),
    observations: observations.live,
    ops: done.ops,
    rejected: done.rejected,
    pending: memories.pending,
    conflicts: open_conflicts,
    // The decider is `rules` whatever is configured: nobody is asked who could send a bill.
    costUsd: 0,
    elapsedMs: Math.round(clock.monotonicMs() - startedMs),
  };
  return { report, story: { question, before, after, applied } };
}

/** Every operation that took effect, oldest first. */
async function appliedOps(transport: Transport): Promise<ChangeOp[]> {
  const sets = await readPages<ChangeSet>(transport, bankPath(bank, '/changes'), 'changes', {
    filter: { status: 'applied' },
  });
  const ops: ChangeOp[] = [];
  for (const { id } of sets.reverse()) {
    const path = bankPath(bank, `/changes/${id}`);
    const { steps } = await call<{ steps: ChangeOp[] }>(transport, { method: 'GET', path });
    ops.push(...steps.filter(({ status }) => status === 'applied'));
  }
  return ops;
}

/** In the temporary folder, or in /tmp where that one's path is too long for a socket below it (macOS has some). */
function makeTemporaryDataDir(): string {
  const parent = fitsSocket(join(tmpdir(), 'engramd-demo-XXXXXX')) ? tmpdir() : '/tmp';
  const dataDir = mkdtempSync(join(parent, 'engramd-demo-'));
  // Run by root, the server is another user, who has to get in.
  if (process.getuid?.() === 0) chmodSync(dataDir, 0o711);
  return dataDir;
}

function fitsSocket(dataDir: string): boolean {
  try {
    embeddedLayout(dataDir);
    return true;
  } catch (thrown) {
    if (thrown instanceof SocketPathTooLongError) return false;
    throw thrown;
  }
}
