// Options in groups, as a host gives them. Defaults and ranges are in schemas.ts; a test holds the two together. docs/reference/options.md
// is generated from both: the text of a field there is its docstring here.
import type { RegisterOptions } from 'fastify'

/** How long finished tasks are kept. Unfinished tasks never expire. Stored with each task when it is created. */
export interface RetentionOptions {
  /**
   * Seconds that a finished task and its chart are kept, from the end of the task.
   * @default 86400
   */
  task?: number | undefined
  /**
   * Seconds that the `step_progress` of a finished task is kept. At most `task`; if you set `task` alone, the smaller of `task` and this default.
   * @default 3600
   */
  status?: number | undefined
  /**
   * Seconds that the index of a message is kept after its last task has ended. At least `task`; if you set `task` alone, the larger of `task` and
   * this default.
   * @default 86400
   */
  messageIndex?: number | undefined
}

/** The wait between two attempts. */
export interface BackoffOptions {
  /**
   * `exponential`: the wait doubles with every attempt; `fixed`: it stays `delay`.
   * @default 'exponential'
   */
  type?: 'fixed' | 'exponential' | undefined
  /**
   * ms between the first attempt and the second.
   * @default 1000
   */
  delay?: number | undefined
  /**
   * Longest wait between two attempts, in ms.
   * @default 60000
   */
  max?: number | undefined
  /**
   * Share of the wait that is taken away at random, 0 to 1, so that tasks that failed together do not return together. With 0.5, a wait of 1,000 ms
   * lasts 500 to 1,000 ms.
   * @default 0.5
   */
  jitter?: number | undefined
}

/** How often a chart is attempted. Stored with each task when it is created. */
export interface RetryOptions {
  /**
   * Attempts in total, the first one included. Without attempts left, the task fails.
   * @default 3
   */
  attempts?: number | undefined
  /** The wait between two attempts. */
  backoff?: BackoffOptions | undefined
}

/** Limits of one tenant, one request and one chart. The tenant is `org_id`, or `user_id` if there is none. */
export interface LimitsOptions {
  /**
   * Tasks of one tenant that may wait in the queue, at the cap `runningPerTenant`, or for another attempt. Beyond it POST answers 429. 0: no limit.
   * @default 1000
   */
  waitingPerTenant?: number | undefined
  /**
   * Tasks of one tenant that may run at a time, in all workers together. A further task is accepted and waits: it stays PENDING with the
   * step `queued`, and counts towards `waitingPerTenant`. Give every process the same value. 0: no limit.
   * @default 0
   */
  runningPerTenant?: number | undefined
  /**
   * Tasks of one tenant that may wait for their `run_at` or for other tasks. Beyond it POST answers 429. 0: no limit.
   * @default 1000
   */
  scheduledPerTenant?: number | undefined
  /**
   * Tasks of all tenants that may wait in the queue, able to run now. Beyond it POST answers 503. 0: no limit.
   * @default 10000
   */
  queueLength?: number | undefined
  /**
   * ms that a task may wait for its first attempt, from when it could run: accepted, its `run_at` reached, its dependencies completed. After that
   * it fails with `CHARTS_ERR_QUEUE_TIMEOUT`. 0: no limit.
   * @default 0
   */
  queueTimeout?: number | undefined
  /** @deprecated Renamed to `queueTimeout`. Accepted until the next minor version, with the warning `CHARTS_DEP001`. */
  timeInQueue?: number | undefined
  /**
   * Bytes of the body of a POST, and of the request as it is stored. A larger one is refused with 413. 0: no limit.
   * @default 65536
   */
  requestBytes?: number | undefined
  /**
   * Bytes of a chart as JSON. A larger one fails its task with `CHARTS_ERR_CHART_TOO_LARGE`. 0: no limit.
   * @default 1048576
   */
  chartBytes?: number | undefined
  /**
   * Bytes of all that the steps of one task return, as JSON. More fails the task with `CHARTS_ERR_CHECKPOINT_TOO_LARGE`. 0: no limit.
   * @default 1048576
   */
  checkpointBytes?: number | undefined
}

/** A worker: how much it runs at a time, and for how long. */
export interface WorkerOptions {
  /**
   * Charts that this worker generates at a time.
   * @default 2
   */
  concurrency?: number | undefined
  /**
   * ms that a lease lasts unless it is extended. A worker extends its leases three times within it. The tasks of a dead worker are given to
   * another worker after that time, at the latest a second later, if one has a free slot.
   * @default 10000
   */
  leaseDuration?: number | undefined
  /**
   * ms that one attempt may take. After that its signal is aborted with `TIMEOUT`, and the task gets another attempt, or fails if none is left.
   * @default 600000
   */
  attemptTimeout?: number | undefined
  /**
   * ms that running charts get to finish when the worker stops. After that they are aborted and released, which uses up no attempt. Keep it
   * below the time that your orchestrator waits before it kills the process.
   * @default 25000
   */
  shutdownTimeout?: number | undefined
  /**
   * MiB of heap of a generator's thread, where `generate` is a URL. A thread that needs more is ended, and its task fails with
   * `CHARTS_ERR_OUT_OF_MEMORY`. 0: no limit.
   * @default 0
   */
  threadMemory?: number | undefined
  /**
   * File in which generator threads start. Set it only if you bundle. Without it: `thread-main.js` of this package, or the one beside the bundle
   * that this package is part of.
   */
  threadEntry?: URL | undefined
}

/** Live updates: SSE and WebSocket. */
export interface StreamOptions {
  /**
   * ms between two comments (SSE) or pings (WebSocket). A reader that takes nothing for two of them is disconnected.
   * @default 15000
   */
  heartbeat?: number | undefined
  /**
   * ms between two reads of watched tasks while pub/sub is down.
   * @default 2000
   */
  pollInterval?: number | undefined
  /** @deprecated Renamed to `pollInterval`. Accepted until the next minor version, with the warning `CHARTS_DEP002`. */
  poll?: number | undefined
  /**
   * Streams of one user in one process: SSE, WebSocket, and requests held by `Prefer: wait`. One more stream is refused for now, and its client
   * comes back later; one more request is answered immediately. 0: no limit.
   * @default 20
   */
  maxPerUser?: number | undefined
  /**
   * ms after which a stream is ended, so that a client that reconnects is identified again.
   * @default 900000
   */
  maxDuration?: number | undefined
  /**
   * Origins whose pages may open a WebSocket, and send a POST without a CORS preflight: `'same-origin'`, `'*'` or a list. The origins of a list
   * are compared letter for letter, so write each as browsers send it: scheme and host in lower case, the port unless it is the default, no
   * slash at the end.
   * @default 'same-origin'
   */
  allowedOrigins?: 'same-origin' | '*' | string[] | undefined
}

/** What Fastify takes of every plugin. They are left out rather than undefined, as Fastify declares them. */
export interface RouteLogOptions {
  /** Level of the log lines of the routes. Without it: that of the host. */
  logLevel?: NonNullable<RegisterOptions['logLevel']>
  /** Serializers of the log lines of the routes. */
  logSerializers?: NonNullable<RegisterOptions['logSerializers']>
}
