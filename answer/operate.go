package answer

import (
	"encoding/json"
	"time"

	"longshore/job"
)

// A Row is one job of a long list, in few bytes.
type Row struct {
	ID              job.ID       `json:"id"`
	Type            string       `json:"type"`
	State           job.State    `json:"state"`
	Rev             int64        `json:"rev"`
	Priority        job.Priority `json:"priority"`
	Queue           string       `json:"queue,omitempty"`
	Attempt         int          `json:"attempt"`
	MaxAttempts     int          `json:"max_attempts"`
	CancelRequested bool         `json:"cancel_requested,omitempty"`
	Code            job.Code     `json:"code,omitempty"`
	Message         string       `json:"message,omitempty"` // at most 160 bytes
	Fraction        *float64     `json:"fraction,omitempty"`
	Rate            float64      `json:"rate_bytes_per_s,omitempty"`
	ETA             *float64     `json:"eta_s,omitempty"`
	Note            string       `json:"note,omitempty"`
	WaitingFor      job.Waiting  `json:"waiting_for,omitempty"`
	RetryOf         job.ID       `json:"retry_of,omitempty"`
	RetriedAs       job.ID       `json:"retried_as,omitempty"`
	Labels          job.Labels   `json:"labels,omitempty"`
	Worker          string       `json:"worker,omitempty" doc:"the id of who runs it, or ran it last"`
	CreatedAt       time.Time    `json:"created_at"`
	RunAt           *time.Time   `json:"run_at,omitempty"`
	StartedAt       *time.Time   `json:"started_at,omitempty"`
	FinishedAt      *time.Time   `json:"finished_at,omitempty"`
}

const (
	rowMessage = 160
	rowNote    = 40
)

// RowOf is a job as a row.
func RowOf(s *job.Snapshot) Row {
	r := Row{ID: s.ID, Type: s.Type, State: s.State, Rev: s.Rev, Priority: s.Priority,
		Queue: s.Queue, Attempt: s.Attempt,
		MaxAttempts: s.MaxAttempts, CancelRequested: s.CancelRequested && !s.Done, WaitingFor: s.WaitingFor,
		RetryOf: s.RetryOf, RetriedAs: s.RetriedAs, Labels: s.Labels, Worker: s.Worker,
		CreatedAt: s.CreatedAt, RunAt: s.RunAt,
		StartedAt: s.StartedAt, FinishedAt: s.FinishedAt}
	if e := s.Error; e != nil {
		r.Code, r.Message = e.Code, cut(e.Message, rowMessage)
	}
	if p := s.Progress; p != nil && !s.Done {
		r.Fraction, r.Rate, r.ETA, r.Note = p.Fraction, p.Rate, p.ETA, cut(p.Note, rowNote)
	}
	return r
}

// cut shortens a text to some bytes, between two characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xc0 == 0x80 {
		most--
	}
	return text[:most] + "…"
}

// Counts are how many jobs there are, by counters that are exact.
type Counts struct {
	Counts  map[job.State]int64 `json:"counts" doc:"jobs by state; failed ones without those that were retried since"`
	Retried int64               `json:"retried" doc:"failed jobs that were retried since"`
	Total   int64               `json:"total"`
	Ended   map[job.State]int64 `json:"ended" doc:"ends so far, also of jobs that were removed since: they only grow"`
	Types   []TypeCounts        `json:"types" doc:"the same by type"`
}

// TypeCounts are the counts of one type; a state without jobs is absent.
type TypeCounts struct {
	Type    string              `json:"type"`
	Counts  map[job.State]int64 `json:"counts"`
	Retried int64               `json:"retried,omitempty"`
	Ended   map[job.State]int64 `json:"ended"`
}

// Stats are numbers of the last hour or day, step by step.
type Stats struct {
	Window string       `json:"window" doc:"1h or 24h"`
	StepMS int64        `json:"step_ms" doc:"length of a step"`
	Points []StatsPoint `json:"points" doc:"oldest first; none before the first minutes were counted"`
	RunMS  *RunTimes    `json:"run_ms,omitempty" doc:"how long runs took, for who sees all jobs"`
}

// A StatsPoint is one step.
type StatsPoint struct {
	At      time.Time           `json:"at" doc:"its begin"`
	Created int64               `json:"created" doc:"jobs that came in it"`
	Ended   map[job.State]int64 `json:"ended" doc:"jobs that ended in it, by state"`
	Waiting int64               `json:"waiting" doc:"jobs that were queued at its end"`
	Running int64               `json:"running" doc:"jobs that ran at its end"`
	Partial bool                `json:"partial,omitempty" doc:"it is not over"`
}

