/** How long each step of a stop may take. They follow one another, so their sum is the deadline of the whole. */
export const stopBoundsMs = {
  daemonFile: 500,
  http: 3000,
  queue: 9000,
  switchLoop: 500,
  heartbeat: 500,
  instanceRow: 1500,
  models: 1000,
  pool: 1500,
  embeddedDatabase: 7000,
  lock: 500,
} as const;

/** 25 s: within the 30 s that Kubernetes gives by default, with time to notice. */
export const stopDeadlineMs = Object.values(stopBoundsMs).reduce((sum, boundMs) => sum + boundMs, 0);
