import { type Debugger, Session } from 'node:inspector';

const maxFrames = 30;
const maxFrameChars = 200;

/**
 * Where the main thread is, innermost frame first, by stopping it in the debugger: that works in a busy loop, in a regular
 * expression and in `Atomics.wait`. Null where it cannot be had in time: it is in native code, or runs nothing at all.
 * No port is opened.
 */
export async function stackOfMainThread(timeoutMs: number): Promise<readonly string[] | null> {
  const session = new Session();
  const paused = Promise.withResolvers<Debugger.PausedEventDataType | null>();
  const timer = setTimeout(() => paused.resolve(null), timeoutMs);
  const urls = new Map<string, string>();
  session.on('Debugger.scriptParsed', ({ params }) => urls.set(params.scriptId, params.url));
  session.on('Debugger.paused', ({ params }) => paused.resolve(params));
  try {
    session.connectToMainThread();
    session.post('Debugger.enable');
    session.post('Debugger.pause');
    const stop = await paused.promise;
    if (!stop) return null;
    return stop.callFrames.slice(0, maxFrames).map(({ functionName, location }) => {
      const where = `${urls.get(location.scriptId) ?? 'native'}:${location.lineNumber + 1}`;
      return `${functionName || '(anonymous)'} ${where}`.slice(0, maxFrameChars);
    });
  } catch {
    // Somebody is debugging this process, or it was built without an inspector.
    return null;
  } finally {
    clearTimeout(timer);
    // Lets it run on.
    session.disconnect();
  }
}

/**
 * Has the main thread exit, whatever it is doing but for native code. For the first process of a container that has no
 * init: the kernel spares it from its own SIGKILL.
 */
export function exitMainThread(exitCode: number): void {
  const session = new Session();
  session.connectToMainThread();
  session.post('Runtime.evaluate', { expression: `process.reallyExit(${exitCode})` });
  // It waits for us to be gone. By then it has heard.
  setTimeout(() => session.disconnect(), 1000);
}
