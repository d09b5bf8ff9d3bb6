import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BreakerClass, breakerStep, probeBounds, probeDelayMs } from '../../../src/models/breaker-policy.ts';

const classes = Object.keys(probeBounds) as BreakerClass[];
const anyFailure = fc.record({
  errorClass: fc.constantFrom(...classes),
  failures: fc.integer({ min: 1, max: 5000 }),
});
const chance = fc.double({ min: 0, max: 1, noNaN: true });

describe('when to probe', () => {
  it('stays within the bounds of its class where the server says nothing', () => {
    fc.assert(
      fc.property(anyFailure, chance, (failure, random) => {
        const { minMs, maxMs } = probeBounds[failure.errorClass];
        const delayMs = probeDelayMs({ ...failure, retryAfterMs: null }, random);
        expect(delayMs).toBeGreaterThanOrEqual(minMs);
        expect(delayMs).toBeLessThanOrEqual(maxMs);
      }),
    );
  });

  it('is never before the time that the server has named', () => {
    const asked = fc.integer({ min: 0, max: 7 * 24 * 3_600_000 });
    fc.assert(
      fc.property(anyFailure, asked, chance, (failure, retryAfterMs, random) => {
        expect(probeDelayMs({ ...failure, retryAfterMs }, random)).toBeGreaterThanOrEqual(retryAfterMs);
      }),
    );
  });

  it('is exactly then, the first times', () => {
    for (const errorClass of classes) {
      for (const failures of [1, 5]) {
        expect(probeDelayMs({ errorClass, failures, retryAfterMs: 7000 }, 0.9)).toBe(7000);
      }
    }
    expect(probeDelayMs({ errorClass: 'rate_limit', failures: 6, retryAfterMs: 1000 }, 1)).toBe(128_000);
  });

  it('does not let a server that says 0 be hammered', () => {
    for (const errorClass of classes) {
      expect(probeDelayMs({ errorClass, failures: 1, retryAfterMs: 0 }, 0)).toBeGreaterThanOrEqual(250);
    }
  });

  it('grows with the failures in a row, and is spread over all of the time up to its end', () => {
    fc.assert(
      fc.property(anyFailure, chance, (failure, random) => {
        const once = probeDelayMs({ ...failure, retryAfterMs: null }, random);
        const more = probeDelayMs({ ...failure, failures: failure.failures + 1, retryAfterMs: null }, random);
        expect(more).toBeGreaterThanOrEqual(once);
      }),
    );
    const ends = [0, 1].map((random) =>
      probeDelayMs({ errorClass: 'transient', failures: 20, retryAfterMs: null }, random),
    );
    expect(ends).toEqual([250, 60_000]);
  });

  it('costs an hour of outage a bounded number of probes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...classes),
        fc.array(chance, { minLength: 50, maxLength: 50 }),
        (errorClass, draws) => {
          let atMs = 0;
          let probes = 0;
          for (let failures = 1; atMs < 3_600_000 && probes < 20_000; failures += 1) {
            atMs += probeDelayMs({ errorClass, failures, retryAfterMs: null }, draws[failures % draws.length] ?? 1);
            probes += 1;
          }
          // All draws at their least; the mean is a hundredth of it.
          expect(probes).toBeLessThanOrEqual(3_600_000 / probeBounds[errorClass].minMs + 1);
        },
      ),
    );
    const byChance = (errorClass: BreakerClass) => {
      let atMs = 0;
      let probes = 0;
      for (let failures = 1; atMs < 3_600_000; failures += 1) {
        atMs += probeDelayMs({ errorClass, failures, retryAfterMs: null }, (failures * 0.618) % 1);
        probes += 1;
      }
      return probes;
    };
    expect(Object.fromEntries(classes.map((errorClass) => [errorClass, byChance(errorClass)]))).toMatchInlineSnapshot(`
      {
        "auth": 13,
        "configuration": 6,
        "model_unfit": 4,
        "quota": 3,
        "rate_limit": 29,
        "timeout": 122,
        "transient": 126,
      }
    `);
  });
});

it('a wrong name costs ten calls in its first hour, whatever the dice say', () => {
  fc.assert(
    fc.property(fc.array(chance, { minLength: 60, maxLength: 60 }), (draws) => {
      let atMs = 0;
      let probes = 0;
      for (const [n, draw] of draws.entries()) {
        atMs += probeDelayMs({ errorClass: 'configuration', failures: n + 1, retryAfterMs: null }, draw);
        if (atMs > 60 * 60_000) break;
        probes += 1;
      }
      expect(probes).toBeLessThanOrEqual(6);
    }),
  );
});

describe('what a row says', () => {
  const now = new Date('2026-03-01T12:00:00Z');
  const later = new Date('2026-03-01T12:00:01Z');
  const row = { reopensAt: now, probeId: null, probeUntil: null };

  it('lets one try when it is due, and again when that one has not come back in its time', () => {
    expect(breakerStep(row, now)).toEqual({ kind: 'claim' });
    expect(breakerStep({ ...row, reopensAt: later }, now)).toEqual({ kind: 'not_due', until: later });
    expect(breakerStep({ ...row, probeId: 'p', probeUntil: later }, now)).toEqual({ kind: 'probing', until: later });
    expect(breakerStep({ ...row, probeId: 'p', probeUntil: now }, now)).toEqual({ kind: 'claim' });
  });
});
