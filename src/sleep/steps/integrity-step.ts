import { z } from 'zod';
import type { Database } from '../../db/database.ts';
import { isConnectionFailure } from '../../db/errors.ts';
import { listBanks } from '../../store/banks.ts';
import {
  countFarAttempts,
  countFoldedChains,
  countMisfitVectors,
  countStrandedProposals,
  markUnsupported,
} from '../../store/integrity.ts';
import {
  pruneAttempts,
  pruneBatchRows,
  pruneIdempotencyKeys,
  pruneInstances,
  pruneModelAnswers,
  pruneModelBreakers,
  pruneSleepSteps,
  pruneStepFailures,
  pruneVerdicts,
} from '../../store/prune.ts';
import { pruneSharedBuilds } from '../../store/shared-builds.ts';
import { pruneVectorTombstones } from '../../store/vectors/vector-tombstones.ts';
import { errorMessage } from '../../telemetry/engramd-error.ts';
import type { Log } from '../../telemetry/log.ts';
import { type SleepStep, type StepContext, type StepEnd, sleepStepNames } from '../step.ts';

/** Each of a bank is a statement of its own: between two of them somebody may want the daemon awake. */
const checks = {
  unsupported: { run: markUnsupported, says: 'observations without a source, marked to be written again' },
  chains: { run: countFoldedChains, says: 'observations folded into a folded one' },
  vectors: { run: countMisfitVectors, says: 'vectors of a wrong length' },
  farAttempts: { run: countFarAttempts, says: 'memories that rest for more than a week' },
  stranded: { run: countStrandedProposals, says: 'memories that wait for a change set that is not there' },
} as const satisfies Record<string, { run: (db: Database, bankId: string) => Promise<number>; says: string }>;

type CheckName = keyof typeof checks;
type Findings = Partial<Record<CheckName, number>>;

/** Events and change sets stay: they are the history. */
const prunings: readonly ((db: Database) => Promise<number>)[] = [
  pruneModelAnswers,
  pruneAttempts,
  pruneVerdicts,
  pruneIdempotencyKeys,
  pruneModelBreakers,
  pruneVectorTombstones,
  pruneSharedBuilds,
  (db) => pruneStepFailures(db, sleepStepNames),
  pruneSleepSteps,
  pruneInstances,
];

/** What a crash may have checked again. */
const banksASave = 50;

const checkpointSchema = z.strictObject({
  /** Banks up to this one are checked; null: all are. */
  after: z.string().nullable(),
  banks: z.int(),
  findings: z.partialRecord(z.enum(Object.keys(checks) as CheckName[]), z.int()),
  pruned: z.int(),
});
type Checkpoint = z.output<typeof checkpointSchema>;

const atTheStart: Checkpoint = { after: '', banks: 0, findings: {}, pruned: 0 };

interface State {
  now: Checkpoint;
  /** A bank that cannot be checked keeps neither the others nor the pruning waiting; the step fails in the end. */
  failure: { readonly thrown: unknown } | null;
}

interface IntegrityDeps {
  readonly db: Database;
  readonly log: Log;
}

/**
 * Looks for what the laws make impossible, says so where it finds any, and mends what can be mended by having it written
 * again. Then deletes what has had its time, until nothing of it is left.
 */
export function createIntegrityStep({ db, log }: IntegrityDeps): SleepStep {
  /** Null: the signal came first. */
  async function check(bankId: string, signal: AbortSignal): Promise<Findings | null> {
    const found: Findings = {};
    for (const name of Object.keys(checks) as CheckName[]) {
      if (signal.aborted) return null;
      const count = await checks[name].run(db, bankId);
      if (count > 0) found[name] = count;
    }
    if (Object.keys(found).length > 0) log.warn({ bankId, ...found }, 'integrity: the store is not as it should be');
    return found;
  }

  /** False: the signal came first. */
  async function checkBanks(context: StepContext, state: State): Promise<boolean> {
    const { signal, save, progress } = context;
    while (state.now.after !== null) {
      const page = await listBanks(db, { after: state.now.after, limit: banksASave });
      for (const { id } of page) {
        const found = await check(id, signal).catch((thrown: unknown) => {
          if (isConnectionFailure(thrown)) throw thrown;
          log.warn({ bankId: id, error: errorMessage(thrown) }, 'integrity: a bank could not be checked');
          state.failure ??= { thrown };
          return {};
        });
        if (found === null) return false;
        const { banks, findings } = state.now;
        state.now = { ...state.now, after: id, banks: banks + 1, findings: sum(findings, found) };
        progress(state.now.banks, null, 'banks checked');
      }
      if (page.length < banksASave) state.now = { ...state.now, after: null };
      await save({ ...state.now });
    }
    return true;
  }

  async function prune({ signal }: StepContext, state: State): Promise<boolean> {
    for (const pruning of prunings) {
      for (let deleted = pruneBatchRows; deleted >= pruneBatchRows; ) {
        if (signal.aborted) return false;
        deleted = await pruning(db);
        state.now = { ...state.now, pruned: state.now.pruned + deleted };
      }
    }
    return true;
  }

  async function run(context: StepContext): Promise<StepEnd> {
    const state: State = { failure: null, now: checkpointSchema.safeParse(context.checkpoint).data ?? atTheStart };
    if ((await checkBanks(context, state)) && (await prune(context, state))) {
      if (state.failure !== null) throw state.failure.thrown;
      return { kind: 'done', note: noteOf(state.now) };
    }
    await context.save({ ...state.now });
    return { kind: 'deferred' };
  }

  return { name: 'integrity', run };
}

function sum(one: Findings, other: Findings): Findings {
  const names = Object.keys({ ...one, ...other }) as CheckName[];
  return Object.fromEntries(names.map((name) => [name, (one[name] ?? 0) + (other[name] ?? 0)]));
}

function noteOf({ findings, pruned }: Checkpoint): string {
  const wrong = (Object.keys(checks) as CheckName[]).flatMap((name) =>
    findings[name] ? [`${findings[name]} ${checks[name].says}`] : [],
  );
  const old = pruned > 0 ? [`${pruned} old rows deleted`] : [];
  return [...(wrong.length > 0 ? wrong : ['all in order']), ...old].join('; ');
}
