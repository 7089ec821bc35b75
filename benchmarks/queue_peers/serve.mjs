// serve.py for the drivers in JavaScript: the same orders, the same answers.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

/** Packages are not beside these files but in the folder given as second argument. */
export const need = createRequire(`${process.argv[3]}/`)
export const dsn = process.argv[2]
export const rest = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000))
const now = () => performance.now() / 1000

export class Handled {
  reset(jobs) {
    this.jobs = jobs
    this.seen = new Set()
    this.calls = 0
    this.all = new Promise((done) => { this.done = done })
  }

  one(job) {
    this.last = now()
    if (this.calls++ === 0) this.first = this.last
    this.seen.add(job)
    if (this.seen.size === this.jobs) this.done()
  }

  async recorded(left) {
    await this.all
    while (await left()) await rest(0.002)
    const ended = now()
    if (this.calls !== this.jobs) throw new Error(`${this.calls} calls of the handler for ${this.jobs} jobs`)
    return { seconds: this.last - this.first, recorded: ended - this.first }
  }
}

export class Started {
  #waiting = null
  now() { this.#waiting(now()) }

  async latencies(jobs, insert) {
    const found = []
    for (let number = 0; number < jobs; number++) {
      await rest(0.25 + Math.random() * 0.2)
      const at = new Promise((done) => { this.#waiting = done })
      const began = now()
      await insert(number)
      found.push(await at - began)
    }
    return found
  }
}

export async function timed(call) {
  const began = now()
  await call()
  return { seconds: now() - began }
}

export async function serve(tool) {
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line)
    const answer = await tool[order.do](order.jobs, order.how)
    process.stdout.write(`${JSON.stringify(answer ?? {})}\n`)
  }
  process.exit(0)
}
