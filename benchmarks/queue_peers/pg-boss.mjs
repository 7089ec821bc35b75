// pg-boss: fetch and complete in batches of 500, four loops. Version 10 has no notification: its worker looks twice a second.
import { Handled, Started, dsn, need, rest, serve, timed } from './serve.mjs'

const PgBoss = need('pg-boss')
const { Pool } = need('pg')
const pool = new Pool({ connectionString: dsn, max: 2 })
const boss = new PgBoss({ connectionString: dsn, max: 8, supervise: false, schedule: false })
const handled = new Handled()

await serve({
  async setup() {
    boss.on('error', (error) => { throw error })
    await boss.start()
    await boss.createQueue('noop')
  },

  async enqueue(jobs) {
    const rows = Array.from({ length: jobs }, (_, n) => ({ name: 'noop', data: { n } }))
    return timed(() => boss.insert(rows))
  },

  async drain(jobs) {
    await pool.query('vacuum analyze pgboss.job')
    handled.reset(jobs)
    const loop = async () => {
      for (;;) {
        const batch = await boss.fetch('noop', { batchSize: 500 })
        if (batch.length === 0) return
        for (const job of batch) handled.one(job.data.n)
        await boss.complete('noop', batch.map((job) => job.id))
      }
    }
    const loops = [loop(), loop(), loop(), loop()]
    const took = await handled.recorded(async () =>
      Number((await pool.query("select count(*) from pgboss.job where state <> 'completed'")).rows[0].count))
    await Promise.all(loops)
    return took
  },

  async pickup(jobs) {
    const started = new Started()
    const worker = await boss.work('noop', { pollingIntervalSeconds: 0.5 }, async () => started.now())
    const insert = (n) => boss.send('noop', { n })
    await rest(1)
    await started.latencies(3, insert)
    const latencies = await started.latencies(jobs, insert)
    await boss.offWork({ id: worker })
    return { latencies }
  },
})
