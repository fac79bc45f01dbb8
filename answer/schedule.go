package answer

import (
	"encoding/json"
	"time"

	"longshore/job"
)

// A ScheduleSpec says when jobs are made, and what they are: the body of PUT /v1/schedules/{name}.
type ScheduleSpec struct {
	Cron     string `json:"cron,omitempty" doc:"five fields: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly. Not beside every"`
	Every    string `json:"every,omitempty" doc:"a duration of real time, 1s at least. Not beside cron"`
	Timezone string `json:"timezone,omitempty" doc:"by whose clocks cron counts, as Europe/Berlin; UTC by default"`

	Type        string          `json:"type" doc:"of the jobs"`
	Payload     json.RawMessage `json:"payload,omitempty" doc:"of the jobs, by their type's schema"`
	Priority    job.Priority    `json:"priority,omitempty" enum:"high,default,low" doc:"rank within the type's lane"`
	Queue       string          `json:"queue,omitempty" doc:"the queue of the jobs; default by default"`
	Timeout     string          `json:"timeout,omitempty" doc:"time limit of one attempt, a duration"`
	ExpiresIn   string          `json:"expires_in,omitempty" doc:"give up unless started within this time, a duration"`
	MaxAttempts int             `json:"max_attempts,omitempty" doc:"how often to try"`
	Retention   string          `json:"retention,omitempty" doc:"how long to keep a job after its end, a duration"`
	CallbackURL string          `json:"callback_url,omitempty" doc:"post each job, signed, to this address when it has ended"`

	Overlap  string     `json:"overlap,omitempty" enum:"allow,skip,cancel_running" doc:"what a tick does that meets the job before, not ended: make one all the same, which is the default; none; or cancel that one"`
	CatchUp  string     `json:"catch_up,omitempty" enum:"last,none,all" doc:"what becomes of ticks that passed while no web process was there: the newest is made, which is the default; none; or the newest 100"`
	Jitter   string     `json:"jitter,omitempty" doc:"make each tick up to this much later, always by the same: so schedules of one minute don't all come at once"`
	StartsAt *time.Time `json:"starts_at,omitempty" doc:"no tick before; at most a year back, and then what passed since is late"`
	EndsAt   *time.Time `json:"ends_at,omitempty" doc:"no tick after"`
}

// A Schedule makes a job at each of its ticks.
type Schedule struct {
	Name   string `json:"name"`
	Tenant string `json:"tenant,omitempty" doc:"whose it is, where that isn't default"`
	Rev    int64  `json:"rev" doc:"grows with each change, and never begins anew"`
	ScheduleSpec
	Source      string `json:"source,omitempty" doc:"the list that it came with, see POST /v1/schedules"`
	NotInSource bool   `json:"not_in_source,omitempty" doc:"that list has been sent without it since"`

	Paused   *SchedulePause `json:"paused,omitempty"`
	Next     []time.Time    `json:"next" doc:"the next five ticks; none while it is paused, or once it has ended"`
	LastTick *time.Time     `json:"last_tick,omitempty" doc:"the newest that was decided"`
	LastJob  job.ID         `json:"last_job,omitempty"`
	Runs     []ScheduleRun  `json:"runs,omitempty" doc:"its newest ten jobs, newest first; not in lists"`

	Made       int64 `json:"made" doc:"ticks that made their job"`
	ByHand     int64 `json:"by_hand" doc:"jobs that somebody asked for"`
	Missed     int64 `json:"missed" doc:"ticks that were too late, and left out by catch_up"`
	Overlapped int64 `json:"overlapped" doc:"ticks that were left out by overlap"`
	Refused    int64 `json:"refused" doc:"ticks whose job could not be made"`

	Problem *ScheduleProblem `json:"problem,omitempty" doc:"why a tick that is due is not made"`

	ChangedBy string    `json:"changed_by"`
	ChangedAt time.Time `json:"changed_at"`
}

// A SchedulePause holds a schedule's ticks back. Those that pass meanwhile are not made up for.
type SchedulePause struct {
	By  string    `json:"by"`
	At  time.Time `json:"at"`
	Why string    `json:"why,omitempty"`
}

// A ScheduleRun is one job of a schedule.
type ScheduleRun struct {
	At  time.Time `json:"at" doc:"the tick, or when somebody asked for it"`
	Job job.ID    `json:"job"`
}

// A ScheduleProblem is why a tick is not made.
type ScheduleProblem struct {
	Since  time.Time `json:"since"`
	Detail string    `json:"detail"`
}

// ScheduleList is the answer to GET /v1/schedules.
type ScheduleList struct {
	Schedules []Schedule `json:"schedules"`
}

// A NamedSchedule is one of a list.
type NamedSchedule struct {
	Name string `json:"name"`
	ScheduleSpec
}

// ScheduleSource is a list of schedules that come from one place: the body of POST /v1/schedules.
type ScheduleSource struct {
	Source    string          `json:"source" doc:"names the list; only what came with it is left out or removed by it"`
	Prune     bool            `json:"prune,omitempty" doc:"remove what came with an earlier list of this source, and isn't in this one"`
	Schedules []NamedSchedule `json:"schedules"`
}

// ScheduleApplied is what became of such a list: names of schedules.
type ScheduleApplied struct {
	Created   []string `json:"created"`
	Changed   []string `json:"changed"`
	Unchanged []string `json:"unchanged"`
	Removed   []string `json:"removed" doc:"by prune"`
	Left      []string `json:"left" doc:"came with an earlier list, are not in this one, and go on"`
}
