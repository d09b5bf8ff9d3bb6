import { createHash } from 'node:crypto';
import type { Database } from '../db/database.ts';
import { findVerdict, storeVerdict } from '../store/verdicts.ts';
import type { Decider, Judgement, PairToJudge, Verdict } from './decider.ts';
import { decisionKey } from './decision-key.ts';
import { needsNoVerdict } from './llm/same-words.ts';

/**
 * A decider that is asked about an unchanged pair once. Consolidating an unchanged store again costs nothing then, and
 * does not gamble again on what was settled. For deciders that ask no model it is the decider itself: it is faster than
 * the look.
 */
export function rememberVerdicts(decider: Decider, deps: { readonly db: Database }): Decider {
  if (!decider.asksModel) return decider;
  const decidedBy = decisionKey(decider);
  return {
    name: decider.name,
    asksModel: true,
    get limits() {
      return decider.limits;
    },
    readsSources: decider.readsSources,
    propose: (batch, options) => decider.propose(batch, options),
    async adjudicate(pair, admissible, options) {
      if (needsNoVerdict(pair, admissible)) return decider.adjudicate(pair, admissible, options);
      const { bankId, subjectIds, scope } = options;
      const use = { key: verdictKey({ pair, admissible, scope: scope ?? null, decidedBy }), subjectIds };
      const found = await findVerdict(deps.db, bankId, use);
      const known = admissible.find((verdict) => verdict === found?.verdict);
      if (known && found) return { verdict: known, reason: found.reason };
      const judgement: Judgement = await decider.adjudicate(pair, admissible, options);
      await deps.db.tx({ label: 'keep verdict' }, (tx) => storeVerdict(tx, bankId, { ...use, ...judgement }));
      return judgement;
    },
    rewrite: (request, options) => decider.rewrite(request, options),
    readyAt: () => decider.readyAt(),
    blames: (thrown, about) => decider.blames(thrown, about),
  };
}

/** SHA-256 over everything that a verdict depends on. How alike the vectors are is no part of it: no model is told. */
function verdictKey(of: {
  readonly pair: PairToJudge;
  readonly admissible: readonly Verdict[];
  readonly scope: readonly string[] | null;
  readonly decidedBy: string;
}): Buffer {
  const side = ({ text, validFrom }: PairToJudge['held']) => [text, validFrom?.getTime() ?? null];
  const { pair, admissible, scope, decidedBy } = of;
  return createHash('sha256')
    .update(
      JSON.stringify([
        side(pair.held),
        side(pair.offered),
        admissible.toSorted(),
        scope?.toSorted() ?? null,
        decidedBy,
      ]),
    )
    .digest();
}
