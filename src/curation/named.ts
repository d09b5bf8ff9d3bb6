import type { Queryable } from '../db/database.ts';
import type { ChangeOpStatus } from '../store/change-ops.ts';
import { opsOfSets, type ReviewedOp, type ReviewedSet, setsNamed } from '../store/change-review.ts';
import { NothingNamedError, type RefusalCode, RefusedError } from './refusals.ts';

/** What a person points at: a change set or a run, or of a set one op with its group. */
export interface Named {
  readonly bankId: string;
  readonly id: string;
  /** Number of an op; its whole group is meant (law L2). */
  readonly op?: number | undefined;
}

export interface Chosen {
  readonly set: ReviewedSet;
  /** Those in the status asked for. */
  readonly ops: readonly ReviewedOp[];
}

/**
 * The ops of what is named that are in this status, by set; never none.
 *
 * @throws NothingNamedError, RefusedError
 */
export async function choose(
  db: Queryable,
  named: Named,
  status: Extract<ChangeOpStatus, 'proposed' | 'applied'>,
): Promise<Chosen[]> {
  const { bankId, id, op } = named;
  const sets = await setsNamed(db, bankId, id);
  if (sets.length === 0) throw new NothingNamedError(`there is no change set or run ${id} in this bank`);
  if (op !== undefined && (sets.length > 1 || sets[0]?.id !== id)) {
    throw new NothingNamedError(`${id} is a run; ops are numbered within a change set`);
  }
  const all = await opsOfSets(
    db,
    bankId,
    sets.map((set) => set.id),
  );
  const one = op === undefined ? undefined : all.find((candidate) => candidate.seq === op);
  if (op !== undefined && !one) throw new NothingNamedError(`change set ${id} has no op ${op}`);
  const wanted = one === undefined ? all : all.filter((candidate) => candidate.groupNo === one.groupNo);
  const fitting = wanted.filter((candidate) => candidate.status === status);
  // What was refused by the judges shares a number with nobody that could be decided.
  if (fitting.length === 0) throw refusal(status, one ? [one] : wanted, one ? `op ${op} of change set ${id}` : id);
  if (status === 'proposed' && fitting.some((candidate) => candidate.plan === null)) {
    throw new RefusedError('NOT_PROPOSED', `${id} was proposed without all that is needed to apply it`);
  }
  return sets.flatMap((set) => {
    const ops = fitting.filter((candidate) => candidate.changeSetId === set.id);
    return ops.length === 0 ? [] : [{ set, ops }];
  });
}

function refusal(status: 'proposed' | 'applied', ops: readonly ReviewedOp[], name: string): RefusedError {
  const are = [...new Set(ops.map((op) => op.status))].sort().join(' and ');
  const code: RefusalCode = status === 'proposed' ? 'NOT_PROPOSED' : 'NOT_APPLIED';
  const message =
    status === 'proposed'
      ? `nothing of ${name} waits for a decision: it is ${are === '' ? 'empty' : are}`
      : `nothing of ${name} is in force: it is ${are === '' ? 'empty' : are}`;
  return new RefusedError(code, message);
}
