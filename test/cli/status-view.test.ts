import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters, styleText } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { Status } from '../../src/cli/api-types.ts';
import { changesBetween } from '../../src/cli/status-view/changes.ts';
import { bar, cutLine } from '../../src/cli/status-view/fit.ts';
import { openLiveScreen } from '../../src/cli/status-view/live-screen.ts';
import { createNightWatch } from '../../src/cli/status-view/night-watch.ts';
import { createPipeReaderWatch } from '../../src/cli/status-view/pipe-reader.ts';
import { statusRows } from '../../src/cli/status-view/status-rows.ts';
import { type Frame, watchFrame } from '../../src/cli/status-view/watch-frame.ts';
import { watchStatus } from '../../src/cli/status-view/watch-status.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { cycleOf, drained, lifeOf, tenOClock as now, statusOf, stepOf } from './life-documents.ts';
import { hastyClock } from './run-command.ts';

const plain = createTerminal(new PassThrough(), new PassThrough(), {});
const coloured = createTerminal(Object.assign(new PassThrough(), { isTTY: true }), new PassThrough(), {});

const asleep = lifeOf({
  state: 'sleep',
  since: '2026-03-04T09:58:00.000Z',
  reason: 'quiet_hours',
  idle_countdown: null,
  held_by: 'cycle',
  cycle: cycleOf({
    steps: [
      drained,
      stepOf('dedup', 'running', { done: 412, total: 1000, started_at: '2026-03-04T09:59:30.000Z' }),
      stepOf('contradictions', 'quarantined', { error: 'the model answered 400' }),
      stepOf('integrity', 'failed', { error: 'no space left' }),
      stepOf('digest', 'pending'),
    ],
  }),
});

