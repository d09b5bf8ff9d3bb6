import { hostname } from 'node:os';
import type { ApiQueue } from '../api/app-deps.ts';
import type { TimelineFollowers } from '../api/timeline-followers.ts';
import type { ConsolidationEngine } from '../consolidation/engine.ts';
import type { Database } from '../db/database.ts';
import type { Embedder } from '../models/embedder.ts';
import type { WorkQueue } from '../queue/work-queue.ts';
import { lastExitOn, parkInstance, unparkInstance } from '../store/instances.ts';
import type { VectorIndex } from '../store/vectors/vector-index.ts';
import type { RuntimeProbe } from '../telemetry/runtime-probe.ts';
import type { InheritedSockets } from './control/inherited-sockets.ts';
import type { ErasureKeeper } from './erasure-keeper.ts';
import type { Heartbeat } from './heartbeat.ts';
import { hibernationMode } from './life/hibernation-mode.ts';
import { type OpenedLife, type OpenLifeOptions, openLife } from './life/open-life.ts';
import type { ParkedPart } from './life/parking.ts';
import { openSleep, type SleepDeps } from './open-sleep.ts';
import type { Releasers } from './releasers.ts';
import { createRequestsFirst, type RequestsFirst } from './requests-first.ts';
import { readServiceMarker } from './service-marker.ts';
import { stopBoundsMs } from './stop-bounds.ts';
import type { SwitchLoop } from './switch-loop.ts';
import type { Watchdog } from './watchdog/watchdog.ts';

/** What a daemon has that a command has not. */
export interface DaemonResources {
  readonly db: Database;
  readonly queue: WorkQueue;
  readonly engine: ConsolidationEngine;
  readonly vectors: VectorIndex;
  readonly embedder: Embedder;
  readonly heartbeat: Heartbeat;
  readonly switchLoop: SwitchLoop;
  readonly erasures: ErasureKeeper;
  readonly followers: TimelineFollowers;
  readonly probe: RuntimeProbe;
  /** Reads the store for status once more. */
  readonly refreshStatus: () => Promise<unknown>;
  /** Undefined until the daemon serves. */
  readonly watchdog: () => Watchdog | undefined;
  readonly inherited: InheritedSockets | undefined;
}

type Options = DaemonResources &
  Pick<
    OpenLifeOptions,
    | 'config'
    | 'chores'
    | 'instanceId'
    | 'connectionString'
    | 'admit'
    | 'onExit'
    | 'onParkedMinute'
    | 'onFatal'
    | 'onStatus'
    | 'random'
    | 'clock'
    | 'log'
    | 'metrics'
    | 'racepoints'
  > &
  Pick<SleepDeps, 'keepPinCaps' | 'startNeighbourWorker' | 'newId'> & { readonly releasers: Releasers };

export interface OpenedDaemonLife extends OpenedLife {
  /** The queue as requests see it. */
  readonly requestQueue: ApiQueue;
}

/** Puts the daemon's life together: its sleep cycle, what it lets go of to park, and how deep it may hibernate. */
export async function openDaemonLife(options: Options): Promise<OpenedDaemonLife> {
  const { config, db, queue, switchLoop, probe, watchdog, releasers, log } = options;
  const { kind, warning } = hibernationMode({
    hibernate: config.hibernate,
    pid: process.pid,
    marker: readServiceMarker(config.dataDir),
    inherited: options.inherited,
  });
  if (warning !== null) log.warn(warning);
  const sleep = openSleep(options);
  releasers.add('builds', stopBoundsMs.builds, () => sleep.stop());
  const first: RequestsFirst = createRequestsFirst({
    queue,
    inFlight: () => opened.life.activity.inFlight(),
    whenUp: () => opened.life.whenUp(),
    clock: options.clock,
  });
  const opened: OpenedLife = await openLife({
    ...options,
    queue: {
      openHandOut: () => queue.openHandOut(),
      hint: (bankId) => queue.hint(bankId),
      async workable() {
        const counts = await queue.workable();
        // A change of the embedding model is no job, and no less under way. It goes on where it was: a force need not wait.
        const holds = switchLoop.isBusy() && !opened.life.view().isSleepForced;
        return holds ? { ...counts, jobsActive: counts.jobsActive + 1 } : counts;
      },
    },
    cycle: sleep.cycle,
    parts: (leadership) => partsOf(options, { leadership, stopBuilds: sleep.stop, requestsFirst: first.wait }),
    mode: kind,
    onHeard: (channel, payload) => options.erasures.heard(channel, payload),
    onMissed: () => options.erasures.missed(),
    onTick: (nextMs) => watchdog()?.ticked(nextMs),
    needsOperator: () => watchdog()?.view().needsOperator ?? null,
    lastExit: await lastExitOn(db, hostname()),
  });
  releasers.add('listener', stopBoundsMs.listener, () => opened.listener.stop());
  releasers.add('life', stopBoundsMs.life, () => opened.life.stop());
  probe.enable();
  return { ...opened, requestQueue: first.queue };
}

/** In the order in which they go: what asks the database before what it is asked through. */
function partsOf(
  resources: DaemonResources & { readonly instanceId: string },
  own: {
    readonly leadership: ParkedPart;
    readonly stopBuilds: () => Promise<void>;
    readonly requestsFirst: () => Promise<void>;
  },
): ParkedPart[] {
  const { db, queue, vectors, embedder, heartbeat, switchLoop, followers, probe, watchdog, instanceId } = resources;
  return [
    // The last word of status is not that of half a minute ago.
    { name: 'status', release: async () => void (await resources.refreshStatus()) },
    {
      name: 'switch of embeddings',
      release: () => switchLoop.stop(),
      restore: async () => switchLoop.start(),
    },
    { name: 'followers of timelines', release: () => followers.rest(), restore: async () => followers.resume() },
    resources.erasures.part,
    { name: 'queue', release: () => queue.stop(), restore: () => queue.start({ handsOut: false }) },
    // On the way back all that tells others of this process comes before the queue: it may wait for long, and a row that is
    // parked holds no job.
    own.leadership,
    { name: 'heartbeat', release: () => heartbeat.stop(), restore: async () => heartbeat.start() },
    {
      name: 'instance row',
      release: () => parkInstance(db, instanceId),
      restore: () => unparkInstance(db, instanceId),
    },
    { name: 'requests first', release: async () => undefined, restore: own.requestsFirst },
    { name: 'builds', release: own.stopBuilds },
    { name: 'vectors', release: () => vectors.release(), restore: async () => vectors.warm?.() },
    { name: 'embedder', release: () => embedder.release() },
    { name: 'event-loop probe', release: async () => probe.disable(), restore: async () => probe.enable() },
    {
      name: 'watchdog',
      release: async () => watchdog()?.setPace('parked'),
      restore: async () => watchdog()?.setPace('awake'),
    },
    { name: 'connection pool', release: () => db.rest(), restore: async () => db.rouse() },
  ];
}
