import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RpcDispatcher } from '../../../src/api/rpc.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createControlFixture, statusDocument } from './control-fixture.ts';

type Fixture = Awaited<ReturnType<typeof createControlFixture>>;

let fixture: Fixture;
beforeAll(async () => {
  fixture = await createControlFixture();
});
afterAll(() => fixture.close());
afterEach(() => {
  fixture.asked.length = 0;
});

const status = { ok: true, type: 'status', status: statusDocument };
const rpc = (id: unknown, method = 'recall') => ({ jsonrpc: '2.0', id, method });

describe('the control plane', () => {
  test('is open to its owner alone', () => {
    expect(statSync(fixture.path).mode & 0o777).toBe(0o600);
  });

  test('answers each message, in the order of the lines', async () => {
    const client = await fixture.open();
    client.send(
      { type: 'pause', seconds: 90 },
      { type: 'resume' },
      { type: 'wake' },
      { type: 'force_sleep', reason: 'a test' },
      { type: 'pause' },
      { type: 'status' },
    );
    const notes = [];
    for (let reply = 0; reply < 5; reply += 1) notes.push((await client.next())?.note);
    expect(notes).toEqual(['pause 90000', 'resume', 'wake null', 'sleep a test', 'pause null']);
    expect(await client.next()).toEqual(status);
    client.socket.destroy();
  });

  test.each([
    ['an unknown type', { type: 'dance' }, 'UNKNOWN_TYPE', /status, force_sleep, wake, pause, resume/],
    ['a type that is no text', { type: 7 }, 'UNKNOWN_TYPE', /there is no such type/],
    ['no type at all', { hello: true }, 'INVALID_MESSAGE', /neither `type`/],
    ['a pause of no length', { type: 'pause', seconds: 0 }, 'INVALID_MESSAGE', /^seconds: must be a whole number/],
    ['a pause for ever', { type: 'pause', seconds: 1e9 }, 'INVALID_MESSAGE', /^seconds: must be a whole number/],
    ['a broken pause', { type: 'pause', seconds: 1.5 }, 'INVALID_MESSAGE', /^seconds: /],
    ['a reason that is a book', { type: 'wake', reason: 'x'.repeat(501) }, 'INVALID_MESSAGE', /^reason: /],
    ['a field nobody knows', { type: 'status', deep: true }, 'INVALID_MESSAGE', /deep: unknown field/],
  ])('refuses %s, and the connection lives', async (_, message, code, words) => {
    const client = await fixture.open();
    client.send(message, { type: 'status' });
    expect(await client.next()).toEqual({ ok: false, error: { code, message: expect.stringMatching(words) } });
    expect(await client.next()).toEqual(status);
    expect(fixture.asked).toEqual([]);
    client.socket.destroy();
  });

  test.each([
    ['bad JSON', '{"type": "status"\n', -32700, 'BAD_JSON'],
    ['binary noise', Buffer.from([0, 255, 254, 128, 7, 10]), -32700, 'BAD_JSON'],
    ['a hidden prototype', '{"__proto__": {"type": "wake"}}\n', -32600, 'INVALID'],
  ])('answers %s with an error, and the connection lives', async (_, line, code, problem) => {
    const client = await fixture.open();
    client.send(line, { type: 'status' });
    expect(await client.next()).toMatchObject({ jsonrpc: '2.0', id: null, error: { code, data: { code: problem } } });
    expect(await client.next()).toEqual(status);
    client.socket.destroy();
  });

  test('reads a line that comes byte by byte, and passes over blank ones', async () => {
    const client = await fixture.open();
    client.socket.setNoDelay();
    for (const byte of Buffer.from('\n\r\n{"type":"sta')) client.socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
    client.send('tus"}\r\n');
    expect(await client.next()).toEqual(status);
    client.socket.destroy();
  });

  test('takes a line of a MiB, and closes on a longer one without an end, saying why', async () => {
    const fits = JSON.stringify({ type: 'wake', reason: '' });
    const padded = `${' '.repeat(1024 ** 2 - fits.length)}${fits}`;
    const client = await fixture.open();
    client.send(`${padded}\n`);
    expect(await client.next()).toMatchObject({ ok: true, type: 'wake' });
    client.socket.on('error', () => undefined);
    for (let part = 0; part < 40; part += 1) client.send('x'.repeat(64 * 1024));
    expect(await client.next()).toEqual({
      ok: false,
      error: { code: 'LINE_TOO_LONG', message: expect.stringContaining('1 MiB') },
    });
    expect(await client.next()).toBeUndefined();
  });

  test('lets a client that writes too long a line come to its end, so that it gets to read why', async () => {
    const patient = await createControlFixture({
      clock: {
        now: () => new Date(),
        monotonicMs: () => 0,
        sleep: (_ms, signal) => new Promise((resolve) => signal?.addEventListener('abort', () => resolve())),
      },
    });
    const client = await patient.open();
    // Far more than the kernel keeps for a reader that is not there.
    await new Promise<void>((resolve, reject) => {
      client.socket.write(Buffer.alloc(8 * 1024 ** 2, 'x'), (error) => (error ? reject(error) : resolve()));
    });
    expect(await client.next()).toMatchObject({ error: { code: 'LINE_TOO_LONG' } });
    client.socket.destroy();
    await patient.close();
  });

  test('does one message after the other, however long the first takes', async () => {
    const held = Promise.withResolvers<void>();
    const done: string[] = [];
    const note = async (what: string) => {
      if (what === 'pause') await held.promise;
      done.push(what);
      return { state: 'wake' as const, note: what };
    };
    const slow = await createControlFixture({
      handlers: {
        status: { fresh: async () => statusDocument, last: () => statusDocument },
        life: { pause: () => note('pause'), resume: () => note('resume') } as never,
      },
    });
    const client = await slow.open();
    client.send({ type: 'pause' }, { type: 'resume' }, rpc(1));
    // Taken from the same socket after both of them.
    expect(await client.next()).toMatchObject({ id: 1 });
    held.resolve();
    expect([(await client.next())?.note, (await client.next())?.note]).toEqual(['pause', 'resume']);
    expect(done).toEqual(['pause', 'resume']);
    client.socket.destroy();
    await slow.close();
  });

  test('answers what was asked before the client closed its half', async () => {
    const client = await fixture.open();
    client.socket.end(`${JSON.stringify({ type: 'status' })}\n${JSON.stringify(rpc(1))}\n`);
    const replies = [await client.next(), await client.next(), await client.next()];
    expect(replies).toContainEqual(status);
    expect(replies).toContainEqual({ jsonrpc: '2.0', id: 1, result: 'done' });
    expect(replies[2]).toBeUndefined();
  });

  test('gives a status from memory where the store does not answer or fails', async () => {
    const fresh = { ...statusDocument, due: 7 };
    let read = () => Promise.resolve(fresh);
    const other = await createControlFixture({
      handlers: {
        status: { fresh: () => read(), last: () => statusDocument },
        life: {} as never,
      },
      // Whoever waits for a second waits no longer.
      clock: { now: () => new Date(), monotonicMs: () => 0, sleep: () => new Promise(setImmediate) },
    });
    const client = await other.open();
    client.send({ type: 'status', fresh: true });
    expect(await client.next()).toMatchObject({ status: { due: 7 } });
    read = () => Promise.reject(new Error('connection refused'));
    client.send({ type: 'status', fresh: true });
    expect(await client.next()).toEqual(status);
    read = () => new Promise(() => undefined);
    client.send({ type: 'status', fresh: true });
    expect(await client.next()).toEqual(status);
    client.socket.destroy();
    await other.close();
  });

  /** Time that passes when the test says so. */
  function heldClock() {
    const sleeps = new Set<{ untilMs: number; resolve: () => void }>();
    let nowMs = 0;
    return {
      clock: {
        now: () => new Date(),
        monotonicMs: () => nowMs,
        sleep: (ms: number, signal?: AbortSignal) =>
          new Promise<void>((resolve) => {
            sleeps.add({ untilMs: nowMs + ms, resolve });
            signal?.addEventListener('abort', () => resolve(), { once: true });
          }),
      },
      async pass(ms: number) {
        nowMs += ms;
        for (const { untilMs, resolve } of sleeps) if (untilMs <= nowMs) resolve();
        for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
      },
    };
  }

  test.each([{ type: 'force_sleep' }, { type: 'wake' }, { type: 'pause' }, { type: 'resume' }])(
    'with a database that hangs, $type is answered within 3 s, and so is a status behind it',
    async (message) => {
      const { clock, pass } = heldClock();
      const begun: string[] = [];
      const hang = (what: string) => () => {
        begun.push(what);
        return new Promise<never>(() => undefined);
      };
      const hanging = await createControlFixture({
        handlers: {
          status: { fresh: () => new Promise(() => undefined), last: () => statusDocument },
          life: { forceSleep: hang('force_sleep'), wake: hang('wake'), pause: hang('pause'), resume: hang('resume') },
        },
        clock,
      });
      const client = await hanging.open();
      client.send(message, { type: 'resume' }, { type: 'status', fresh: true }, rpc(1));
      // Taken from the same socket after all of them.
      expect(await client.next()).toMatchObject({ id: 1 });
      let answered = false;
      const first = client.next().finally(() => {
        answered = true;
      });
      await pass(2999);
      expect(answered).toBe(false);
      await pass(1);
      expect(await first).toEqual({
        ok: false,
        error: {
          code: 'DATABASE_UNREACHABLE',
          message: 'the database has not answered within 3 s; what was asked may still take effect',
        },
      });
      // In its turn it had no time left; done later, it might overtake the first.
      expect(await client.next()).toEqual({
        ok: false,
        error: { code: 'DATABASE_UNREACHABLE', message: expect.stringContaining('this one was not begun') },
      });
      await pass(0);
      expect(await client.next()).toEqual(status);
      expect(begun).toEqual([message.type]);
      client.socket.destroy();
      await hanging.close();
    },
  );

  test('a message that was given up and fails later is logged, and is no uncaught error', async () => {
    const { clock, pass } = heldClock();
    const warnings: unknown[] = [];
    const held = Promise.withResolvers<never>();
    const hanging = await createControlFixture({
      handlers: {
        status: { fresh: async () => statusDocument, last: () => statusDocument },
        life: { wake: () => held.promise } as never,
      },
      clock,
      log: { ...silentLog, warn: (fields: unknown) => void warnings.push(fields) } as typeof silentLog,
    });
    const client = await hanging.open();
    client.send({ type: 'wake' }, rpc(1));
    expect(await client.next()).toMatchObject({ id: 1 });
    await pass(3000);
    expect(await client.next()).toMatchObject({ error: { code: 'DATABASE_UNREACHABLE' } });
    held.reject(new Error('connect ECONNREFUSED'));
    await pass(0);
    expect(warnings).toEqual([{ type: 'wake', error: 'connect ECONNREFUSED' }]);
    client.socket.destroy();
    await hanging.close();
  });

  test.each([
    ['refuses connections', { code: 'ECONNREFUSED' }, 'DATABASE_UNAVAILABLE', /does not answer/],
    ['has no address of that family', { code: 'EADDRNOTAVAIL' }, 'DATABASE_UNAVAILABLE', /does not answer/],
    ['cannot be reached', { code: 'ENETUNREACH' }, 'DATABASE_UNAVAILABLE', /does not answer/],
    ['says nothing', { message: 'timeout expired' }, 'DATABASE_UNAVAILABLE', /does not answer/],
    ['is another one by now', { code: '3D000' }, 'DATABASE_REFUSED', /refused the connection/],
    ['has a new password', { code: '28P01' }, 'DATABASE_REFUSED', /refused the connection/],
    ['has become a standby', { code: '25006' }, 'DATABASE_READ_ONLY', /read-only/],
  ])('says so where the database %s, and does not send people to the log', async (_, error, code, words) => {
    const away = await createControlFixture({
      handlers: {
        status: { fresh: async () => statusDocument, last: () => statusDocument },
        life: { pause: () => Promise.reject(Object.assign(new Error('away'), error)) } as never,
      },
    });
    const client = await away.open();
    client.send({ type: 'pause' });
    expect(await client.next()).toEqual({ ok: false, error: { code, message: expect.stringMatching(words) } });
    client.socket.destroy();
    await away.close();
  });

  test('keeps to itself what a handler throws that was not written for a sender', async () => {
    const other = await createControlFixture({
      handlers: {
        status: { fresh: async () => statusDocument, last: () => statusDocument },
        life: { wake: () => Promise.reject(new Error('select secret from engram.lifecycle')) } as never,
      },
    });
    const client = await other.open();
    client.send({ type: 'wake' }, { type: 'status' });
    expect(JSON.stringify(await client.next())).not.toContain('select');
    expect(await client.next()).toEqual(status);
    client.socket.destroy();
    await other.close();
  });
});