describe('the table', () => {
  const rowsOf = (status: Status) => Object.fromEntries(statusRows(status, now, plain));

  test('says how the daemon is, why, and what comes next', () => {
    const due = { at: '2026-03-04T13:00:00.000Z', what: 'cycle' };
    const rows = rowsOf(statusOf({ life: lifeOf({ next_due: due, held_by: 'jobs_active' }) }));
    expect(rows).toMatchObject({
      state: 'awake for 60 min: activity',
      requests: 'the last 12 s ago',
      next: 'drowsy in 5 min · stays awake: jobs are in hand · a sleep cycle in 3.0 h',
      nights: '0 of 0 cycles completed, no clean one yet',
      leader: 'this daemon',
      tick: '10 s ago',
      'event loop': 'late by 1.2 ms, at worst by 4.5 ms (p50, p99)',
    });
    expect(rows).not.toHaveProperty('operator');
    expect(rows).not.toHaveProperty('store');
  });

  test('says what waits for its score and what is pinned, where anything is', () => {
    expect(rowsOf(statusOf())).not.toHaveProperty('scores');
    expect(rowsOf(statusOf())).not.toHaveProperty('pins');
    const status = statusOf({
      unscored: 1200,
      oldest_unscored_seconds: 90,
      scores_parked: 2,
      pins: { manual: 9, auto: 1, over_cap: 2 },
    });
    expect(rowsOf(status)).toMatchObject({
      scores: '1,200 to do, the oldest for 2 min, 2 given up: `engramd jobs retry` tries again',
      pins: '1 automatic, 9 by hand, 2 over the cap',
    });
    expect(rowsOf(status)).not.toHaveProperty('waits');
    const until = '2026-03-05T00:00:00.000Z';
    const half = "scores stop at half of the day's budget; they go on at 2026-03-05T00:00:00.000Z";
    expect(rowsOf({ ...status, scores_wait_until: until })).toMatchObject({ waits: half });
    expect(rowsOf({ ...status, scores_wait_until: until, unscored: 0 })).not.toHaveProperty('waits');
    const spent = 'the budget of the day is spent; work goes on at 2026-03-05T00:00:00.000Z';
    const all = statusRows({ ...status, waits_until: until, scores_wait_until: until }, now, plain);
    expect(all.filter(([name]) => name === 'waits')).toEqual([['waits', spent]]);
  });

  test('shows the steps of a night, what is in quarantine, and what went wrong', () => {
    const life = {
      ...asleep,
      quarantine: [
        {
          step: 'contradictions' as const,
          failures: 3,
          until: '2026-03-05T03:00:00.000Z',
          error: 'the model answered 400',
        },
        { step: 'dedup' as const, failures: 1, until: null, error: 'once' },
      ],
      cycles: {
        started: 12,
        completed: 11,
        last_clean_at: '2026-03-04T05:00:00.000Z',
        last_failed_at: '2026-03-04T09:00:00.000Z',
      },
      skipped: 'backing_off',
      last_exit: { reason: 'SIGTERM', at: '2026-03-04T09:58:00.000Z' },
      paused: { since: '2026-03-04T09:00:00.000Z', until: '2026-03-04T10:05:00.000Z' },
      sleep_forced: true,
      parked: true,
    };
    const lines = statusRows(statusOf({ life, facts_at: '2026-03-04T09:50:00.000Z' }), now, plain).map((row) =>
      row.join(' | '),
    );
    for (const line of [
      'state | asleep, parked for 2 min: quiet hours; a forced sleep is on its way',
      'paused | no work is handed out, for another 5 min',
      'cycle | running for 60 s (forced), 3 of 5 steps',
      ' | drain: done, 12 memories (3.1 s)',
      ' | dedup: 412 of 1,000',
      ' | contradictions: left out, in quarantine: the model answered 400',
      ' | integrity: failed: no space left',
      ' | digest: to come',
      'nights | 11 of 12 cycles completed, the last clean one 5.0 h ago; the last failed 60 min ago',
      'quarantine | contradictions for another 17.0 h, after 3 failures: the model answered 400',
      'tick | 10 s ago; skipped: backing off',
      'last exit | 2 min ago: SIGTERM',
      'store | as it was 10 min ago',
    ])
      expect(lines).toContain(line);
    expect(lines.join('\n')).not.toContain('once');
  });

  test('puts what a person has to see to on top, in red', () => {
    const life = lifeOf({ needs_operator: 'three kills in ten minutes' });
    const rows = statusRows(statusOf({ life }), now, coloured);
    expect(rows[1]).toEqual([
      'operator',
      styleText('red', 'needed: three kills in ten minutes', { validateStream: false }),
    ]);
  });
});

