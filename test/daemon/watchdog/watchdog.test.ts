import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { pino } from 'pino';
import { afterAll, expect, it, onTestFinished, vi } from 'vitest';
import { appendKill, readKillLog } from '../../../src/daemon/watchdog/kill-log.ts';
import { startWatchdog, type Watchdog, type WatchdogOptions } from '../../../src/daemon/watchdog/watchdog.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createScratchFolder, removeScratchFolder } from '../../support/scratch-folder.ts';

const parent = createScratchFolder();
afterAll(() => removeScratchFolder(parent));
let last = 0;

/** A watchdog over this very process, which may miss as often as it likes: it is never through with starting. */
async function start(options: Partial<WatchdogOptions> = {}, answer = '{"ok":true}\n') {
  const socketPath = join(parent, `${++last}.sock`);
  const logPath = join(parent, `${last}.log`);
  let asked = 0;
  const server = createServer((socket) => {
    asked++;
    socket.on('error', () => undefined);
    socket.on('data', () => socket.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const lines: { level: number; msg: string }[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const metrics = createMetrics();
  const { timings, ...rest } = options;
  const watchdog = startWatchdog({
    socketPath,
    logPath,
    instanceId: 'self',
    notify: null,
    listenAgain: () => Promise.reject(new Error('it never was')),
    log,
    metrics,
    timings: { awakeMs: 10, graceMs: 3_600_000, ...timings },
    ...rest,
  });
  onTestFinished(async () => {
    await watchdog.stop();
    server.close();
  });
  return { watchdog, metrics, lines, logPath, asked: () => asked };
}

const probed = (watchdog: Watchdog, times: number) =>
  vi.waitFor(() => expect(watchdog.view().probes.good).toBeGreaterThanOrEqual(times), 10_000);

it('counts its probes, shows them to a scrape, and ends when it is told', async () => {
  const { watchdog, metrics } = await start();
  expect(watchdog.view()).toEqual({ needsOperator: null, probes: { good: 0, missed: 0 }, lastGoodAt: null });
  await probed(watchdog, 3);
  await watchdog.stop();
  const { probes, lastGoodAt } = watchdog.view();
  expect(lastGoodAt).toBeInstanceOf(Date);
  watchdog.collect();
  const text = await metrics.registry.metrics();
  expect(text).toContain(`engramd_watchdog_probes{outcome="good"} ${probes.good}\n`);
  expect(text).toContain('engramd_watchdog_probes{outcome="missed"} 0\n');
  expect(text).toContain('engramd_needs_operator 0\n');
  await watchdog.stop();
  expect(watchdog.view().needsOperator).toBeNull();
});

it('leaves a parked process alone, and probes at once when that wakes', async () => {
  const { watchdog } = await start({ timings: { awakeMs: 10, parkedMs: 3_600_000 } });
  watchdog.setPace('parked');
  await probed(watchdog, 1);
  const { good } = watchdog.view().probes;
  // Fifteen probes, were it awake.
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(watchdog.view().probes.good).toBeLessThanOrEqual(good + 1);
  watchdog.setPace('awake');
  await probed(watchdog, watchdog.view().probes.good + 3);
});

it('starts a thread that died once more, then says that nobody watches', async () => {
  let starts = 0;
  const { watchdog, metrics, lines } = await start({
    startWorker() {
      starts++;
      return new Worker('throw new Error("out of order")', { eval: true });
    },
  });
  await vi.waitFor(() => expect(watchdog.view().needsOperator).not.toBeNull(), 10_000);
  expect(watchdog.view().needsOperator).toBe('its watchdog has ended twice, nobody watches: out of order');
  expect(lines.map(({ level }) => level)).toEqual([40, 50]);
  expect(await metrics.registry.metrics()).toContain('engramd_needs_operator 1\n');
  expect(starts).toBe(2);
});

it('needs no operator any more when all was good for long enough', async () => {
  const logPath = join(parent, 'killed.log');
  // A little ahead, which counts as well and leaves the thread time to start.
  const at = new Date(Date.now() + 1400);
  for (const instanceId of ['x', 'y', 'z']) {
    appendKill(logPath, { at, pid: 1, instanceId, strikes: 3, reason: 'no answer', stack: null, killed: true });
  }
  const { watchdog, lines } = await start({ logPath, timings: { awakeMs: 10, breakerMs: 1500 } });
  await vi.waitFor(() => expect(lines).toHaveLength(2), 10_000);
  expect(lines).toMatchObject([
    { level: 60, msg: expect.stringContaining('killed by its watchdog 3 times') },
    { level: 30, msg: expect.stringContaining('kills again') },
  ]);
  expect(watchdog.view().needsOperator).toBeNull();
  expect(readKillLog(logPath).at(-1)).toMatchObject({ instanceId: 'self', killed: false });
});

/** systemd's program, which notes what it is told and where. */
function shim(): { readonly command: string; read(): string } {
  const command = join(parent, `systemd-notify-${last}`);
  writeFileSync(command, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${command}.told\n`);
  chmodSync(command, 0o755);
  writeFileSync(`${command}.told`, '');
  return { command, read: () => readFileSync(`${command}.told`, 'utf8') };
}

it('tells systemd after good probes, as long as the ticks are young', async () => {
  vi.stubEnv('NOTIFY_SOCKET', '@abstract/one');
  onTestFinished(() => void vi.unstubAllEnvs());
  const { command, read } = shim();
  const { watchdog, lines, logPath } = await start({ notify: { intervalMs: 20, command } });
  watchdog.ticked(60_000);
  await vi.waitFor(() => expect(read()).toMatch(/^(@abstract\/one WATCHDOG=1\n){2,}$/), 10_000);
  // So long ago that it is old from the first.
  watchdog.ticked(-60_000);
  await vi.waitFor(
    () => expect(lines).toMatchObject([{ level: 40, msg: expect.stringContaining('does not tick') }]),
    10_000,
  );
  const told = read();
  await probed(watchdog, watchdog.view().probes.good + 5);
  // One that was under way may have come to its end.
  expect(read().length - told.length).toBeLessThanOrEqual('@abstract/one WATCHDOG=1\n'.length);
  expect(readKillLog(logPath)).toMatchObject([{ killed: false, reason: expect.stringContaining('does not tick') }]);
});

it('tells systemd nothing without a good answer, and says once that it cannot be told', async () => {
  const { command, read } = shim();
  const { watchdog, asked } = await start({ notify: { intervalMs: 10, command } }, '{"ok":false}\n');
  await vi.waitFor(() => expect(asked()).toBeGreaterThan(5), 10_000);
  expect(watchdog.view().probes).toEqual({ good: 0, missed: 0 });
  expect(read()).toBe('');

  const second = await start({ notify: { intervalMs: 10, command: join(parent, 'missing') } });
  await probed(second.watchdog, 5);
  await vi.waitFor(() => expect(second.lines).toHaveLength(1), 10_000);
  expect(second.lines).toMatchObject([{ level: 40, msg: expect.stringContaining('ENOENT') }]);
});