describe('calls', () => {
  /** Calls that end when the test says so. */
  function heldDispatcher() {
    const calls = new Map<number, { finish: () => void; signal: AbortSignal }>();
    const dispatch: RpcDispatcher = (request, signal) =>
      new Promise((resolve) => {
        const { id } = request as { id: number };
        calls.set(id, { finish: () => resolve({ jsonrpc: '2.0', id, result: id }), signal });
      });
    return { calls, dispatch };
  }

  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise(setImmediate);
  }

  test('run side by side and are answered as they end, while the control plane answers at once', async () => {
    const { calls, dispatch } = heldDispatcher();
    const held = await createControlFixture({ dispatch });
    const client = await held.open();
    client.send(rpc(1), rpc(2), { type: 'status' });
    expect(await client.next()).toEqual(status);
    await until(() => calls.size === 2);
    calls.get(2)?.finish();
    expect(await client.next()).toMatchObject({ id: 2 });
    calls.get(1)?.finish();
    expect(await client.next()).toMatchObject({ id: 1 });
    client.socket.destroy();
    await held.close();
  });

  test('are at most 64 of one client at a time', async () => {
    const { calls, dispatch } = heldDispatcher();
    const held = await createControlFixture({ dispatch });
    const client = await held.open();
    client.send(...Array.from({ length: 70 }, (_, id) => rpc(id)));
    await until(() => calls.size === 64);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(calls.size).toBe(64);
    calls.get(0)?.finish();
    await until(() => calls.size === 65);
    client.socket.destroy();
    await held.close();
  });

  test('of a client that does not read its answers are not taken for ever', async () => {
    let taken = 0;
    const text = 'x'.repeat(100_000);
    const dispatch: RpcDispatcher = async (request) => {
      taken += 1;
      return { jsonrpc: '2.0', id: (request as { id: number }).id, result: text };
    };
    const held = await createControlFixture({ dispatch });
    const client = await held.open();
    client.socket.pause();
    client.send(...Array.from({ length: 5000 }, (_, id) => rpc(id)));
    let before = -1;
    // It has stopped when nothing was taken for a while of turns.
    for (let still = 0; still < 200; still = before === taken ? still + 1 : 0) {
      before = taken;
      await new Promise(setImmediate);
    }
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(200);
    client.socket.destroy();
    await held.close();
  });

  test('in hand are aborted when the connection breaks', async () => {
    const { calls, dispatch } = heldDispatcher();
    const held = await createControlFixture({ dispatch });
    const client = await held.open();
    client.send(rpc(1), rpc(2));
    await until(() => calls.size === 2);
    client.socket.destroy();
    // The kernel says so when the first answer goes nowhere.
    calls.get(1)?.finish();
    await until(() => calls.get(2)?.signal.aborted === true);
    await held.close();
  });

  test('in hand are answered by a stop, and what takes too long is cut off', async () => {
    const { calls, dispatch } = heldDispatcher();
    const held = await createControlFixture({ dispatch });
    const quick = await held.open();
    const slow = await held.open();
    quick.send(rpc(1));
    slow.send(rpc(2));
    await until(() => calls.size === 2);
    const stopped = held.server.stop();
    calls.get(1)?.finish();
    expect(await quick.next()).toMatchObject({ id: 1 });
    await stopped;
    expect(await slow.next()).toBeUndefined();
    await expect(held.open()).rejects.toThrow(/ENOENT/);
    await until(() => calls.get(2)?.signal.aborted === true);
    expect(held.server.connections()).toBe(0);
    await held.close();
  });
});