describe('the live view', () => {
  const frame = (change: Partial<Frame> = {}) =>
    watchFrame({
      status: statusOf({ life: asleep }),
      silence: null,
      recent: [],
      now,
      columns: 100,
      rows: 40,
      paint: plain,
      ...change,
    });

  test('draws a night', () => {
    const time = now.toTimeString().slice(0, 8);
    const recent = [{ at: now, text: 'drain … done, 12 memories (3.1 s)' }];
    expect(frame({ recent })).toEqual([
      `engramd 0.1.0  ready, up 2.0 h  ${time}`,
      '',
      '  state       asleep for 2 min: quiet hours',
      '  requests    the last 12 s ago',
      '  next        stays asleep: the sleep cycle comes first',
      '  cycle       ▰▰▰▰▰▰▰▰▰▰▰▰▱▱▱▱▱▱▱▱ running for 60 s (forced), 3 of 5 steps',
      '              ✔ drain           done, 12 memories (3.1 s)',
      '              ▸ dedup           ▰▰▰▰▰▰▰▰▱▱▱▱▱▱▱▱▱▱▱▱ 412 of 1,000  30 s',
      '              – contradictions  left out, in quarantine: the model answered 400',
      '              ✖ integrity       failed: no space left',
      '              · digest          to come',
      '  nights      0 of 0 cycles completed, no clean one yet',
      '  leader      this daemon',
      '  event loop  late by 1.2 ms, at worst by 4.5 ms (p50, p99)',
      '  due         nothing',
      '',
      'changes',
      `  ${time}  drain … done, 12 memories (3.1 s)`,
      '',
      'Ctrl-C ends the view; the daemon goes on',
    ]);
  });

  test('keeps to the screen, however small: the state stays, the news goes', () => {
    const recent = Array.from({ length: 30 }, (_, index) => ({ at: now, text: `change ${index}` }));
    for (const rows of [1, 2, 5, 12, 18, 22, 60]) {
      for (const columns of [1, 20, 100]) {
        const lines = frame({ recent, rows, columns, paint: coloured });
        expect(lines.length).toBeLessThanOrEqual(rows);
        for (const line of lines) expect([...stripVTControlCharacters(line)].length).toBeLessThanOrEqual(columns);
      }
    }
    expect(frame({ recent, rows: 5 })[2]).toMatch(/asleep/);
    expect(frame({ recent, rows: 22 })).toContainEqual(expect.stringMatching(/change 29/));
  });

  test('says when nobody answers, over what it knew', () => {
    const lines = frame({ silence: 'no daemon answers; engramd run starts one' });
    expect(lines[2]).toBe('no daemon answers; engramd run starts one');
    expect(lines[4]).toMatch(/asleep/);
  });

  test('cuts a coloured line by what is seen of it, and ends the colour', () => {
    expect(cutLine('\u001b[31mred\u001b[39m', 3)).toBe('\u001b[31mred\u001b[39m');
    expect(cutLine('\u001b[31mreddish', 4)).toBe('\u001b[31mred…\u001b[0m');
    expect(cutLine('\u001b[31mred\u001b[39mdish', 3)).toBe('\u001b[31mre…\u001b[0m');
    expect(cutLine('plain', 4)).toBe('pla…');
    expect([bar(0, 0, 4), bar(1, 3, 4), bar(3, 3, 4), bar(9, 3, 4)]).toEqual(['▱▱▱▱', '▰▱▱▱', '▰▰▰▰', '▰▰▰▰']);
  });
});

describe('what has changed', () => {
  const of = (before: Partial<Status>, after: Partial<Status>) => changesBetween(statusOf(before), statusOf(after));

  test('is how it is, at first, and then nothing while nothing does', () => {
    expect(changesBetween(undefined, statusOf())).toEqual(['engramd 0.1.0 is ready, awake: activity']);
    const later = lifeOf({ activity_age_seconds: 13, stamped_at: '2026-03-04T10:00:00.000Z' });
    expect(of({}, { life: later, uptime_seconds: 7201 })).toEqual([]);
  });

  test('is told of a night from its beginning to its end', () => {
    const begun = lifeOf({ state: 'sleep', reason: 'forced', cycle: cycleOf() });
    const steps = [drained, stepOf('dedup', 'running')];
    const between = lifeOf({ ...begun, cycle: cycleOf({ steps }) });
    const woken = lifeOf({
      reason: 'activity',
      cycle: cycleOf({ steps: [drained, stepOf('dedup', 'pending')], running: false }),
    });
    const over = lifeOf({
      state: 'hibernation',
      reason: 'forced_cycle_over',
      parked: true,
      cycle: cycleOf({ finished_at: '2026-03-04T09:59:12.000Z', outcome: 'partial', running: false, steps }),
    });
    expect(of({}, { life: lifeOf({ sleep_forced: true }) })).toEqual(['a sleep was forced']);
    expect(of({ life: lifeOf({ sleep_forced: true }) }, { life: begun })).toEqual([
      'awake → asleep: forced',
      'a sleep cycle has begun (forced)',
    ]);
    expect(of({ life: begun }, { life: between })).toEqual(['drain … done, 12 memories (3.1 s)', 'dedup … running']);
    expect(of({ life: between }, { life: woken })).toContain('the sleep cycle is interrupted');
    expect(of({ life: woken }, { life: between })).toContain('the sleep cycle goes on');
    expect(of({ life: between }, { life: over })).toEqual([
      'asleep → hibernating: forced cycle over',
      'parked',
      'the sleep cycle is partial after 12 s',
    ]);
  });

  test.each<[string, Partial<Status>, Partial<Status>]>([
    ['another daemon answers', {}, { instance_id: 'b' }],
    ['the daemon is stopping', {}, { condition: 'stopping' }],
    ['12 memories are due', {}, { due: 12 }],
    ['nothing is due any more', { due: 12 }, {}],
    [
      'paused for 5 min',
      {},
      { life: lifeOf({ paused: { since: '2026-03-04T10:00:00.000Z', until: '2026-03-04T10:05:00.000Z' } }) },
    ],
    ['the pause is over', { life: lifeOf({ paused: { since: '2026-03-04T10:00:00.000Z', until: null } }) }, {}],
    ['skipped: cooling down', {}, { life: lifeOf({ skipped: 'cooling_down' }) }],
    ['nothing is skipped any more', { life: lifeOf({ skipped: 'cooling_down' }) }, {}],
    ['another daemon leads: b', {}, { life: lifeOf({ leader: { instance_id: 'b', is_self: false } }) }],
    ['an operator is needed: look', {}, { life: lifeOf({ needs_operator: 'look' }) }],
    ['no longer parked', { life: lifeOf({ parked: true }) }, {}],
  ])('names: %s', (line, before, after) => {
    expect(of(before, after)).toEqual([expect.stringContaining(line)]);
  });

  test('names a model that fails, once, and that answers again', () => {
    const model = { model: 'm', endpoint: 'http://x/v1', retry_at: null };
    const failing = { models: [{ ...model, state: 'out_of_order' as const, problem: 'm refuses the key' }] };
    const ready = { models: [{ ...model, state: 'ready' as const, problem: null }] };
    expect(of(ready, failing)).toEqual(['m refuses the key']);
    expect(of(failing, failing)).toEqual([]);
    expect(of(failing, ready)).toEqual(['m answers again']);
  });
});

