/** How long each step of a stop may take. They follow one another, so their sum is the deadline of the whole. */
export const stopBoundsMs = {
  watchdog: 500,
  daemonFile: 300,
  control: 600,
  http: 2700,
  life: 3000,
  listener: 500,
  builds: 200,
  queue: 7500,
  switchLoop: 500,
  heartbeat: 500,
  erasures: 200,
  instanceRow: 1000,
  models: 1000,
  pool: 1000,
  embeddedDatabase: 5000,
  lock: 500,
} as const;

/** 25 s: within the 30 s that Kubernetes gives by default, with time to notice. Few steps ever need a tenth of their bound. */
export const stopDeadlineMs = Object.values(stopBoundsMs).reduce((sum, boundMs) => sum + boundMs, 0);
