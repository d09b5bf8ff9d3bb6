import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { call } from '../../src/cli/api-client.ts';
import type { Bank, CostReport } from '../../src/cli/api-types.ts';
import { consolidateAndWait } from '../../src/cli/await-consolidation.ts';
import { ingest } from '../../src/cli/ingest.ts';
import { openIngestSource } from '../../src/cli/ingest-source.ts';
import { openLocalTransport } from '../../src/cli/local-transport.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';
import { createScriptedModel } from '../support/scripted-model.ts';
import { modelOfRules } from './night-model.ts';
import { printTable } from './table.ts';

const sampleBank = fileURLToPath(new URL('../../src/cli/demo/sample-bank.jsonl', import.meta.url));
const bank = 'night';
const model = 'gpt-5-mini';

/** As many tokens as a small reasoning model may think over a batch; what it thinks in earnest, only its bill tells. */
const thinking = [0, 1000];

/**
 * What a night costs: the sample bank of the demo through a whole daemon, decided by a scripted model whose answers are as
 * long as real ones, at the list price, as the ledger has it. Prompt tokens are bytes / 4; nothing is taken for cached.
 */
export async function run(): Promise<void> {
  const rows: string[][] = [];
  for (const reasoningTokens of thinking) {
    const { report, memories, observations, pending } = await night(reasoningTokens);
    const { total } = report;
    const usd = (value: number | null) => (value === null ? 'n/a' : value.toFixed(4));
    rows.push([
      String(reasoningTokens),
      String(memories),
      String(observations),
      String(total.calls),
      String(total.prompt_tokens),
      String(total.output_tokens),
      usd(total.usd),
      usd(total.usd_per_1000_memories),
      ...report.rows.map(({ key, calls }) => `${key} ${calls}`),
    ]);
    if (pending > 0 || total.usd <= 0) {
      console.log(`FAIL ${pending} memories pending, ${total.usd} dollars in the ledger`);
      process.exitCode = 1;
    }
  }
  const calls = Math.max(...rows.map(({ length }) => length)) - 8;
  printTable(
    [
      'thinking a batch',
      'memories',
      'observations',
      'calls',
      'prompt tokens',
      'output tokens',
      'dollars',
      'a 1,000 memories',
      ...Array.from({ length: calls }, () => 'of which'),
    ],
    rows,
  );
  console.log(`${model} and text-embedding-3-small at their list prices; ENGRAMD_PRICES_FILE tells others`);
}

async function night(reasoningTokens: number) {
  const scripted = await createScriptedModel({ onChat: modelOfRules(reasoningTokens), keepRequests: 0 });
  const dataDir = mkdtempSync(join(tmpdir(), 'engramd-bench-'));
  // As root, the server runs as somebody else, who has to get in.
  chmodSync(dataDir, 0o711);
  const { signal } = new AbortController();
  try {
    const env = { OPENAI_BASE_URL: scripted.baseUrl, ENGRAMD_LLM_MODEL: model };
    const { config } = loadConfig({ env, flags: { dataDir } });
    const transport = await openLocalTransport({
      config,
      log: silentLog,
      clock: systemClock,
      signal,
      hasWorkers: true,
      extraServerSettings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
    });
    try {
      await ingest(transport, bank, await openIngestSource(sampleBank, process.stdin), () => undefined);
      await consolidateAndWait({ transport, bank, clock: systemClock, signal, onProgress: () => undefined });
      const report = await call<CostReport>(transport, { method: 'GET', path: '/v1/costs?by=purpose' });
      const state = await call<Bank>(transport, { method: 'GET', path: `/v1/banks/${bank}` });
      const memories = Object.values(state.memories).reduce((sum, count) => sum + count, 0);
      return { report, memories, observations: state.observations.live, pending: state.memories.pending };
    } finally {
      await transport.close();
    }
  } finally {
    await scripted.close();
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}