describe('a screen of its own', () => {
  function screenOn(columns = 100, rows = 40) {
    let written = '';
    const stdout = Object.assign(new PassThrough(), { isTTY: true, columns, rows });
    stdout.on('data', (chunk) => {
      written += chunk;
    });
    return { stdout, written: () => written };
  }

  test('is drawn in place, only where something differs, and leaves the terminal as it was', () => {
    const { stdout, written } = screenOn();
    const listeners = process.listenerCount('exit');
    const screen = openLiveScreen(stdout);
    screen.draw(['one', 'two']);
    const once = written();
    screen.draw(['one', 'two']);
    expect(written()).toBe(once);
    stdout.emit('resize');
    screen.draw(['one', 'two']);
    expect(written()).not.toBe(once);
    expect([screen.columns, screen.rows]).toEqual([100, 40]);
    screen.close();
    screen.close();
    screen.draw(['late']);
    const times = (code: string) => written().split(`\u001b${code}`).length - 1;
    expect(written().startsWith('\u001b[?1049h\u001b[?25l')).toBe(true);
    expect(written().endsWith('\u001b[?7h\u001b[?25h\u001b[?1049l')).toBe(true);
    expect(times('[?1049l')).toBe(1);
    // No clearing between frames: that is what flickers.
    expect(times('[2J')).toBe(1);
    expect(process.listenerCount('exit')).toBe(listeners);
  });

  test('closes however the watch ends', async () => {
    for (const end of ['signal', 'bug'] as const) {
      const { stdout, written } = screenOn();
      const over = new AbortController();
      const terminal = createTerminal(stdout, new PassThrough(), {});
      let asked = 0;
      const watched = watchStatus(
        {
          ask: async () => {
            asked += 1;
            if (asked === 2) throw new Error('the socket broke');
            if (asked === 3 && end === 'bug') stdout.emit('resize');
            if (asked === 4) over.abort();
            return statusOf({ life: asleep });
          },
          terminal,
          stdout,
          hasReader: () => true,
          isOnScreen: true,
          asJson: false,
          clock: end === 'signal' ? hastyClock() : { ...hastyClock(), now: () => (asked === 3 ? brokenClock() : now) },
          signal: over.signal,
        },
        statusOf(),
      );
      if (end === 'bug') await expect(watched).rejects.toThrow('no time');
      else await watched;
      expect(written()).toContain('awake → asleep');
      expect(written()).toContain('the socket broke');
      expect(written().endsWith('\u001b[?1049l')).toBe(true);
    }
    function brokenClock(): never {
      throw new Error('no time');
    }
  });
});

