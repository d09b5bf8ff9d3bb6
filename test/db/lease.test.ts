import { describe, expect, it } from 'vitest';
import { HeldConnectionError } from '../../src/db/errors.ts';
import { assertNoLease, heldLabel, onLeaseViolation, withLease } from '../../src/db/lease.ts';

describe('a lease (L1)', () => {
  it('refuses a call as long as it is held, in all that was started under it', async () => {
    await withLease('a transaction', async () => {
      expect(heldLabel()).toBe('a transaction');
      expect(() => assertNoLease('embed')).toThrow(HeldConnectionError);
      await Promise.resolve();
      await new Promise<void>((resolve) => setImmediate(resolve));
      expect(() => assertNoLease('embed')).toThrow(/embed was called while the transaction "a transaction" held/);
    });
    expect(heldLabel()).toBeUndefined();
    expect(() => assertNoLease('embed')).not.toThrow();
  });

  it('ends with its release, though the context of what was started under it does not', async () => {
    const released = Promise.withResolvers<void>();
    let afterwards: Promise<string | undefined> = Promise.resolve(undefined);
    await withLease('a transaction', async () => {
      afterwards = released.promise.then(() => {
        assertNoLease('embed');
        return heldLabel();
      });
    });
    released.resolve();
    await expect(afterwards).resolves.toBeUndefined();
  });

  it('ends also when the work under it fails', async () => {
    const failing = withLease('a transaction', async () => {
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(heldLabel()).toBeUndefined();
  });

  it('of one call chain is none of another', async () => {
    const inside = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const other = withLease('a transaction', async () => {
      inside.resolve();
      await done.promise;
    });
    await inside.promise;
    expect(() => assertNoLease('embed')).not.toThrow();
    done.resolve();
    await other;
  });

  it('is told of at each violation, also where the error is swallowed', async () => {
    const told: string[] = [];
    const stop = onLeaseViolation((what, label) => told.push(`${what} under ${label}`));
    const swallow = () => {
      try {
        assertNoLease('propose');
      } catch {
        // What a library with a retry loop does.
      }
    };
    await withLease('a transaction', async () => swallow());
    stop();
    await withLease('a transaction', async () => swallow());
    expect(told).toEqual(['propose under a transaction']);
  });

  it('names what was called, by whom the connection is held and for how long', async () => {
    const error = await withLease('apply', async () => {
      try {
        assertNoLease('embed');
        return undefined;
      } catch (thrown) {
        return thrown;
      }
    });
    expect(error).toMatchObject({
      code: 'HELD_CONNECTION',
      label: 'apply',
      retryable: false,
      heldMs: expect.any(Number),
    });
  });
});
