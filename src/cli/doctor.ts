import type { Command } from 'commander';
import { v7 as uuidV7 } from 'uuid';
import type { LoadedConfig } from '../config/load-config.ts';
import { prepareDataDir } from '../daemon/data-dir.ts';
import { newestSchema, openBesideDaemon, openDatabase } from '../daemon/open-database.ts';
import { localModel, openConfiguredEmbedder, wantedModel } from '../daemon/open-embedder.ts';
import { type ModelsDeps, openModels } from '../daemon/open-models.ts';
import { createReleasers } from '../daemon/releasers.ts';
import { explainDatabaseError } from '../db/errors.ts';
import { schemaVersion } from '../db/migrate.ts';
import { readBudget } from '../models/budget.ts';
import type { Embedder } from '../models/embedder.ts';
import { createLocalEmbedder } from '../models/local/local-embedder.ts';
import { readPrices } from '../models/prices.ts';
import { activeEmbeddingModel } from '../store/embedding-models.ts';
import { readStoreTroubles } from '../store/server-facts.ts';
import { errorMessage } from '../telemetry/engramd-error.ts';
import { silentLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { inertRacepoints } from '../telemetry/racepoints.ts';
import { type CommandContext, type GlobalOptions, globalOptions, loadSettings } from './command-context.ts';
import { checkBackupDir, checkBackups } from './doctor-backups.ts';
import {
  checkBudget,
  checkEmbedder,
  checkLanguageModel,
  checkNode,
  checkQueue,
  checkSchema,
  checkScoreBudget,
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
      'Checks Node, settings, data and backup directory, database, rights, migrations, pgvector, clock, queue, backups, models and budget, and says what to do. Asks each model for a word; changes nothing else. Exit 1 if a check fails.',
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
  findings.push(checkBackupDir(config.backupDir));

  const metrics = createMetrics();
  const releasers = createReleasers({ log: silentLog, clock: context.clock });
  const deps = { config, log: silentLog, clock: context.clock, metrics, releasers };
  try {
    const daemon = await findDaemon({ config, signal });
    const detail = daemon ? 'answers' : 'none runs here';
    findings.push({ check: 'daemon', status: 'ok', detail });
    await attempt(findings, 'database', async () => {
      const { db } = daemon ? openBesideDaemon(deps) : await openDatabase({ ...deps, role: 'cli', signal });
      findings.push(...(await checkServer(db, context.clock)));
      const [version, newest] = [await schemaVersion(db), await newestSchema()];
      findings.push(checkSchema(version, newest));
      if (version !== newest) {
        // Endpoints are asked through tables that are not there yet.
        if (wantedModel(config).id === localModel.id)
          await examineEmbedder(context, findings, createLocalEmbedder, signal);
        return;
      }
      findings.push(await checkQueue(db, await readStoreTroubles(db)));
      findings.push(await checkBackups(db));
      await examineModels({ ...deps, db }, findings, signal);
    });
  } finally {
    await releasers.releaseAll();
  }
}

/** Asks each model for a word, through the same gates and out of the same budget as the daemon. */
async function examineModels(
  deps: Pick<ModelsDeps, 'config' | 'db' | 'clock' | 'log' | 'metrics'>,
  findings: Finding[],
  signal: AbortSignal,
) {
  const { config, db, clock } = deps;
  const prices = readPrices(config.pricesFile);
  const models = await openModels({
    ...deps,
    prices,
    role: 'cli',
    instanceId: uuidV7(),
    racepoints: inertRacepoints,
    random: Math.random,
    newId: uuidV7,
  });
  if (models.chats.length === 0) {
    findings.push({ check: 'decider', status: 'ok', detail: 'rules: no model is asked' });
  }
  for (const chat of models.chats) {
    await attempt(findings, 'language model', async () => {
      findings.push(await checkLanguageModel(chat, clock, signal));
    });
  }
  const [forBatches] = models.chats;
  const today = await readBudget(db, { limits: models.limits, now: clock.now() });
  findings.push(await checkBudget(today, models.budget, forBatches, prices));
  findings.push(...checkScoreBudget(models.budget, models.scoreChat, prices));
  const pinned = await activeEmbeddingModel(db);
  const open = () => openConfiguredEmbedder({ config, clock, gateOf: models.gateOf }, pinned);
  await examineEmbedder(deps, findings, open, signal);
}

function examineEmbedder(
  { clock }: Pick<ModelsDeps, 'clock'>,
  findings: Finding[],
  open: () => Embedder,
  signal: AbortSignal,
): Promise<void> {
  return attempt(findings, 'embedder', async () => {
    const embedder = open();
    try {
      findings.push(await checkEmbedder(embedder, clock, signal));
    } finally {
      await embedder.release();
    }
  });
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
