// Package jobstore keeps the records of jobs in Redis. The record is the truth:
// whatever a client, the command line or a worker knows of a job comes from
// here, and nothing changes a record but the Lua scripts of this package.
//
// A script checks the move against the state machine of package job, uses
// Redis's TIME, raises rev by one and publishes the change, all in one step.
// Every script may be called again with the same arguments after an unknown
// outcome: fences, deliveries and ids make a repeat harmless. One call moves
// many jobs and answers for each; a damaged record hurts no other.
//
// # Keys
//
// All keys of a job share a slot of a Redis Cluster: k is the id's shard, 0 to 15
// (its last digit), and P the installation's prefix.
//
//	P:{k}:j:<id>      hash    the record, short fields (see record.go)
//	P:{k}:p:<id>      string  payload and input, JSON; absent for an empty payload, and for what has
//	                          64 bytes at most and is no upload's: that is field p of the record
//	P:{k}:r:<id>      string  result and outputs, JSON
//	P:{k}:g:<id>      string  progress, JSON
//	P:{k}:e:<id>      list    the last failed attempts: "<ms> <attempt> <code> <message>"
//	P:{k}:u:<id>      hash    jobs that use this one's files → TIME they registered (ms)
//	P:{k}:w:<id>      hash    callback and how its delivery goes (see callback.go)
//	P:{k}:i:<hash>    string  idempotency key → id; lives as long as the record
//	P:{k}:c:<id>      string  claim of an id that a client chose, for its hour
//	P:{k}:due         zset    all jobs, by the time of the next look (ms); of ended ones: of their removal.
//	                          Looks that have time are 1e13 below it: see script.go, lookLimit
//	P:{k}:leases      zset    running and uploading jobs, by the end of the lease (ms)
//	P:{k}:callbacks   zset    ended jobs whose callback is to be delivered, by its next time (ms)
//	P:{k}:ids         zset    all jobs, by id (score 0), for lists
//	P:{k}:swept       string  TIME of the last sweep (ms)
//	P:{k}:rewind      string  cursor of a walk over due after TIME went back
//	P:{k}:rewind:callbacks    … and of one over callbacks
//	P:{k}:quarantine  zset    damaged records, by the time they were found (ms)
//	P:claim:<token>   string  what a worker's last claim popped, for its repeat; a minute
//	P:blobs           string  id of the blob store that all processes share
//	P:epoch           string  random; another one than before says that all data was lost
//	P:{open}:all      zset    uploads in pieces that are open, by when they stop to count (ms)
//	P:{open}:a:<a>    zset    those of one client address
//	P:types           hash    definitions that workers published, by type
//	P:workers         zset    living workers (internal/queue), by their last sign of life (ms)
//	P:legacy          string  workers are about that know nothing of parked tickets; some seconds
//	P:minded          string  somebody has looked after parked tickets; some seconds
//	P:warned:<type>   string  that nobody serves the type was logged; a minute
//	P:types:seen      zset    those types, by the time of their last publication (ms)
//	P:events          channel "<id> <rev> <state>" for each change, a line each
//	P:cancel          channel "<id>": its running attempt is to stop
//
// What has its own string key would turn the small hash into a big one: Redis
// packs a hash only while each value is at most 64 bytes. So has a long payload; a
// short one is in the hash, which saves 170 bytes of memory and two commands.
//
// # Tickets
//
// On a single Redis the scripts also move the tickets, whose keys are asynq's
// (Config.Tickets, written by internal/queue): create adds one, take pops many
// and starts their jobs, finish ends it. No failure comes between the two. On a
// Cluster, where queue and records lie on different nodes, the same moves are
// made one after the other, and the sweeper mends what falls between. The rules
// are the same text: lua/start_one.lua is part of start and of take.
package jobstore
