/** What one run of the pool bench came to. */
export interface PoolFigures {
  readonly name: string;
  /** Chat calls that the model has seen. */
  readonly calls: number;
  readonly seconds: number;
  readonly holdP99Ms: number;
  readonly holdMaxMs: number;
  /** Most of them that `pg_stat_activity` showed at once, whoever they belonged to. */
  readonly connections: number;
  readonly connectionSamples: number;
  readonly peakRssBytes: number;
  readonly cpuSeconds: number;
  readonly postgresCpuSeconds: number | undefined;
  readonly observations: number;
  /** Memories that are neither consolidated nor, by a reason of their own, parked: there may be none. */
  readonly left: number;
  readonly violations: number;
  readonly replans: Readonly<Record<string, number>>;
  readonly phaseMs: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

export interface Rate {
  readonly calls: number;
  readonly seconds: number;
  readonly callsPerSecond: number;
}

export interface Verdict {
  readonly holds: boolean;
  readonly says: string;
}

const shareBound = 0.9;
/** Eight waves, of which the ramp takes one and the last batches' end another half. */
const shortShareBound = 0.75;
const timesHeldBound = 25;
const shortTimesHeldBound = 20;
const holdP99BoundMs = 50;

export function verdictsOf(measured: {
  readonly figures: readonly PoolFigures[];
  readonly alone: Rate;
  readonly holding: Rate;
  readonly isShort: boolean;
  readonly plan: { readonly poolMax: number };
}): Verdict[] {
  const { figures, alone, holding, isShort, plan } = measured;
  const leastShare = isShort ? shortShareBound : shareBound;
  const leastTimes = isShort ? shortTimesHeldBound : timesHeldBound;
  return figures.flatMap((f) => {
    const rate = f.calls / f.seconds;
    return [
      {
        holds: rate >= leastShare * alone.callsPerSecond,
        says: `${f.name}: at least ${leastShare * 100} % of what the model alone allows, ramp included`,
      },
      {
        holds: rate >= leastTimes * holding.callsPerSecond,
        says: `${f.name}: at least ${leastTimes} times a connection held across each call`,
      },
      { holds: f.holdP99Ms < holdP99BoundMs, says: `${f.name}: p99 of a hold under ${holdP99BoundMs} ms` },
      {
        holds: f.connections <= plan.poolMax,
        says: `${f.name}: at most ${plan.poolMax} connections, pg-boss included, in ${f.connectionSamples} looks at pg_stat_activity`,
      },
      {
        holds: f.left === 0 && f.violations === 0 && f.warnings.length === 0,
        says: `${f.name}: every memory consolidated, no model called under a connection, no warning`,
      },
    ];
  });
}