// RunTimes are how long runs took, in milliseconds, to the next power of √2.
type RunTimes struct {
	N   int64 `json:"n" doc:"runs that ended"`
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
}

// Failures are failed jobs in groups that failed alike.
type Failures struct {
	Groups   []FailureGroup `json:"groups" doc:"the one with the newest failure first"`
	Scanned  int            `json:"scanned" doc:"jobs that were looked at, the newest ones"`
	Total    int64          `json:"total" doc:"failed jobs that were not retried, of the type if one is asked for"`
	Complete bool           `json:"complete" doc:"there were no more to look at"`
}

// A FailureGroup are jobs of one type that failed with one code, and messages that differ in numbers
// and quoted texts only.
type FailureGroup struct {
	Group   string    `json:"group" doc:"the group's id, for filters"`
	Type    string    `json:"type"`
	Code    job.Code  `json:"code"`
	Message string    `json:"message" doc:"without its numbers and quoted texts"`
	N       int       `json:"n"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Samples []job.ID  `json:"samples" doc:"the newest ones"`
}

// A Payload is what a job is to do.
type Payload struct {
	Payload json.RawMessage `json:"payload"`
	Input   *InputInfo      `json:"input,omitempty"`
}

// InputInfo is the file that a job works on.
type InputInfo struct {
	Name        string `json:"name,omitempty"`
	Size        int64  `json:"size"`
	ContentType string `json:"content_type,omitempty"`
	Job         job.ID `json:"job,omitempty" doc:"the job whose file it is, where it is another one's"`
}

// A Timeline is what happened to a job, oldest first.
type Timeline struct {
	ID      job.ID          `json:"id"`
	State   job.State       `json:"state"`
	Done    bool            `json:"done"`
	Entries []TimelineEntry `json:"entries"`
	Waiting *Waiting        `json:"waiting,omitempty" doc:"why it doesn't start, where it could"`
}

// A Waiting tells why a job doesn't start.
type Waiting struct {
	For     job.Waiting `json:"for" enum:"time,paused,worker,slots,jobs,release,limit"`
	Until   *time.Time  `json:"until,omitempty" doc:"its time, the end of the pause, or when the limit lets the next one start"`
	Pause   *Pause      `json:"pause,omitempty" doc:"what holds it back"`
	Limit   string      `json:"limit,omitempty" doc:"the limit of jobs at once, or of starts, that it waits for"`
	Holders []job.ID    `json:"holders,omitempty" doc:"some of the jobs that have what it waits for"`
	Line    int64       `json:"line,omitempty" doc:"how many wait for the same"`
	Why     string      `json:"why,omitempty" doc:"why it is held"`
	Workers int         `json:"workers" doc:"living workers that take its type from its lane"`
	Slots   int         `json:"slots" doc:"jobs that these run at once"`
	Queued  int64       `json:"queued" doc:"jobs in its queue, which begin in their order"`
}

// A TimelineEntry is one thing that happened.
type TimelineEntry struct {
	At      time.Time `json:"at"`
	What    string    `json:"what" enum:"created,changed,released,due,started,failed_attempt,lost,postponed,cancel_requested,retried,callback_resend,callback,finished"`
	Attempt int       `json:"attempt,omitempty"`
	Worker  string    `json:"worker,omitempty"`
	By      string    `json:"by,omitempty"`
	State   job.State `json:"state,omitempty" doc:"of finished"`
	Code    string    `json:"code,omitempty"`
	Message string    `json:"message,omitempty"`
	Version int64     `json:"version,omitempty" doc:"of failed_attempt and finished: of the deployed function that ran"`
	Other   job.ID    `json:"other,omitempty" doc:"the job that it is a retry of, or that is its retry"`
}

// A JobFilter selects jobs for an operation; names and meanings are those of GET /v1/jobs.
type JobFilter struct {
	Tenant       string `json:"tenant,omitempty" doc:"only of this tenant; for who sees those of all"`
	Subject      string `json:"subject,omitempty" doc:"only of this user of the tenant"`
	State        string `json:"state,omitempty"`
	Type         string `json:"type,omitempty"`
	Code         string `json:"code,omitempty"`
	Group        string `json:"group,omitempty"`
	Worker       string `json:"worker,omitempty"`
	Retried      string `json:"retried,omitempty"`
	Since        string `json:"since,omitempty"`
	Until        string `json:"until,omitempty"`
	CreatedSince string `json:"created_since,omitempty"`
	IDPrefix     string `json:"id_prefix,omitempty"`
	Label        string `json:"label,omitempty" doc:"name=value"`
	Queue        string `json:"queue,omitempty" doc:"only jobs of this queue; default is one"`
}

// A BulkRequest asks for the same for many jobs.
type BulkRequest struct {
	Action string      `json:"action"` // retry, cancel, delete, change or resend (callbacks)
	Filter JobFilter   `json:"filter"`
	DryRun bool        `json:"dry_run,omitempty"`
	Before string      `json:"before,omitempty" doc:"only jobs that were there by then, as a dry run told; now by default"`
	Max    int64       `json:"max,omitempty" doc:"at most so many; 0 = all"`
	Why    string      `json:"why,omitempty"`
	Change *BulkChange `json:"change,omitempty" doc:"with action change: what they are to have otherwise"`
}

// A BulkChange is what many jobs are to have otherwise.
type BulkChange struct {
	RunAt    string `json:"run_at,omitempty" doc:"not before this time; one that is over: at once"`
	Priority string `json:"priority,omitempty"`
	Queue    string `json:"queue,omitempty"`
}

// A JobChange is what a job that waits is to have otherwise; of one that has ended only retention can be.
// What is absent stays.
type JobChange struct {
	RunAt       *time.Time   `json:"run_at,omitempty" doc:"not before this time; one that is over: at once"`
	Priority    job.Priority `json:"priority,omitempty" enum:"high,default,low"`
	Queue       string       `json:"queue,omitempty" doc:"the queue that it is to wait in; default is one"`
	Labels      *job.Labels  `json:"labels,omitempty" doc:"all of them: an empty object takes them away"`
	ExpiresAt   *time.Time   `json:"expires_at,omitempty" doc:"give up unless started by this time"`
	ExpiresIn   string       `json:"expires_in,omitempty" doc:"the same, as a duration from now; 0s: it never expires"`
	Timeout     string       `json:"timeout,omitempty" doc:"time limit of one attempt, a duration"`
	MaxAttempts int          `json:"max_attempts,omitempty" doc:"how often to try"`
	Retention   string       `json:"retention,omitempty" doc:"how long to keep the job after its end, a duration"`
}

// A DryRun is what an operation would do.
type DryRun struct {
	N       int64            `json:"n"`
	Exact   bool             `json:"exact" doc:"false: at least so many, more were not looked at"`
	ByType  map[string]int64 `json:"by_type"`
	Samples []job.ID         `json:"samples"`
	Before  time.Time        `json:"before"`
}

// OperationError is why an operation left one job as it was.
type OperationError struct {
	ID     job.ID `json:"id"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
}

