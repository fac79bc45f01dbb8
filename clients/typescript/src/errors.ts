import type { Job, Problem } from './types.js'

/** The server refused a request; `code` is stable. */
export class Refused extends Error {
  override name = 'Refused'
  readonly code: string
  readonly status: number
  constructor(readonly problem: Problem) {
    const places = problem.errors?.map((e) => `${e.pointer}: ${e.detail}`).join('; ')
    super(places || problem.detail || problem.title || problem.code)
    this.code = problem.code
    this.status = problem.status
  }
}

/** result() of a job that has ended without success. */
export class JobFailed extends Error {
  override name = 'JobFailed'
  readonly code: string
  constructor(readonly job: Job) {
    super(job.error?.message ?? `the job is ${job.state}`)
    this.code = job.error?.code ?? job.state
  }
}
