import { hostname } from 'node:os';
import { v7 as uuidV7 } from 'uuid';
import { createApp } from '../api/app.ts';
import type { AppCondition, AppDeps } from '../api/app-deps.ts';
import { createStatusBoard } from '../api/status-board.ts';
import { createTimelineFollowers, type TimelineFollowers } from '../api/timeline-followers.ts';
import type { BackupsForStatus } from '../backup/backup-view.ts';
import { isLoopback } from '../config/loopback.ts';
import type { Config } from '../config/schema.ts';
import { createConsolidationEngine } from '../consolidation/create-engine.ts';
import type { Decider } from '../consolidation/decider.ts';
import { createCuration } from '../curation/create-curation.ts';
import type { Database } from '../db/database.ts';
import { StoreReplacedError } from '../db/errors.ts';
import { assertNoLease } from '../db/lease.ts';
import { createPendingEmbedder } from '../ingest/embed-pending.ts';
import { createEmbeddingSwitcher } from '../ingest/embedding-switch.ts';
import { createReEmbedder } from '../ingest/re-embed.ts';
import { type Embedder, guardedEmbedder } from '../models/embedder.ts';
import type { WantedModel } from '../models/embeddings/model-id.ts';
import { priceOf, readPrices } from '../models/prices.ts';
import { createWorkQueue } from '../queue/work-queue.ts';
import { createSignificanceEngine } from '../significance/create-engine.ts';
import { keepPinCaps } from '../significance/pin-caps.ts';
import type { Scorer } from '../significance/scorer.ts';
import type { PinnedModel } from '../store/embedding-models.ts';
import { buryInstances, finishInstance, insertInstance } from '../store/instances.ts';
import { releaseLeadershipOfStopped } from '../store/leader.ts';
import type { StartNeighbourWorker } from '../store/neighbours/neighbour-thread.ts';
import { admitToStore } from '../store/store-epoch.ts';
import { chooseVectorIndex } from '../store/vectors/choose-vector-index.ts';
import type { StartWorker } from '../store/vectors/matrix-thread.ts';
import { pruneVectorTombstones } from '../store/vectors/vector-tombstones.ts';
import type { Clock } from '../telemetry/clock.ts';
import { EngramdError, errorMessage } from '../telemetry/engramd-error.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { inertRacepoints, type Racepoints } from '../telemetry/racepoints.ts';
import { createRuntimeProbe } from '../telemetry/runtime-probe.ts';
import type { InheritedSockets } from './control/inherited-sockets.ts';
import { readDaemonFile } from './daemon-file.ts';
import { reasonOfDeath } from './exit-reasons.ts';
import { createHeartbeat } from './heartbeat.ts';
import type { Life } from './life/life.ts';
import { closeHttp } from './listen.ts';
import { openChores } from './open-backups.ts';
import { type OpenedDaemonLife, openDaemonLife } from './open-daemon-life.ts';
import { migrateDatabase, openDatabase } from './open-database.ts';
import { endpointModel, localModel, openEmbedder, wantedModel } from './open-embedder.ts';
import { openErasures } from './open-erasures.ts';
import { openModels } from './open-models.ts';
import { createReleasers, type Releasers } from './releasers.ts';
import { serve } from './serve.ts';
import { pinStore, shareStore } from './share-store.ts';
import { stopBoundsMs } from './stop-bounds.ts';
import { createSwitchLoop, type SwitchLoop } from './switch-loop.ts';
import type { SystemdNotify } from './systemd-notify.ts';
import { version } from './version.ts';
import type { Watchdog } from './watchdog/watchdog.ts';

/** The HTTP surface; only its room knows what it is made of. */
export type App = Awaited<ReturnType<typeof createApp>>;

