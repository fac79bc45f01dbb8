// Package longshore is a system for background work: a client uploads a file or
// posts a job over HTTP, worker processes run it, and the client learns each
// change as it happens. This package holds no code, only this tour and the
// tests of the house: who may import whom (floors_test.go), what programs of others
// see (face_test.go), and documents that must agree with the code (docs_test.go).
//
// The tour goes from the ground floor to the programs, in the order in which a
// job's data flows. A package imports only packages on lower floors.
//
// # Floor 0: words, and tools that know nobody
//
// [longshore/job] holds the words that all others speak: the id (a UUIDv7), the
// states and the moves between them, and the Snapshot that a client sees, the
// same one through every way in. A state machine of ten states is the heart of
// the system; docs/states.md draws it. [longshore/installation] says where an
// installation is: its Redis, its blobs.
//
// [longshore/config] reads the environment, and only programs read config.
// [longshore/internal/redisdb] opens a Redis, keeps to a budget of connections
// and knows which errors pass by themselves; [longshore/internal/batch] makes one
// call of many callers' items, [longshore/internal/lock] keeps processes out of each
// other's way, [longshore/internal/loop] does things again and again.
// [longshore/internal/localredis]
// starts one for development and tests. [longshore/internal/stream] turns bytes
// into digests, archives, lines and records, in pipelines of stages with bounded
// memory; [longshore/internal/jq] runs expressions over records;
// [longshore/internal/accesslog] reads lines of access logs;
// [longshore/internal/imaging] makes pictures smaller;
// [longshore/internal/family] starts processes that can be ended with all that
// descends from them, [longshore/internal/cgroup] bounds what they take together;
// [longshore/internal/isolate] runs work in such children, kept warm, and knows nothing of jobs;
// [longshore/internal/blob] is the seam to where files are kept;
// [longshore/internal/access] has the words of who calls and what he may, and
// compares tokens;
// [longshore/internal/tracing] follows a caller's trace through a job, and sends spans of it;
// [longshore/internal/loggen] invents access logs and tables for tests,
// benchmarks and the demo; [longshore/internal/collector] has Go's garbage collector
// use the memory that there is; [longshore/internal/printable] shows texts of strangers so
// that they steer no terminal; [longshore/internal/strictjson] reads their JSON so that
// no two readers can see two requests in it; [longshore/internal/sealing] seals small texts, by keys that
// aren't where the texts are; [longshore/internal/procfile] reads a Procfile, and
// [longshore/internal/sdnotify] is what a process and its supervisor say to each other;
// [longshore/internal/bytesize] reads sizes as people write them, and [longshore/internal/receiver]
// says where callbacks go and by what they are verified.
//
// # Floor 1: nouns
//
// [longshore/tasks] ties a type of work to its payload and its policy; producer
// and handler share the definition, so they can't drift apart.
// [longshore/answer] has the forms of answers, the refusal among them, that clients
// see; [longshore/internal/httpapi] is what else both sides of HTTP agree on.
// [longshore/internal/jobstore] keeps the records: the truth about each job,
// changed by Lua scripts that hold the state machine, Redis's clock and the
// revision number. Its keys are listed at the head of that package.
// [longshore/internal/hub] lets thousands of long-polls, event streams and
// sockets wait on one subscription; docs/push.md tells of them.
// [longshore/internal/cluster] runs the processes of a Procfile and knows nothing of what they
// are; docs/cluster.md.
// [longshore/internal/metrics] counts what a process does, in the form that Prometheus reads;
// docs/metrics.md.
// [longshore/internal/blob/disk] keeps blobs in a folder,
// [longshore/internal/blob/bucket] in a bucket of S3 or its like, both also in
// pieces; docs/blobs.md compares them.
//
// # Floor 2: verbs
//
// [longshore/internal/queue] is the only package that knows asynq's queues. What it
// carries are tickets: a job's id and the number of its delivery, no more. A
// ticket that is lost, late or doubled does no harm, because the record decides.
// It moves in the same script as its record, many at a time; asynq's tools list, count and pause what waits.
// [longshore/internal/webhook] posts a job, signed, to where its client wants to
// hear of the end, and guards which addresses that may be.
// [longshore/internal/scaling] reckons how many workers are wanted; one floor up
// [longshore/internal/operate] is
// the operator's desk: many jobs at a time, pauses, messages to workers, logs; beside it
// [longshore/internal/schedules] makes jobs at their ticks, which [longshore/internal/cron]
// on floor 0 reckons, and [longshore/internal/limits] judges which new jobs may come in, by what waits.
// [longshore/internal/claims] hands jobs out to programs that ask for them over HTTP (docs/claims.md),
// [longshore/internal/claimer] is such a program's side of it, and
// [longshore/internal/gather] writes what became of a batch for the job that comes then.
// [longshore/internal/refusal] is the one table from what went wrong inside to the code
// and the HTTP status that a client gets, whichever way it came.
// [longshore/internal/asynqtask] makes jobs of asynq's tasks, and knows its messages and no Redis.
// [longshore/handlers] does the work of the built-in types and has the Registry
// for your own. [longshore/client] is the Go client.
//
// [longshore/internal/access/store] keeps API keys, what was revoked and the audit log in
// Redis; on floor 3 [longshore/internal/access/gate] judges credentials by it, from memory,
// [longshore/internal/access/token] makes and reads the signed ones, and
// [longshore/internal/access/people] lets persons log in, whose passwords
// [longshore/internal/access/password] on floor 0 hashes.
//
// # Floor 3: the way in
//
// [longshore/internal/submit]: every job comes in here, from HTTP or from the
// command line. A new submission control is a row of Controls in internal/httpapi,
// and a field of the same name in submit.Request and client.Submission: JSON,
// query, form, metadata, flags and OpenAPI walk that table. What it does is
// submitter.go's. The order is record, input, queued with its ticket; after an unknown
// outcome nothing is undone, and the sweeper mends what is missing. An input may
// be another job's file, by reference: then the new job registers with that one.
// Many jobs come in as lines (POST /v1/jobs/batch, enqueue batch): checking
// and records then go on at the same time, some hundred jobs at once.
//
// [longshore/asynqjobs] is the way in and out for programs written for asynq: its client and schedulers
// submit jobs, its handlers run them, both on a Redis that is none (docs/from-asynq.md).
//
// [longshore/internal/functions] makes types of folders with programs in any language,
// and has the seam to the modes that run them. [longshore/internal/functions/starter]
// writes a first one; [longshore/internal/functions/program] starts programs in the
// sandbox, for the modes: [longshore/internal/functions/exec], a process a job, and
// [longshore/internal/functions/lambda], a warm process that speaks AWS Lambda's runtime
// API ([longshore/functions/lib] has helpers for it in other languages).
// [longshore/internal/functions/wasm] runs modules of WebAssembly in children.
// [longshore/internal/functions/registry] knows which functions are deployed over the API, and
// [longshore/internal/functions/deployed] takes them in, packs them out and keeps them for a worker.
// [longshore/internal/functions/host] joins folders and modes, for a worker and for the
// command line.
//
// # Floors 4 and 5: assemblies
//
// [longshore/internal/connect] turns settings into a connected installation;
// [longshore/internal/asynqmove] makes jobs of the tasks in asynq's queues;
// [longshore/internal/janitor] is what each process does to keep it in order,
// [longshore/internal/overview] what it looks like, and [longshore/internal/alerts] tells people what is
// wrong with it: what there is to see, connect/alarms.go asks for.
// [longshore/internal/tus] speaks the protocol of uploads in pieces; what such an
// upload is, its job's record and a partial blob say.
// [longshore/internal/web] serves HTTP; it speaks to the records through small
// interfaces and knows neither Redis nor asynq. It only joins: all that holds for every
// request, whatever it is about, is [longshore/internal/web/edge] (who may, bodies,
// limits, errors, the log), and over it stand wings that never import each other:
// [longshore/internal/web/api] answers at once, [longshore/internal/web/push] lets
// clients wait (long-polls, event streams, sockets), [longshore/internal/web/upload]
// takes uploads in pieces, [longshore/internal/web/work] serves programs that claim jobs,
// [longshore/internal/web/login] has the pages by which people log in,
// [longshore/internal/web/release] the page behind a link in a mail that releases a held job, and
// [longshore/internal/web/dashboard] has the pages under /ui/, which ask the API as any client does.
// A new route is one line in Routes of the handler that serves
// it: there its method and path, its description and who may use it stand together, and a parameter's
// description beside how it is read (edge.Params). A new handler, or a wing, is one line in
// internal/web/routes.go. [longshore/worker] takes a ticket, starts the job, runs its handler (lane cpu in a
// child process), keeps the lease, records the end. docs/isolation.md tells of the children.
// [longshore/direct] is the way in for Go programs without a web process.
// [longshore/internal/backup] writes what an installation needs to go on into a folder, and puts it into an
// empty one.
//
// # Floors 6 and 7: programs
//
// cmd/web and cmd/worker are what a Procfile scales; cmd/enqueue is the command
// line (docs/cli.md); cmd/dev is all in one process, for a first look; cmd/cluster runs a Procfile where no
// platform does. What they share stands
// in [longshore/cmd/internal/program]. The command line itself is [longshore/cmd/internal/cli], a client of
// HTTP that carries nothing that runs jobs and no Redis (TestClient in floors_test.go). For all else it
// becomes the worker, which has [longshore/cmd/internal/within] to do the same commands on Redis itself,
// [longshore/cmd/internal/trial] to try functions, and [longshore/cmd/internal/work] to run
// claimed jobs by a program. Package bench measures the whole
// beside stock asynq, bench/streams the stream tasks beside common tools. Package
// [longshore/internal/chaos] strikes built programs while clients use them, and judges
// what came of it (docs/reliability.md).
//
// # Where something new goes
//
//   - a control of submissions: a row of httpapi.Controls, and a field of the same name in
//     submit.Request and client.Submission;
//   - a route: a line in Routes of the handler that serves it;
//   - a field of the record: a part in jobstore/layout.go, or a rare one in x: (jobstore/doc.go);
//   - a priority, and with it a queue a lane: an entry of job.Priorities;
//   - a code of refusals: a row of the table in internal/refusal;
//   - something to be told of: a kind in internal/alerts/conditions.go, and a row in docs/operate.md;
//   - a setting: a field of config.Config with its doc, and its line in docs/settings.md;
//   - a package: a line in floors_test.go, and a word on this page.
//
// # What keeps it honest
//
// A worker holds a lease of seconds and a fence, a random token. Who lost the
// lease can't change the record any more, however late he wakes. A sweeper in
// every process, with no leader, makes tickets that are missing, ends leases
// that ran out, and forgets what is old. Cancel is a flag in the record and a
// doorbell for speed. So anybody may be killed at any step.
//
// # Doubts
//
// Redis answers before it has written to disk, so with the usual
// "appendfsync everysec" a crash of its machine can lose the last second of
// acknowledged jobs; more than that is noticed, by what is kept among the blobs
// (docs/operate.md). A handler of lane io that ignores its context can't be
// stopped, since it runs in the worker's process. A handler may run twice, and
// only its result is fenced: what it does elsewhere must bear a repeat. A
// folder of blobs must be one folder for all processes, which ties them to one
// machine or one shared file system; a bucket does not. A hand that takes as many
// tickets away as it pushes strange ones, between two sweeps, is not noticed.
package longshore
