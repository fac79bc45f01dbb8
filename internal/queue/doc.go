// Package queue brings tickets from the door to the workers. It is the only
// package that knows asynq: asynq keeps the ready queues, their pausing and
// its tools; attempts, delays, results and leases are the record's
// (internal/jobstore), so nothing of asynq that loses or repeats a ticket can
// lose or repeat a job.
//
// Six queues: a lane (io, cpu) times a priority (high, default, low). In Redis
// they are asynq's: "asynq:{P-io-high}:pending" and so on, P being the
// installation's prefix. A ticket is an asynq task without payload whose id is
// "<job>.<delivery>" and whose type is the job's.
//
// An idle worker is woken by a ring on the channel P:ring; see gate.go.
package queue
