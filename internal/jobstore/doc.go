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
// All keys of a job share a slot of a Redis Cluster: k is the id's partition, its last
// digit modulo their number (1, on a Cluster 16), and P the installation's prefix. Ids in
// keys and members are 16 raw bytes, <f> is a family: 8 bytes for a tenant's type.
//
//	P:{k}:j:<id>      string  the record (layout.go)
//	P:{k}:p:<id>      string  payload and input, JSON: a payload over 256 bytes, or a file
//	P:{k}:r:<id>      string  result and outputs, JSON, of more than 256 bytes
//	P:{k}:g:<id>      string  progress, JSON
//	P:{k}:e:<id>      list    the last failed attempts: "<ms> <attempt>[/<function's version>] <code> <message>"
//	P:{k}:x:<id>      hash    rare fields (record.go)
//	P:{k}:s:<id>      list    story: what the record can't tell, "<ms> <what> <attempts> <who>"
//	P:{k}:l:<id>:<n>  list    newest lines of the log of a run under way, by its delivery; a day
//	P:{k}:o:<id>      hash    outputs and log of claimed runs, by fence; to their timeout and an hour
//	P:{k}:hand:<t>    string  what a request for jobs was given, by its try; a lease and a minute
//	P:{k}:u:<id>      hash    jobs that use this one's files → TIME they registered (ms)
//	P:{k}:b:<id>      hash    a partition's share of a batch: counts (lua/batches.lua)
//	P:{k}:m:<id>      list    … and its jobs there, as they were made
//	P:{k}:w:<id>      hash    callback and how its delivery goes (callback.go)
//	P:{k}:i:<hash>    string  idempotency key → id and the request's digest; lives as long as the record
//	P:{k}:c:<id>      string  a chosen id whose record went within its hour
//	P:{k}:heads       hash    number of a policy → family and text (head.go)
//	P:{k}:all:<f>     stream  the jobs of a family, by creation
//	P:{k}:own         zset    jobs of a subject: code of the owner and id, by their bytes
//	P:{k}:tenants     set     tenants other than default that have or had jobs
//	P:{k}:n:<tenant>  hash    families of such a tenant → type
//	P:{k}:last        string  created and place of the newest job
//	P:{k}:st:<s>:<f>  zset    jobs in a rare state (failed, canceled, expired, waiting), by its time (ms)
//	P:{k}:lease       zset    running and uploading jobs, by the end of the lease (ms)
//	P:{k}:when        zset    what has a time: run_at, expires_at, the next look at a silent upload (ms)
//	P:{k}:end:<s>     list    ended jobs to be looked at from second s on; ends: zset of these lists
//	P:{k}:owes:<kind> zset    ended jobs that owe something (webhook: a callback), by its next time (ms)
//	P:{k}:n           hash    counters: <f><state letter>; R<f><state letter> of removed jobs; list:<queue>
//	                          entries of its pending list; runs:<queue> jobs of it that run;
//	                          bad: one of them was no number
//	P:{k}:owes:batch  zset    batches of which something has changed here, by when to look at them (ms)
//	P:{k}:aside       zset    what can't be read, by the time it was found (ms)
//	P:{k}:memo:<t>    string  what a worker's last claim popped, for its repeat; a minute
//	P:{k}:sweep       string  TIME of the last sweep (ms)
//	P:{k}:restore     string  number of the last job of a backup that was restored here
//	P:{k}:walk        string  where a walk after lost tickets is
//	P:{k}:sch:<t>/<n> hash    a schedule, by tenant and name (schedules.go)
//	P:{k}:runs:<t>/<n> list   its newest jobs
//	P:{k}:ticks       zset    all schedules, by when the next tick is due (ms); inf = never
//	P:{k}:revs        string  the newest revision of a schedule
//	P:{k}:k:<hash>    string  the newest job of a unique one's key (lua/unique.lua)
//	P:{k}:rewind:<z>  string  cursor of a walk over when, later or owes after TIME went back
//	P:{k}:queues      zset    lists of tickets of queues that aren't the default one, "io-high:mailers", and of what is
//	                          claimed, "claim-high::acme/photos.caption", by when they
//	                          got jobs (ms)
//	P:{k}:limits      hash    limit → how many may run at once; with :r behind, may start; rev
//	P:{k}:slots:<c>   set     jobs of a class of a limit that hold a slot, or a token (lua/slots.lua)
//	P:{k}:line:<c>    list    tickets of those that wait for one; classes: set of all that have either
//	P:{k}:rate:<c>    string  when all starts of a class are made up for (µs)
//	P:{k}:later       zset    classes whose next token somebody waits for, by when it is due (ms)
//	P:meta            hash    format, partitions, epoch, blobs (id of the files' place), asynq (was probed);
//	                          of life.go: mark; marked, resumed, kept (when, ms); reset ("<ms>-<ms>");
//	                          lost, accepted (epochs); of restore.go: restoring (a backup), restored ("<backup> <ms>")
//	P:blobs           string  tells a process of format 2 that it is not wanted
//	P:{open}:all      zset    uploads in pieces that are open, by when they stop to count (ms)
//	P:{open}:a:<a>    zset    those of one client address
//	P:limits          hash    "l:<owner>/<name>" → a limit (internal/limits); rev: the newest revision of any
//	P:types           hash    definitions that workers published, by type
//	P:types:from      hash    type → when the process of its definition began, and published last (ms)
//	P:types:seen      zset    those types, by the time of their last publication (ms)
//	P:queues          zset    queues beside the default one, by when they were used last (ms; queues.go)
//	P:claimable       hash    types that are claimed → their definitions (internal/claims)
//	P:claimers        zset    programs that claim jobs (internal/queue), by their last sign of life (ms)
//	P:stopped:<hash>  string  such a program stops, and is handed nothing; a minute
//	P:workers         zset    living workers (internal/queue), by their last sign of life (ms)
//	P:minded          string  somebody has looked after parked tickets; some seconds
//	P:alerts          hash    what is wrong, and who is to be told (internal/alerts)
//	P:warned:<type>   string  that nobody serves the type was logged; a minute
//	P:events          channel id (16), rev (4), state letter of each change, many in a message
//	P:logs            channel id (16): its log has new lines, which somebody follows
//	P:follow          channel "<id>": somebody follows its log
//	P:claims:stop     channel a program that claims jobs stops, by tenant and name
//	P:cancel          channel "<id>": its running attempt is to stop
//	P:ring            channel a queue's name: its list was empty; "later <ms>": a rate's next token is due
//
// # Tickets
//
// The scripts also move the tickets, whose keys are asynq's (ticket.go): a job that becomes queued gets
// one, take pops many and starts their jobs. No failure comes between the two.
//
// A new field of the record is a flag and a part in layout.go, on both sides (parseRecord, lua/lib.lua), or,
// where few jobs have it, a field of x:.
package jobstore
