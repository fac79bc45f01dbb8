// Package worker takes tickets, runs jobs and records how they ended.
//
// One job goes this way: take a ticket, start (the record accepts the fence or
// the ticket is stale), decode, run the handler while the lease is kept, then
// finish, repeated until the record has answered. Whatever happens to the
// process in between, the lease ends and another worker starts the job.
//
// A worker stops in two steps: when the context of Run ends it takes nothing
// more and lets run what runs; near the end of the grace it cancels what is
// left and gives it back, with no attempt consumed.
package worker