describe('a socket whose file somebody removed', () => {
  test('is made again, for its owner alone, and who was connected stays so', async () => {
    const cleaned = await createControlFixture();
    const before = await cleaned.open();
    rmSync(cleaned.path);
    await cleaned.server.listenAgain();
    const after = await cleaned.open();
    for (const client of [before, after]) {
      client.send({ type: 'status' });
      expect(await client.next()).toEqual(status);
      client.socket.destroy();
    }
    expect(statSync(cleaned.path).mode & 0o777).toBe(0o600);
    await cleaned.close();
    expect(existsSync(cleaned.path)).toBe(false);
    await cleaned.server.listenAgain();
    expect(existsSync(cleaned.path)).toBe(false);
  });

  test('is not made in place of a file of somebody, which stays', async () => {
    const taken = await createControlFixture();
    rmSync(taken.path);
    writeFileSync(taken.path, 'dear diary');
    await expect(taken.server.listenAgain()).rejects.toMatchObject({ code: 'SOCKET_PATH' });
    expect(readFileSync(taken.path, 'utf8')).toBe('dear diary');
    await taken.close();
  });
});

test('200 connections that come, ask and go leave no descriptor open', async () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  const clients = await Promise.all(Array.from({ length: 200 }, () => fixture.open()));
  for (const client of clients) client.send({ type: 'status' }, 'noise\n');
  for (const client of clients) await client.next();
  expect(fixture.server.connections()).toBe(200);
  for (const { socket } of clients) socket.destroy();
  await Promise.all(clients.map(({ socket }) => (socket.closed ? undefined : once(socket, 'close'))));
  while (fixture.server.connections() > 0) await new Promise(setImmediate);
  expect(descriptors()).toBeLessThanOrEqual(before);
});