export interface ComposeOptions {
  readonly config: Config;
  /** `daemon` listens and works; `cli` offers the same routes through `app.inject` for the length of one command. */
  readonly mode: 'daemon' | 'cli';
  /** Whether jobs are worked off in this process. A daemon always does; without, what needs the queue fails. */
  readonly hasWorkers?: boolean;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends a start that is under way; what had been started is stopped again. */
  readonly signal?: AbortSignal;
  /** Something without which the process cannot go on; whoever composed should call `stop`. At most once. */
  readonly onFatal?: (error: EngramdError) => void;
  /** Told once, where hibernation ends the process: nobody is being answered, and whoever composed should call `stop`. */
  readonly onHibernated?: () => void;
  /** Sockets that the supervisor holds for us. */
  readonly inherited?: InheritedSockets;
  /** Tells the supervisor how it goes. */
  readonly notify?: SystemdNotify;
  /** Where heavy work runs instead of threads of its own: benches show what that costs. */
  readonly heavyWork?: { readonly startMatrixWorker: StartWorker; readonly startNeighbourWorker: StartNeighbourWorker };
  readonly metrics?: Metrics;
  readonly racepoints?: Racepoints;
  readonly random?: () => number;
  readonly embedder?: Embedder;
  readonly decider?: Decider;
  readonly scorer?: Scorer;
  /** For an embedded database whose data is thrown away: `{ fsync: 'off' }`. */
  readonly extraServerSettings?: Readonly<Record<string, string>>;
}

export interface Composition {
  readonly instanceId: string;
  readonly app: App;
  readonly db: Database;
  /** Undefined in mode `cli`. */
  readonly url: string | undefined;
  /**
   * Ends everything in order, each step within its bound, and keeps the reason. Every step runs whatever the others
   * did; then the first failure is thrown.
   */
  stop(reason: string): Promise<void>;
}

/**
 * Starts engramd: data directory, instance lock, database, schema, models, instance row, queue and workers, HTTP,
 * `daemon.json`. What fails half-way gives back what it had taken, last first, and throws.
 */
export async function compose(options: ComposeOptions): Promise<Composition> {
  const { log, clock } = options;
  const releasers = createReleasers({ log, clock });
  const ending: Ending = { reason: 'unknown' };
  try {
    return await start(options, releasers, ending);
  } catch (thrown) {
    ending.reason = `the start failed: ${errorMessage(thrown)}`;
    // The reason of the failure is worth more than what went wrong on the way back, which is logged.
    await releasers.releaseAll('debug').catch(() => undefined);
    throw thrown;
  }
}

/** The embedded server ended although nobody had asked it to. */
class EmbeddedDatabaseGoneError extends EngramdError {
  readonly code = 'EMBEDDED_DATABASE_GONE';
  override readonly retryable = true;
}

/** Why the process ends; every exit leaves its reason (L13). */
interface Ending {
  reason: string;
}

