// What the server says, as /openapi.json describes it.

import type { AttemptError, Error as JobError, Output, Progress, Snapshot, SubmitBody } from './schema.js'

export type { AttemptError, JobError, Output, Progress }
export type State = Snapshot['state']
export type Priority = Snapshot['priority']
export type Lane = Snapshot['lane']

/** A job as it is at one revision. */
export interface Job<Result = unknown> extends Omit<Snapshot, 'result'> {
  result?: Result
  /** In lists: who runs it, or ran it last. */
  worker?: string
}

/** What a submission may say beside its type. Durations are "25s" or "2h", or numbers of seconds. */
export type Controls = Omit<SubmitBody, 'type' | 'payload' | 'input'>

export interface Submission extends Controls {
  type: string
  payload?: unknown
  /** An output of a job that has succeeded, as the input. */
  input?: { job: string; output?: string }
  /** Drawn by the client if left out, once for all repeats. */
  idempotencyKey?: string
}

/** What a job that waits is to have otherwise; of one that has ended only retention can be. Durations are texts. */
export interface JobChange {
  /** One that is over: at once. */
  run_at?: string
  priority?: Priority
  queue?: string
  /** All of them: an empty object takes them away. */
  labels?: Record<string, string>
  expires_at?: string
  /** From now; "0s": it never expires. */
  expires_in?: string
  timeout?: string
  max_attempts?: number
  retention?: string
}

/** A line of submitMany: what became of the submission with this index. */
export type Submitted = { index: number; id: string; created: boolean } | { index: number; error: Problem }

/** A refusal, RFC 9457. */
export interface Problem {
  code: string
  status: number
  title?: string
  detail?: string
  errors?: { pointer: string; detail: string }[]
  [more: string]: unknown
}

export interface Filter {
  state?: State
  type?: string
  code?: string
  group?: string
  worker?: string
  label?: string
  retried?: 'any' | 'only'
  since?: string
  until?: string
  created_since?: string
  id_prefix?: string
}

export interface Page<Item> { items: Item[]; next?: string; scanned: number; complete: boolean }

export interface LogLine { n: number; attempt: number; at: string; level: string; msg: string; dropped?: number }
