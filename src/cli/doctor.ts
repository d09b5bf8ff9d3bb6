import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load-config.ts';
import { prepareDataDir } from '../daemon/data-dir.ts';
import { newestSchema, openBesideDaemon, openDatabase } from '../daemon/open-database.ts';
import { createReleasers } from '../daemon/releasers.ts';
import { explainDatabaseError } from '../db/errors.ts';
import { schemaVersion } from '../db/migrate.ts';
import { createLocalEmbedder } from '../models/local/local-embedder.ts';
import { readStoreTroubles, type StoreTroubles } from '../store/server-facts.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { silentLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { type CommandContext, type GlobalOptions, globalOptions, loadSettings } from './command-context.ts';
import {
  checkEmbedder,
  checkNode,
  checkQueue,
  checkSchema,
  checkServer,
  checkSpace,
  type Finding,
} from './doctor-checks.ts';
import { findDaemon } from './http-transport.ts';
import { table } from './table.ts';

export function addDoctor(program: Command, context: CommandContext): void {
  program
    .command('doctor')
    .summary('check this machine, the settings and the database')
    .description(
      'Checks Node, settings, data directory, database, rights, migrations, pgvector, clock, queue and embedder, and says what to do. Changes nothing. Exit 1 if a check fails.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ engramd doctor
  $ DATABASE_URL=postgres://… engramd doctor --json | jq '.findings[] | select(.status != "ok")'`,
    )
    .action(async (_options: unknown, command: Command) => {
      const globals = globalOptions(command);
      const findings: Finding[] = [];
      await context.interruptible((signal) => examine(context, globals, findings, signal));
      const failed = findings.some(({ status }) => status === 'fail');
      if (globals.json) context.terminal.json({ ok: !failed, findings });
      else print(context, findings);
      if (failed) context.exitWith(1);
    });
}

async function examine(context: CommandContext, globals: GlobalOptions, findings: Finding[], signal: AbortSignal) {
  findings.push(checkNode(process.versions.node));
  const loaded = await attempt(findings, 'settings', async () => loadSettings(context, globals));
  if (!loaded) return;
  findings.push(checkSettings(loaded));
  const { config } = loaded;
  await attempt(findings, 'data directory', async () => {
    findings.push(await checkSpace(prepareDataDir(config.dataDir)));
  });

  const metrics = createMetrics();
  const releasers = createReleasers({ log: silentLog, clock: context.clock });
  const deps = { config, log: silentLog, clock: context.clock, metrics, releasers };
  let troubles: StoreTroubles | undefined;
  try {
    const daemon = await findDaemon({ config, signal });
    const detail = daemon ? 'answers' : 'none runs here';
    findings.push({ check: 'daemon', status: 'ok', detail });
    troubles = await attempt(findings, 'database', async () => {
      const db = daemon ? openBesideDaemon(deps) : (await openDatabase({ ...deps, role: 'cli', signal })).db;
      findings.push(...(await checkServer(db, context.clock)));
      const [version, newest] = [await schemaVersion(db), await newestSchema()];
      findings.push(checkSchema(version, newest));
      if (version !== newest) return undefined;
      const read = await readStoreTroubles(db);
      findings.push(await checkQueue(db, read));
      return read;
    });
  } finally {
    await releasers.releaseAll();
  }

  const embedder = createLocalEmbedder();
  await attempt(findings, 'embedder', async () => {
    findings.push(await checkEmbedder(embedder, troubles?.pinnedModel ?? null, context.clock));
  });
  await embedder.release();
}

/** Runs a check; what it throws is its finding. */
async function attempt<T>(findings: Finding[], check: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    findings.push({ check, status: 'fail', detail: errorMessage(explainDatabaseError(thrown)) });
    return undefined;
  }
}

function checkSettings({ config, warnings }: LoadedConfig): Finding {
  const check = 'settings';
  if (warnings.length > 0) return { check, status: 'warn', detail: warnings.join('; ') };
  return { check, status: 'ok', detail: config.databaseUrl === undefined ? 'embedded database' : 'DATABASE_URL' };
}

function print({ terminal }: CommandContext, findings: readonly Finding[]): void {
  const marks = { ok: terminal.green('ok'), warn: terminal.yellow('warn'), fail: terminal.red('fail') };
  const rows = findings.map(({ check, status, detail, advice }) => [
    marks[status],
    terminal.bold(check),
    advice === undefined ? detail : `${detail}: ${advice}`,
  ]);
  for (const line of table(rows)) terminal.out(line);
}
