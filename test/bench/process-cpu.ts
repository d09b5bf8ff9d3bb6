import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts CPU in ticks of 10 ms, on every machine that Node runs on. */
const ticksPerSecond = 100;

interface Times {
  readonly parent: number;
  /** With children that ended. */
  readonly seconds: number;
  readonly ownSeconds: number;
}

function timesOf(pid: string): Times | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command stands in parentheses and may hold anything; fields are counted from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime, stime, and those of children that ended: cutime, cstime.
    const seconds = (to: number) =>
      fields.slice(11, to).reduce((sum, field) => sum + Number(field), 0) / ticksPerSecond;
    return { parent: Number(fields[1]), seconds: seconds(15), ownSeconds: seconds(13) };
  } catch {
    return null;
  }
}

/** CPU seconds of a process with all its threads, and of nothing that it started. */
export function cpuOfProcess(pid: number): number {
  const times = timesOf(String(pid));
  if (!times) throw new Error(`/proc tells nothing of process ${pid}`);
  return times.ownSeconds;
}

/** CPU seconds of a process, its living descendants and those that ended; undefined where /proc is not there. */
export function cpuOfTree(root: number): number | undefined {
  let pids: string[];
  try {
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  const all = new Map(
    pids.flatMap((pid): [number, Times][] => {
      const times = timesOf(pid);
      return times ? [[Number(pid), times]] : [];
    }),
  );
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = all.get(at)?.parent)
      if (at === root) return true;
    return pid === root;
  };
  return [...all].filter(([pid]) => isBelow(pid)).reduce((sum, [, times]) => sum + times.seconds, 0);
}
