// Package queue brings tickets from the submitter to the workers. It is the only
// package that knows asynq: the ready queues, their pausing and their counts are
// kept in asynq's keys and values, so its command line and its Inspector see
// and steer them; attempts, delays, results and leases are the record's
// (internal/jobstore), so nothing that loses or repeats a ticket can lose or
// repeat a job. asynq's producer writes the tickets. asynq's server is not used:
// a dispatch loop a lane takes them (serve.go).
//
// Six queues: a lane (io, cpu) times a priority (high, default, low). In Redis
// they are asynq's: "asynq:{P-io-high}:pending" and so on, P being the
// installation's prefix. A ticket is an asynq task without payload whose id is
// the job's without dashes, a dot and the delivery; all have one short type.
//
// A worker takes only what it serves. A ticket of another type it puts aside,
// once, into the list "asynq:{queue}:pending:type:<type>", and set
// "asynq:{queue}:parked" says which such lists there are (parked.lua). Whoever serves
// the type takes from there too. To asynq's tools a parked ticket is a task in a
// state they don't know, and in no list of theirs; pausing the queue holds it as well.
// Workers of an older release ignore such lists: while one is about, P:legacy says
// so, nothing is parked and what nobody else serves comes back (Mind).
//
// On a single Redis tickets move in the scripts of their records (lua.go,
// tickets_*.lua), on a Cluster in calls of their own (apart.go).
//
// An idle worker is woken by a ring on the channel P:ring; see gate.go.
package queue
