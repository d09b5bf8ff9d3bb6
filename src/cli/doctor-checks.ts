import { statfs } from 'node:fs/promises';
import { fullCallOf, type ModelWindow } from '../consolidation/llm/limits.ts';
import type { Database } from '../db/database.ts';
import { neverFitsLine } from '../models/booking.ts';
import type { Budget, readBudget } from '../models/budget.ts';
import type { ChatModel } from '../models/chat/chat-model.ts';
import { checkModel } from '../models/chat/check-model.ts';
import type { Embedder } from '../models/embedder.ts';
import { type Prices, priceOf, reservationOf } from '../models/prices.ts';
import { countDeadLetters } from '../queue/job-rows.ts';
import { longestCallOf } from '../significance/llm/score-documents.ts';
import { readServerFacts, type ServerFacts, type StoreTroubles } from '../store/server-facts.ts';
import type { Clock } from '../telemetry/clock.ts';

export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What a person can do about it. */
  readonly advice?: string;
}

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const check = 'node';
  if (major < 22 || (major === 22 && minor < 12)) {
    return { check, status: 'fail', detail: `Node ${version}`, advice: 'install Node 22.12 or newer' };
  }
  return { check, status: 'ok', detail: `Node ${version}` };
}

const lowSpaceBytes = 1024 ** 3;

export async function checkSpace(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(dataDir);
  const gigabytes = ((bavail * bsize) / 1024 ** 3).toFixed(1);
  const check = 'data directory';
  if (bavail * bsize < lowSpaceBytes) {
    return {
      check,
      status: 'warn',
      detail: `${dataDir}: ${gigabytes} GiB free`,
      advice: 'make room: PostgreSQL stops when the disk is full',
    };
  }
  return { check, status: 'ok', detail: `${dataDir}: writable, ${gigabytes} GiB free` };
}

/** Everything that one look at the server tells. */
export async function checkServer(db: Database, clock: Clock): Promise<Finding[]> {
  const before = clock.now().getTime();
  const facts = await readServerFacts(db);
  const after = clock.now().getTime();
  return [
    checkVersion(facts),
    checkRights(facts),
    checkVector(facts),
    checkSkew(facts.now.getTime() - (before + after) / 2),
  ];
}

function checkVersion({ version, versionNumber, isReadOnly }: ServerFacts): Finding {
  const [check, detail] = ['database', `PostgreSQL ${version}`];
  if (versionNumber < 150_000) return { check, status: 'fail', detail, advice: 'engramd needs PostgreSQL 15 or newer' };
  if (isReadOnly)
    return { check, status: 'fail', detail: `${detail}, read-only`, advice: 'point DATABASE_URL to the primary' };
  return { check, status: 'ok', detail };
}

function checkRights({ mayCreate, role, database }: ServerFacts): Finding {
  const check = 'rights';
  if (mayCreate) return { check, status: 'ok', detail: `${role} may create schemas` };
  const advice = `as its owner: GRANT CREATE ON DATABASE "${database}" TO "${role}"`;
  return { check, status: 'fail', detail: `${role} may not create schemas in ${database}`, advice };
}

function checkVector({ vectorInstalled, vectorOffered }: ServerFacts): Finding {
  const check = 'pgvector';
  const version = vectorInstalled ?? vectorOffered;
  if (version === null) {
    return { check, status: 'ok', detail: 'not offered by this server: vectors are compared in the daemon' };
  }
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major === 0 && minor < 7) {
    return {
      check,
      status: 'warn',
      detail: `${version} is older than 0.7`,
      advice: 'upgrade pgvector; until then vectors are compared in the daemon',
    };
  }
  return { check, status: 'ok', detail: `${version}${vectorInstalled === null ? ', not installed yet' : ''}` };
}

function checkSkew(skewMs: number): Finding {
  const check = 'clock';
  const detail = `${Math.abs(skewMs / 1000).toFixed(1)} s ${skewMs < 0 ? 'ahead of' : 'behind'} the database`;
  const advice = 'synchronise both clocks (NTP)';
  if (Math.abs(skewMs) > 60_000) return { check, status: 'fail', detail, advice };
  if (Math.abs(skewMs) > 2000) return { check, status: 'warn', detail, advice };
  return { check, status: 'ok', detail };
}