describe('a watch without a terminal', () => {
  async function watch(asJson: boolean) {
    let written = '';
    const stdout = new PassThrough();
    stdout.on('data', (chunk) => {
      written += chunk;
    });
    const over = new AbortController();
    const answers = [statusOf(), undefined, undefined, statusOf({ due: 3 })];
    await watchStatus(
      {
        ask: async () => {
          if (answers.length === 1) over.abort();
          return answers.shift();
        },
        terminal: createTerminal(stdout, new PassThrough(), {}),
        stdout,
        hasReader: () => true,
        isOnScreen: false,
        asJson,
        clock: { ...hastyClock(), now: () => now },
        signal: over.signal,
      },
      statusOf(),
    );
    await new Promise(setImmediate);
    return written.trimEnd().split('\n');
  }

  test('is a line for each change', async () => {
    expect(await watch(false)).toEqual([
      '2026-03-04T10:00:00.000Z engramd 0.1.0 is ready, awake: activity',
      '2026-03-04T10:00:00.000Z no daemon answers; engramd run starts one',
      '2026-03-04T10:00:00.000Z the daemon answers again',
      '2026-03-04T10:00:00.000Z 3 memories are due',
    ]);
  });

  test('is a document for each change where a program reads, and an error when the daemon dies', async () => {
    const [first, silence, ...rest] = (await watch(true)).map((line) => JSON.parse(line) as unknown);
    expect(first).toEqual(statusOf());
    expect(silence).toEqual({
      error: { code: 'DAEMON_UNREACHABLE', message: 'no daemon answers; engramd run starts one' },
    });
    expect(rest).toEqual([statusOf({ due: 3 })]);
  });

  test.each(['its reader goes without a word', 'its pipe is closed'])('ends when %s', async (end) => {
    const stdout = new PassThrough();
    let looks = 0;
    const clock = hastyClock(() => {
      looks += 1;
      if (looks === 3 && end === 'its pipe is closed') stdout.destroy();
      if (looks > 10) throw new Error('it goes on for ever');
    });
    await watchStatus(
      {
        ask: async () => statusOf(),
        terminal: createTerminal(stdout, new PassThrough(), {}),
        stdout,
        hasReader: () => looks < 3 || end === 'its pipe is closed',
        isOnScreen: false,
        asJson: true,
        clock: { ...clock, sleep: (ms, signal) => (signal?.aborted ? Promise.resolve() : clock.sleep(ms, signal)) },
        signal: new AbortController().signal,
      },
      statusOf(),
    );
    expect(looks).toBeLessThanOrEqual(4);
    expect(stdout.listenerCount('close')).toBe(0);
  });
});

describe.runIf(process.platform === 'linux')('who reads a pipe', () => {
  test('is seen to go, and whoever was never seen is taken to be there', async () => {
    const folder = createScratchFolder();
    const pipe = join(folder, 'pipe');
    execFileSync('/usr/bin/mkfifo', [pipe]);
    const reader = spawn('head', ['-1', pipe], { stdio: 'ignore' });
    // Waits for the reader, which is another process.
    const fd = openSync(pipe, 'w');
    const hasReader = createPipeReaderWatch(fd);
    expect(hasReader()).toBe(true);
    writeSync(fd, 'one\n');
    await once(reader, 'exit');
    expect(hasReader()).toBe(false);
    // Nobody there from the beginning: another user's cannot be seen.
    expect(createPipeReaderWatch(fd)()).toBe(true);
    closeSync(fd);
    removeScratchFolder(folder);
    expect(createPipeReaderWatch(openSync('/dev/null', 'w'))()).toBe(true);
  });

  test('may change: a shell holds both ends until it has started both programs', async () => {
    const folder = createScratchFolder();
    const pipe = join(folder, 'pipe');
    execFileSync('/usr/bin/mkfifo', [pipe]);
    const early = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const fd = openSync(pipe, 'w');
    const hasReader = createPipeReaderWatch(fd);
    const late = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    closeSync(early);
    expect(hasReader()).toBe(true);
    closeSync(late);
    expect(hasReader()).toBe(false);
    closeSync(fd);
    removeScratchFolder(folder);
  });
});

