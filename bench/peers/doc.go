// Command peers measures Longshore beside other job queues on one machine, in
// one run: stock asynq (Go), River (Go, PostgreSQL), BullMQ (Node), Sidekiq
// (Ruby) and Celery (Python). `make bench-peers` runs it.
//
// Every peer plays the same three roles, each a process of its own:
//
//	bulk N           submits N jobs that do nothing, as fast as its client can,
//	                 and prints "took NANOSECONDS"
//	trickle N GAP    submits one job each GAP milliseconds, N times; the job
//	                 carries the time at which its submission began
//	work             runs jobs until SIGTERM. It prints "ready"; "done SOURCE
//	                 COUNT TIME" at most each 10 ms, with the jobs done so far
//	                 and the time of the last; "late NANOSECONDS" for the time
//	                 from a job's submission to the begin of its handler
//
// So start-up costs nothing in the figures, and no peer pays for the measuring
// more than another. CPU time comes from /proc and memory from the server.
// The peers take turns, round by round, so that what disturbs the machine
// disturbs all of them. A peer that is not installed is left out, with a word.
//
// Submission over HTTP is measured of Longshore alone, with raw connections in
// this process that send the same prepared request again and again and look at
// each answer's status: they share the cores with web and Redis, so they are to
// be light. Web logs each request as by default, to the null device.
//
// The module is apart from Longshore's, so that importers never see the peers.
package main
