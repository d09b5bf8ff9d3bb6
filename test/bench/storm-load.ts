import { callControl } from '../../src/daemon/control/control-client.ts';

/** How the watchdog would judge: no answer within this is a miss. */
const missedAfterMs = 5000;
/** How long the answer is waited for all the same, to know how late it was; without any it counts as this. */
const givenUpAfterMs = 30_000;
/** Status is asked for this often, whether or not the last answer has come: a hung daemon gets its misses all the same. */
const probeEveryMs = 100;
/** A caller thinks for a moment, as agents do; the first question of all of them is asked at once. */
const callerPauseMs = 200;

export interface Hammered {
  /** Of each probe, that of one without an answer being the time after which it would have been given up. */
  readonly latenciesMs: number[];
  missed: number;
}

/** Asks for the status over the control socket until `signal` aborts, and waits for the last answers. */
export async function hammerStatus(socket: string, signal: AbortSignal): Promise<Hammered> {
  const seen: Hammered = { latenciesMs: [], missed: 0 };
  const asked: Promise<void>[] = [];
  while (!signal.aborted) {
    asked.push(probe(socket, seen));
    await pause(probeEveryMs, signal);
  }
  await Promise.all(asked);
  return seen;
}

async function probe(socket: string, seen: Hammered): Promise<void> {
  const startedMs = performance.now();
  const reply = await callControl(socket, { type: 'status' }, { timeoutMs: givenUpAfterMs }).catch(() => undefined);
  const latencyMs = reply ? performance.now() - startedMs : givenUpAfterMs;
  seen.latenciesMs.push(latencyMs);
  if (latencyMs > missedAfterMs) seen.missed += 1;
}

export interface Recalled {
  answered: number;
  /** With an error, or with nothing in it. */
  bad: number;
  firstMs: number;
}

/** One caller that recalls again and again. */
export async function keepRecalling(url: string, bankId: string, signal: AbortSignal): Promise<Recalled> {
  const seen: Recalled = { answered: 0, bad: 0, firstMs: 0 };
  const startedMs = performance.now();
  for (let at = 0; !signal.aborted; at += 1) {
    const isGood = await recall(url, bankId, `what is known of number ${(at * 37) % 1000}`);
    if (seen.firstMs === 0) seen.firstMs = performance.now() - startedMs;
    seen.answered += 1;
    if (!isGood) seen.bad += 1;
    await pause(callerPauseMs, signal);
  }
  return seen;
}

async function recall(url: string, bankId: string, query: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/v1/banks/${bankId}/recall`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
      signal: AbortSignal.timeout(120_000),
    });
    const body = (await response.json()) as { items?: unknown[] };
    return response.ok && (body.items?.length ?? 0) > 0;
  } catch {
    return false;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