/** `newest` is the version that this build knows. */
export function checkSchema(version: number, newest: number): Finding {
  const check = 'migrations';
  if (version > newest) {
    return {
      check,
      status: 'fail',
      detail: `version ${version}, this engramd knows ${newest}`,
      advice: 'upgrade this engramd',
    };
  }
  if (version < newest) {
    return {
      check,
      status: 'warn',
      detail: `version ${version} of ${newest}`,
      advice: 'engramd migrate, or start the daemon',
    };
  }
  return { check, status: 'ok', detail: `version ${version}` };
}

export async function checkQueue(db: Database, troubles: StoreTroubles): Promise<Finding> {
  const { parked, due, oldestDueSeconds, hasJobs } = troubles;
  const dead = hasJobs ? await countDeadLetters(db) : 0;
  const check = 'queue';
  const detail = `${due} due, ${parked} parked, ${dead} dead letters`;
  if (parked > 0 || dead > 0) {
    return {
      check,
      status: 'warn',
      detail,
      advice: 'engramd jobs list --dead tells why, engramd jobs retry tries again',
    };
  }
  if (oldestDueSeconds > 3600) {
    const hours = (oldestDueSeconds / 3600).toFixed(1);
    return {
      check,
      status: 'warn',
      detail: `${detail}; the oldest waits for ${hours} h`,
      advice: 'is a daemon running? See its log',
    };
  }
  return { check, status: 'ok', detail };
}

export async function checkEmbedder(embedder: Embedder, clock: Clock, signal: AbortSignal): Promise<Finding> {
  const startedMs = clock.monotonicMs();
  await embedder.embed(['The embedder answers.'], { purpose: 'query', signal });
  const tookMs = Math.round(clock.monotonicMs() - startedMs);
  const { id, dimensions } = embedder.model;
  return { check: 'embedder', status: 'ok', detail: `${id}, ${dimensions} dimensions, answered in ${tookMs} ms` };
}

export async function checkLanguageModel(chat: ChatModel, clock: Clock, signal: AbortSignal): Promise<Finding> {
  const startedMs = clock.monotonicMs();
  await checkModel(chat, signal);
  const tookMs = Math.round(clock.monotonicMs() - startedMs);
  const detail = `${chat.model} at ${chat.endpoint}, context window ${chat.contextTokens}, answered in ${tookMs} ms`;
  return { check: 'language model', status: 'ok', detail };
}

/**
 * Whether what is left of today has room for a batch, by the judgement of whoever reserves: some money left is not enough
 * money left.
 *
 * @param chat the model that batches go to; undefined: the rules decide, for nothing
 */
export async function checkBudget(
  { nanoUsd }: Awaited<ReturnType<typeof readBudget>>,
  budget: Budget,
  chat: (ModelWindow & Pick<ChatModel, 'model'>) | undefined,
  prices: Prices,
): Promise<Finding> {
  const check = 'budget';
  const detail = `$${(nanoUsd.spent / 1e9).toFixed(4)} of $${(nanoUsd.limit / 1e9).toFixed(2)} spent today`;
  if (!chat) return { check, status: 'ok', detail };
  const wanted = reservationOf(fullCallOf(chat), priceOf(prices, chat.model));
  const limit = budget.neverFits(wanted, 'consolidate');
  if (limit !== null) {
    const { model } = chat;
    const line = neverFitsLine({ model, wanted, limit, limits: budget.limits, purpose: 'consolidate' });
    return { check, status: 'warn', detail: `${detail}; a full batch waits for ever`, advice: line };
  }
  const until = await budget.readyAt(wanted, 'consolidate');
  if (until === null) return { check, status: 'ok', detail };
  return {
    check,
    status: 'warn',
    detail: `${detail}; what is left is not enough for a full batch, which waits until ${until.toISOString()}`,
    advice: 'ENGRAMD_BUDGET_USD_PER_DAY and ENGRAMD_BUDGET_TOKENS_PER_DAY say how much a day may cost',
  };
}

/**
 * Whether the half of a day that scores may spend has room for each call that a score may take. No finding where it has.
 *
 * @param chat the model that scores; undefined: the rules do, for nothing
 */
export function checkScoreBudget(
  budget: Budget,
  chat: (ModelWindow & Pick<ChatModel, 'model'>) | undefined,
  prices: Prices,
): Finding[] {
  if (!chat) return [];
  const { model } = chat;
  const purpose = 'significance';
  const wanted = reservationOf(longestCallOf(chat), priceOf(prices, model));
  const limit = budget.neverFits(wanted, purpose);
  if (limit === null) return [];
  const advice = neverFitsLine({ model, wanted, limit, limits: budget.limits, purpose });
  return [{ check: 'budget for scores', status: 'warn', detail: 'memories too long for it wait for ever', advice }];
}