async function start(options: ComposeOptions, releasers: Releasers, ending: Ending): Promise<Composition> {
  const { config, mode, log, clock, signal } = options;
  const metrics = options.metrics ?? createMetrics();
  const racepoints = options.racepoints ?? inertRacepoints;
  const random = options.random ?? Math.random;
  const startedAt = clock.now();
  const instanceId = uuidV7();
  let condition: AppCondition = 'starting';
  const probe = createRuntimeProbe({ metrics });

  // Before anything is started: a file that cannot be used is said at once.
  const prices = readPrices(config.pricesFile);
  const { db, embedded, connectionString } = await openDatabase({ ...options, role: mode, metrics, random, releasers });
  const directUrl = config.databaseDirectUrl ?? connectionString;
  const store = await shareStore({ mode, db, connectionString: directUrl, releasers });
  const { applied, version: schema } = await migrateDatabase(db);
  await store.assertOneDatabase();
  if (applied.length > 0) log.info({ applied, schema }, 'migrated the database');
  const epoch = await pinStore(db, (error) => options.onFatal?.(error));
  signal?.throwIfAborted();

  const models = await openModels({
    config,
    prices,
    db,
    role: mode,
    instanceId,
    clock,
    log,
    metrics,
    racepoints,
    random,
    newId: uuidV7,
  });
  const decider = options.decider ?? models.decider;
  const vectors = await chooseVectorIndex({
    db,
    log,
    metrics,
    ...(options.heavyWork && { startWorker: options.heavyWork.startMatrixWorker }),
  });
  const { embedder, configuredModel, open } = await openEmbedder({
    config,
    db,
    clock,
    log,
    inner: options.embedder,
    prepare: (model) => vectors.prepare(model),
    gateOf: models.gateOf,
  });
  releasers.add('models', stopBoundsMs.models, async () => {
    await vectors.release();
    await embedder.release();
  });

  // We hold the lock. An embedded database has nobody else; of a server of its own we know our predecessor at least, whose
  // file only an ordered stop removes.
  const deadId = mode === 'daemon' ? readDaemonFile(config.dataDir)?.instanceId : undefined;
  const deathReason = (deadId && reasonOfDeath(config.dataDir, deadId)) ?? null;
  await buryInstances(db, {
    survivorId: instanceId,
    deadIds: embedded ? 'all' : deadId === undefined ? [] : [deadId],
    ...(deadId && deathReason !== null && { reasons: { [deadId]: deathReason } }),
  });
  await releaseLeadershipOfStopped(db);
  await insertInstance(db, { id: instanceId, role: mode, host: hostname(), pid: process.pid, version });
  releasers.add('instance row', stopBoundsMs.instanceRow, () => finishInstance(db, instanceId, ending.reason));
  signal?.throwIfAborted();
  const { onForgotten, keeper } = await openErasures({
    mode,
    db,
    backupDir: config.backupDir,
    instanceId,
    clock,
    log,
    racepoints,
    newId: uuidV7,
    hint: (bankId) => queue.hint(bankId),
    signal,
  });
  if (keeper) releasers.add('erasures', stopBoundsMs.erasures, () => keeper.stop());

  function checkEmbedded(): void {
    if (!embedded || embedded.isRunning() || condition === 'stopping') return;
    options.onFatal?.(new EmbeddedDatabaseGoneError('the embedded database ended by itself; its server.log tells why'));
  }

  let life: Life | undefined;
  const heartbeat = createHeartbeat({
    db,
    instanceId,
    clock,
    log,
    activity: () => ({
      lastActivityAgeMs: life?.activity.ageMs() ?? null,
      requestsInFlight: life?.activity.inFlight() ?? 0,
    }),
    onBeat: checkEmbedded,
  });
  heartbeat.start();
  releasers.add('heartbeat', stopBoundsMs.heartbeat, () => heartbeat.stop());

  const engine = createConsolidationEngine({
    db,
    vectors,
    embedder,
    decider,
    instanceId,
    concurrency: config.llmConcurrency,
    apply: config.apply,
    log,
    clock,
    metrics,
    racepoints,
    random,
    newId: uuidV7,
  });
  const { embedPending } = createPendingEmbedder({ db, embedder, racepoints, metrics, log });
  const openGuarded = (model: WantedModel) => guardedEmbedder(open(model), assertNoLease);
  let switchLoop: SwitchLoop | undefined;
  if (mode === 'daemon' || options.hasWorkers === true) {
    const prepare = (model: PinnedModel) => vectors.prepare(model);
    const dispose = (model: PinnedModel) => vectors.drop(model);
    const reEmbedder = createReEmbedder({
      db,
      open: openGuarded,
      prepare,
      dispose,
      instanceId,
      racepoints,
      metrics,
      log,
    });
    switchLoop = createSwitchLoop({ reEmbedder, embedder, clock, log });
    switchLoop.start();
    releasers.add('switch of embeddings', stopBoundsMs.switchLoop, () => switchLoop?.stop() ?? Promise.resolve());
  }
  const pins = { db, pinCap: config.pinCap, instanceId, metrics, racepoints };
  const significance = createSignificanceEngine({ ...pins, scorer: options.scorer ?? models.scorer, log, random });
  const queue = createWorkQueue({
    db,
    engine,
    decider,
    significance,
    tellsOthers: mode === 'cli',
    embedPending,
    clock,
    log,
    metrics,
    racepoints,
    instanceId,
    maintenance: [
      { name: 'vector tombstones', run: pruneVectorTombstones },
      ...(keeper ? [{ name: 'erasures', run: () => keeper.catchUp() }] : []),
    ],
    onSchemaNewer: (error) => options.onFatal?.(error),
  });
  if (mode === 'daemon' || options.hasWorkers === true) {
    releasers.add('queue', stopBoundsMs.queue, () => queue.stop());
    // A daemon's life says when jobs are handed out; a command has nothing else to do.
    await queue.start({ handsOut: mode === 'cli' });
    signal?.throwIfAborted();
  }

  const curation = createCuration({
    db,
    embedder,
    decider,
    instanceId,
    clock,
    racepoints,
    newId: uuidV7,
    hint: (bankId) => queue.hint(bankId),
    onForgotten,
  });

  let watchdog: Watchdog | undefined;
  let opened: OpenedDaemonLife | undefined;
  let backups: BackupsForStatus | undefined;
  let followers: TimelineFollowers | undefined;
  if (mode === 'daemon' && switchLoop && keeper) {
    followers = createTimelineFollowers({ db, clock, log });
    const resources = { config, db, connectionString: directUrl, instanceId, clock, log, metrics, racepoints };
    const due = openChores({ ...resources, newId: uuidV7 });
    backups = due.backups;
    opened = await openDaemonLife({
      config,
      db,
      queue,
      engine,
      vectors,
      embedder,
      heartbeat,
      switchLoop,
      erasures: keeper,
      followers,
      keepPinCaps: (signal) => keepPinCaps(pins, signal),
      probe,
      refreshStatus: () => status.fresh(),
      watchdog: () => watchdog,
      inherited: options.inherited,
      instanceId,
      chores: due.chores,
      connectionString: directUrl,
      admit: (session) => admitToStore(session, epoch),
      startNeighbourWorker: options.heavyWork?.startNeighbourWorker,
      onExit: () => options.onHibernated?.(),
      onParkedMinute: checkEmbedded,
      onFatal: (error) => options.onFatal?.(error),
      onStatus: (text) => options.notify?.status(text),
      releasers,
      clock,
      log,
      metrics,
      racepoints,
      random,
      newId: uuidV7,
    });
    life = opened.life;
    void opened.listener.ready.then(() => store.handOver()).catch(() => undefined);
  }

  const appDeps: AppDeps = {
    db,
    vectors,
    embedder,
    decider,
    significance,
    engine,
    queue: opened?.requestQueue ?? queue,
    curation,
    embeddings: {
      ...createEmbeddingSwitcher({
        db,
        open: openGuarded,
        priceOf: (model) => priceOf(prices, model),
        onStart: () => switchLoop?.nudge(),
      }),
      open: openGuarded,
      wanted: ({ model, isLocal }) =>
        isLocal ? localModel : model === undefined ? wantedModel(config) : endpointModel(config, model),
    },
    settings: {
      httpHost: config.httpHost,
      allowedHosts: isLoopback(config.httpHost) ? config.allowedHosts : [hostname(), ...config.allowedHosts],
      apiToken: mode === 'cli' ? undefined : config.apiToken,
      metricsToken: config.metricsToken,
      decider: decider.name,
      chatModels: models.chats.map(({ endpoint, model }) => ({ endpoint, model })),
      budgetLimits: models.limits,
      pinCap: config.pinCap,
      backupKeep: config.backupKeep,
      snapshotKeep: config.snapshotKeep,
      get configuredModel() {
        return configuredModel();
      },
    },
    instance: { id: instanceId, version, startedAt },
    condition: () => condition,
    ...(opened && { life: opened.forStatus, activity: opened.life.activity }),
    ...(backups && { backups }),
    ...(followers && { followers }),
    beforeScrape() {
      probe.collect();
      watchdog?.collect();
    },
    clock,
    log,
    metrics,
    racepoints,
    newId: uuidV7,
  };
  const status = createStatusBoard(appDeps);
  const app = await createApp({ ...appDeps, status });
  releasers.add('http', stopBoundsMs.http, () => closeHttp(app, clock));

  let url: string | undefined;
  if (opened) {
    ({ url, watchdog } = await serve({
      ...options,
      app,
      appDeps: { ...appDeps, status },
      status,
      life: opened.life,
      releasers,
      // Before the file: whoever reads it may ask for anything.
      onListening: () => {
        condition = 'ready';
      },
      metrics,
    }));
  }
  condition = 'ready';
  log.info({ url, instanceId, version, vectors: vectors.kind, decider: config.decider }, 'ready');

  return {
    instanceId,
    app,
    db,
    url,
    stop(reason) {
      if (condition !== 'stopping') ending.reason = reason;
      condition = 'stopping';
      // What it would have written last was about a store that is there no more.
      return releasers.releaseAll().catch((thrown: unknown) => {
        if (!(thrown instanceof StoreReplacedError)) throw thrown;
      });
    },
  };
}
