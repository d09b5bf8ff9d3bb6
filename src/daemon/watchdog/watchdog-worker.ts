import { execFile } from 'node:child_process';
import { write } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { firstStanding, isTickYoung, judge, killsToStop, probeEveryMs, recentKills, strikesToKill } from './judge.ts';
import { appendKill, readKillLog } from './kill-log.ts';
import { type ProbeResult, probe } from './probe.ts';
import { exitMainThread, stackOfMainThread } from './stack-report.ts';
import { Vitals } from './vitals.ts';
import type { Pace, WatchdogConfig, WatchdogEvent, WatchdogOrder } from './watchdog-config.ts';

// The thread that judges the main one: a blocked loop cannot judge itself. It imports next to nothing, so that it is small
// and there is little in it that could fail.
const { socketPath, logPath, instanceId, timings, notify, vitals: buffer, ...config } = workerData as WatchdogConfig;
const vitals = new Vitals(buffer);
const startedMs = performance.now();

let pace: Pace = config.pace;
let nudge: () => void = () => undefined;
let heard: () => void = () => undefined;
parentPort?.on('message', (order: WatchdogOrder) => {
  if (order === 'heard') return heard();
  pace = order;
  nudge();
});

let standing = firstStanding;
let lastGoodMs: number | null = null;
/** Since when every probe was good. */
let goodSinceMs: number | null = null;
let needsOperator = false;
let notifiedMs: number | null = null;
let wasTickYoung = true;
let hasWarnedOfNotify = false;

function tell(event: WatchdogEvent): void {
  parentPort?.postMessage(event);
}

function intervalMs(): number {
  return probeEveryMs({ pace, strikes: standing.strikes, notifyEveryMs: notify?.intervalMs ?? null }, timings);
}

/**
 * The daemon's answer. Where nobody is on the path, its main thread is asked past it: to make the socket again, which a
 * stuck one does not do, and one that is well may have lost to whoever cleans the folder.
 */
async function ask(): Promise<ProbeResult> {
  const result = await probe(socketPath, timings.timeoutMs);
  if (!result.isGone) return result;
  const askedMs = performance.now();
  const hasHeard = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), timings.timeoutMs);
    heard = () => {
      clearTimeout(timer);
      resolve(true);
    };
    tell({ kind: 'socket_gone' });
  });
  if (hasHeard) return { ...result, outcome: 'good' };
  return { ...result, tookMs: result.tookMs + performance.now() - askedMs };
}

/** Until the next probe is due. True: the timer fired long after its time. */
async function rest(sinceMs: number): Promise<boolean> {
  for (;;) {
    const askedMs = performance.now();
    const leftMs = sinceMs + intervalMs() - askedMs;
    if (leftMs <= 0) return false;
    const wasNudged = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), leftMs);
      nudge = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
    // A changed pace moves the instant; whether that has come is for the next turn to say.
    if (!wasNudged) return performance.now() - askedMs > leftMs + timings.lateMs;
  }
}

function record(strikes: number, reason: string, stack: readonly string[] | null, killed: boolean): void {
  try {
    appendKill(logPath, { at: new Date(), pid: process.pid, instanceId, strikes, reason, stack, killed });
  } catch (thrown) {
    // A full disk must not save a daemon that is stuck. Without the record, only the supervisor's start limit ends a row of kills.
    tell({ kind: 'warning', text: `the watchdog's log cannot be written: ${String(thrown)}` });
  }
}

/**
 * Past the main thread, in the form of the log, and not for long: a main thread that is stuck may be so because nobody
 * reads its stderr.
 */
function shout(message: string): Promise<void> {
  const line = JSON.stringify({
    level: 60,
    time: new Date().toISOString(),
    pid: process.pid,
    instanceId,
    msg: message,
  });
  return new Promise((resolve) => {
    setTimeout(resolve, 300);
    write(2, `${line}\n`, () => resolve());
  });
}

async function act(result: ProbeResult): Promise<void> {
  const sinceMs = Math.round((performance.now() - (lastGoodMs ?? startedMs)) / 100) / 10;
  const reason = `no good answer for ${sinceMs} s, ${standing.strikes} probes in a row, the last: ${result.why}`;
  const stack = await stackOfMainThread(timings.stackMs);
  if (needsOperator) {
    record(standing.strikes, `not killed, needs an operator: ${reason}`, stack, false);
    await shout(`the watchdog would kill this process, but has done so too often: ${reason}`);
    return;
  }
  record(standing.strikes, reason, stack, true);
  await shout(`the watchdog kills this process: ${reason}`);
  process.kill(process.pid, 'SIGKILL');
  // Still here.
  exitMainThread(137);
}

function sayNeedsOperator(kills: number): void {
  needsOperator = true;
  const text =
    `killed by its watchdog ${kills} times within ${timings.breakerMs / 60_000} minutes, so it is not killed any more: ` +
    `see ${logPath}`;
  record(0, text, null, false);
  tell({ kind: 'needs_operator', text });
}

function notifySupervisor(): void {
  if (!notify) return;
  const isYoung = isTickYoung(vitals.tick);
  if (!isYoung && wasTickYoung) {
    const text = 'it answers but does not tick: systemd is not told that all is well';
    record(0, text, null, false);
    tell({ kind: 'warning', text });
  }
  wasTickYoung = isYoung;
  const nowMs = performance.now();
  // The next chance comes an interval from now, which may be too late.
  if (!isYoung || (notifiedMs !== null && nowMs - notifiedMs + intervalMs() < notify.intervalMs)) return;
  notifiedMs = nowMs;
  // Its end is waited for by the program itself: systemd must have read the message before its sender is gone.
  const env = { NOTIFY_SOCKET: process.env.NOTIFY_SOCKET };
  execFile(notify.command, ['WATCHDOG=1'], { env, timeout: 5000 }, (error) => {
    if (!error || hasWarnedOfNotify) return;
    hasWarnedOfNotify = true;
    tell({ kind: 'warning', text: `systemd could not be told that all is well: ${error.message}` });
  });
}

function seeGood(): void {
  const nowMs = performance.now();
  lastGoodMs = nowMs;
  goodSinceMs ??= nowMs;
  if (needsOperator && nowMs - goodSinceMs >= timings.breakerMs) {
    needsOperator = false;
    tell({ kind: 'needs_operator', text: null });
  }
  vitals.countGood(Date.now());
  notifySupervisor();
}

const kills = recentKills(readKillLog(logPath), new Date(), timings.breakerMs);
if (kills >= killsToStop) sayNeedsOperator(kills);
for (let wasLate = false; ; ) {
  const roundMs = performance.now();
  const result = await ask();
  const before = standing;
  standing = judge(
    before,
    {
      outcome: result.outcome,
      wasLate: wasLate || result.tookMs > timings.timeoutMs + timings.lateMs,
      atMs: performance.now() - startedMs,
    },
    timings.graceMs,
  );
  if (result.outcome === 'good') seeGood();
  else goodSinceMs = null;
  if (standing.strikes > before.strikes) vitals.countMissed();
  if (standing.strikes === strikesToKill && before.strikes < strikesToKill) await act(result);
  wasLate = await rest(roundMs);
}