describe('a night that is waited for', () => {
  const asked = lifeOf({ sleep_forced: true });
  const running = (change = {}) => lifeOf({ state: 'sleep', cycle: cycleOf(change) });
  const over = { finished_at: '2026-03-04T09:59:12.000Z', outcome: 'clean' as const, running: false };

  test('tells each step once as it ends, and the end', () => {
    const night = createNightWatch(lifeOf({ cycle: cycleOf({ ...over, id: 'last night' }) }));
    expect(night.look(lifeOf({ cycle: cycleOf({ ...over, id: 'last night' }) }))).toMatchObject({
      lines: [],
      end: undefined,
    });
    expect(night.look(asked)).toMatchObject({ progress: 'what is under way ends first' });
    const steps = [drained, stepOf('dedup', 'running', { done: 4, total: 10, note: 'bank a' })];
    expect(night.look(running({ steps }))).toEqual({
      lines: ['drain … done, 12 memories (3.1 s)'],
      progress: 'dedup … 4 of 10, bank a',
      end: undefined,
    });
    expect(night.look(running({ steps })).lines).toEqual([]);
    const done = [drained, stepOf('dedup', 'failed', { error: 'no space left' })];
    expect(night.look(running({ ...over, steps: done }))).toMatchObject({
      lines: ['dedup … failed: no space left'],
      end: { kind: 'finished', cycle: { outcome: 'clean' } },
    });
  });

  test('goes on with the cycle that was open, whose steps of before are not told again', () => {
    const open = cycleOf({ running: false, steps: [drained, stepOf('dedup', 'pending', { runs: 1 })] });
    const night = createNightWatch(lifeOf({ cycle: open }));
    const end = night.look(running({ ...over, steps: [drained, stepOf('dedup', 'done')] }));
    expect(end).toMatchObject({ lines: ['dedup … done'], end: { kind: 'finished' } });
  });

  test('does not take a cycle that was given up for its own', () => {
    const night = createNightWatch(lifeOf({ cycle: cycleOf({ running: false }) }));
    expect(night.look(running({ ...over, outcome: 'abandoned' })).end).toBeUndefined();
    expect(night.look(running({ ...over, id: 'two' })).end).toMatchObject({ kind: 'finished' });
  });

  test('ends when somebody wakes the daemon', () => {
    const night = createNightWatch(lifeOf());
    night.look(asked);
    night.look(running());
    expect(night.look(lifeOf({ reason: 'rows_by_sql', cycle: cycleOf({ running: false }) })).end).toEqual({
      kind: 'woken',
      why: 'rows by sql',
    });
  });

  test('ends where there will be no cycle: paused, or never begun', () => {
    const paused = { since: '2026-03-04T09:00:00.000Z', until: null };
    expect(createNightWatch(lifeOf()).look(lifeOf({ state: 'sleep', paused })).end).toMatchObject({ kind: 'no_cycle' });
    for (const [life, why] of [
      [lifeOf({ skipped: 'no_leader' }), 'the daemon stays awake (no leader)'],
      [lifeOf({ state: 'hibernation' }), 'the daemon hibernates without a cycle'],
    ] as const) {
      const night = createNightWatch(lifeOf());
      const ends = Array.from({ length: 50 }, () => night.look(life).end);
      expect(ends.slice(0, 49)).toEqual(Array.from({ length: 49 }, () => undefined));
      expect(ends.at(-1)).toEqual({ kind: 'no_cycle', why });
    }
  });
});