// WorkerOutcome is what a worker answered to a message.
type WorkerOutcome struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome" enum:",ok,refused,gone,silent,expired" doc:"empty = not answered yet"`
	Detail  string `json:"detail,omitempty"`
}

// An Operation is something that is done to many jobs, or told to workers, and takes a while.
type Operation struct {
	ID         job.ID           `json:"id"`
	Rev        int64            `json:"rev"`
	Done       bool             `json:"done"`
	State      string           `json:"state" enum:"queued,running,succeeded,canceled,failed"`
	Kind       string           `json:"kind" enum:"bulk,control"`
	Action     string           `json:"action"`
	Filter     *JobFilter       `json:"filter,omitempty"`
	Change     *BulkChange      `json:"change,omitempty"`
	Why        string           `json:"why,omitempty"`
	By         string           `json:"by,omitempty"`
	CreatedAt  time.Time        `json:"created_at"`
	FinishedAt *time.Time       `json:"finished_at,omitempty"`
	Before     *time.Time       `json:"before,omitempty"`
	Max        int64            `json:"max,omitempty"`
	N          int64            `json:"n" doc:"jobs that the filter let through when it began, as far as was looked"`
	Moved      int64            `json:"moved"`
	Skipped    map[string]int64 `json:"skipped" doc:"jobs that were left as they are, by why"`
	Errors     []OperationError `json:"errors" doc:"some of them"`
	Workers    []WorkerOutcome  `json:"workers,omitempty"`
}

// OperationList is the answer to GET /v1/operations.
type OperationList struct {
	Operations []Operation `json:"operations"`
}

// PauseRequest is the body of a pause.
type PauseRequest struct {
	Why string `json:"why,omitempty"`
	For string `json:"for,omitempty" doc:"a duration after which it ends by itself; none = when somebody resumes"`
}

