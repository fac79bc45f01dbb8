// Package queue brings tickets from the records to the workers. It is the only
// package that knows asynq: the ready queues, their pausing and their counts are
// kept in asynq's keys and values, so its command line and its Inspector see
// and steer them; attempts, delays, results and leases are the record's
// (internal/jobstore), so nothing that loses or repeats a ticket can lose or
// repeat a job. asynq's server and its producer are not used: the record's scripts write tickets, and
// a dispatch loop a lane takes them (serve.go). That asynq's tools understand them Probe makes sure of.
//
// Six lists: a lane (io, cpu) times a priority (high, default, low). In Redis
// they are asynq's: "asynq:{P-io-high}:pending" and so on, P being the
// installation's prefix; on a Cluster there is each of them in each partition k,
// "asynq:{k}P-io-high}:pending". A ticket is an asynq task without payload; jobstore/ticket.go has its form.
//
// A queue that isn't the default one has as many more, which come and go:
// "asynq:{P-io-high:mailers}:pending"; named.go tells how a process knows of them, docs/queues.md what they
// are good for.
//
// A worker takes only what it serves. A ticket of another type it puts aside,
// once, into the list "asynq:{queue}:pending:type:<type>", and set
// "asynq:{queue}:parked" says which such lists there are. Whoever serves
// the type takes from there too. To asynq's tools such a ticket is in no list of theirs;
// pausing the queue holds it as well.
//
// An idle worker is woken by a message on the channel P:ring; see picker.go.
package queue
