// Graphile Worker: 10 jobs at once from a local queue of 1000, ends written together. Jobs carry their number.
import { Handled, Started, dsn, need, rest, serve, timed } from './serve.mjs'

const { Logger, makeWorkerUtils, run } = need('graphile-worker')
const { Pool } = need('pg')
const quiet = new Logger(() => () => {})
const pool = new Pool({ connectionString: dsn, max: 20 })
const handled = new Handled()
let utils
let call

const working = (worker) => run({
  pgPool: pool,
  logger: quiet,
  noHandleSignals: true,
  taskList: { noop: async ({ n }) => { call(n) } },
  preset: { worker },
})

await serve({
  async setup() {
    utils = await makeWorkerUtils({ pgPool: pool, logger: quiet })
    await utils.migrate()
  },

  async enqueue(jobs) {
    const specs = Array.from({ length: jobs }, (_, n) => ({ identifier: 'noop', payload: { n } }))
    return timed(() => utils.addJobs(specs))
  },

  async drain(jobs, how) {
    await pool.query('vacuum analyze graphile_worker._private_jobs')
    handled.reset(jobs)
    call = (n) => handled.one(n)
    const batching = { localQueue: { size: 1000 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
    const runner = await working({ concurrentJobs: 10, ...(how === 'no batching' ? {} : batching) })
    const took = await handled.recorded(async () =>
      Number((await pool.query('select count(*) from graphile_worker._private_jobs')).rows[0].count))
    await runner.stop()
    return took
  },

  async pickup(jobs) {
    const started = new Started()
    call = () => started.now()
    const runner = await working({ concurrentJobs: 10 })
    const insert = (n) => utils.addJob('noop', { n })
    await rest(1)
    await started.latencies(3, insert)
    const latencies = await started.latencies(jobs, insert)
    await runner.stop()
    return { latencies }
  },
})