// A Pause holds jobs of a queue, or of a type, back: those that run go on, no other starts.
type Pause struct {
	Queue    string       `json:"queue,omitempty"` // io-default; queue:mailers of a whole one
	Name     string       `json:"name,omitempty" doc:"of the whole queue that is paused"`
	Lane     job.Lane     `json:"lane,omitempty"`
	Priority job.Priority `json:"priority,omitempty"`
	Type     string       `json:"type,omitempty"`
	Why      string       `json:"why,omitempty"`
	By       string       `json:"by" doc:"asynq, where its tools did it, who tell no more"`
	At       *time.Time   `json:"at,omitempty"`
	Until    *time.Time   `json:"until,omitempty"`
	State    string       `json:"state" enum:"paused,pausing,resuming" doc:"pausing: some worker doesn't obey yet"`
	// NotObeyedBy are workers of an older release, which know no pause of a type.
	NotObeyedBy []WorkerName `json:"not_obeyed_by,omitempty"`
}

// A WorkerName tells a worker that has no id.
type WorkerName struct {
	Host string `json:"host"`
	PID  int    `json:"pid"`
}

// PauseList is the answer to GET /v1/pauses.
type PauseList struct {
	Pauses []Pause `json:"pauses"`
}

// A WorkerRun is one job that a worker runs.
type WorkerRun struct {
	Job     job.ID    `json:"job"`
	Type    string    `json:"type"`
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since"`
}

// A WorkerDetail is one worker process that is alive.
type WorkerDetail struct {
	ID      string           `json:"id" doc:"empty of a worker of an older release, which takes no messages"`
	Host    string           `json:"host"`
	PID     int              `json:"pid"`
	Version string           `json:"version,omitempty"`
	State   WorkerState      `json:"state" enum:"taking,draining,stopping"`
	Slots   map[job.Lane]int `json:"slots"`
	Busy    int              `json:"busy" doc:"jobs that run"`
	Runs    []WorkerRun      `json:"runs" doc:"the oldest 64 of them"`
	RSS     int64            `json:"rss_bytes,omitempty"`
	Live    int64            `json:"live_bytes,omitempty" doc:"of its memory: what lived in Go's heap at the last look"`
	Jobs    int64            `json:"jobs" doc:"that ended since it was started"`
	LagMS   int64            `json:"lag_ms" doc:"how late its timers were lately"`
	BeatAt  *time.Time       `json:"beat_at,omitempty" doc:"its last sign of life"`
	Started *time.Time       `json:"started_at,omitempty"`
	Types   []string         `json:"types"`
	Queues  []string         `json:"queues,omitempty" doc:"that it serves, as QUEUES names them; * = all"`
	Control bool             `json:"control" doc:"it takes messages"`
	Bad     []string         `json:"bad,omitempty" doc:"what is wrong with it"`
	Alarm   string           `json:"alarm,omitempty" doc:"that its memory grows, or is short; for an hour"`
	Recycle string           `json:"recycling,omitempty" doc:"why it finishes what it runs to start itself anew"`
}

// WorkerDetails is the answer to GET /v1/workers.
type WorkerDetails struct {
	Workers []WorkerDetail `json:"workers"`
}

// A GoneWorker is one that is not there any more.
type GoneWorker struct {
	ID      string      `json:"id"`
	Host    string      `json:"host"`
	PID     int         `json:"pid"`
	Version string      `json:"version,omitempty"`
	Why     string      `json:"why" enum:"stopped,drained,recycled,lost"`
	At      time.Time   `json:"at"`
	Ran     []WorkerRun `json:"ran" doc:"what it ran when it was heard of last"`
}

// A Profile is what a process held when its memory went short, or when somebody asked.
type Profile struct {
	ID              job.ID    `json:"id"`
	At              time.Time `json:"at"`
	Program         string    `json:"program" enum:"web,worker"`
	Host            string    `json:"host"`
	PID             int       `json:"pid"`
	Worker          string    `json:"worker,omitempty" doc:"its id"`
	Why             string    `json:"why"`
	HeapBytes       int       `json:"heap_bytes"`
	GoroutinesBytes int       `json:"goroutines_bytes"`
}

// ProfileList is the answer to GET /v1/profiles.
type ProfileList struct {
	Profiles []Profile `json:"profiles"`
}

// GoneWorkers is the answer to GET /v1/workers/gone.
type GoneWorkers struct {
	Workers []GoneWorker `json:"workers"`
}

// A WorkerMessage is the body of a message to workers.
type WorkerMessage struct {
	Why   string `json:"why,omitempty"`
	Level string `json:"level,omitempty" doc:"of log-level: debug, info, warn or error"`
}
