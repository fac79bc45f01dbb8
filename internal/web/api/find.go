package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/operate"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
)

// The views of a list.
const (
	viewRow  = "row"
	viewFull = "full"
)

// Operator answers operators. operate.Desk implements it.
type Operator interface {
	Counts(ctx context.Context, by access.View, kind string) (answer.Counts, error)
	Failures(ctx context.Context, by access.View, f job.Filter) (answer.Failures, error)
	Stats(ctx context.Context, by access.View, window, kind string) (answer.Stats, error)
	Payload(ctx context.Context, by access.View, id job.ID) (answer.Payload, error)
	Timeline(ctx context.Context, by access.View, id job.ID) (answer.Timeline, error)
	Steerer
	Logger
}

// Operate serves what operators look for and do.
type Operate struct {
	desk     Operator
	show     Show
	waiter   Waiter
	stopping context.Context // ends when the server is to
	scans    scans
}

// NewOperate returns the handler; without a desk it serves nothing.
func NewOperate(desk Operator, show Show, waiter Waiter, stopping context.Context) *Operate {
	return &Operate{desk, show, waiter, stopping, newScans()}
}

// Routes are what it serves.
func (h *Operate) Routes() []edge.Route {
	if h.desk == nil {
		return nil
	}
	count := edge.At("GET", httpapi.PathCount, "count-jobs", "How many jobs there are, by state and type")
	count.Parameters = countParams.Describe()
	failures := edge.At("GET", httpapi.PathFailures, "failures", "Failed jobs, in groups that failed alike")
	failures.Parameters = failureParams.Describe()
	failures.Description =
		"The newest 20,000 are looked at. Alike are those of one type with one code, and messages " +
			"that differ in numbers and quoted texts only."
	stats := edge.At("GET", httpapi.PathStats, "get-stats",
		"How many jobs came, ended and waited in the last hour or day, step by step")
	stats.Parameters = statsParams.Describe()
	payload := edge.At("GET", httpapi.PathJobs+"/{id}/payload", "get-payload", "What a job is to do")
	payload.Parameters = oneJob.Describe()
	timeline := edge.At("GET", httpapi.PathJobs+"/{id}/timeline", "get-timeline",
		"What happened to a job, oldest first")
	timeline.Parameters = oneJob.Describe()
	return append(h.steering(), []edge.Route{
		h.logRoute(),
		{Op: count, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.count,
			Body: answer.Counts{}},
		{Op: stats, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.stats,
			Body: answer.Stats{}},
		{Op: failures, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.failures,
			Body: answer.Failures{}},
		{Op: payload, Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.payload,
			Body: answer.Payload{}},
		{Op: timeline, Access: edge.Bearer, Scope: access.JobsRead, Job: true, Handle: h.timeline,
			Body: answer.Timeline{}},
	}...)
}

// narrowParams are what a filter may say beside a state and a type.
func narrowParams[T any](of func(*T) *answer.JobFilter) edge.Params[T] {
	one := func(name, doc string, field func(*answer.JobFilter) *string) edge.Param[T] {
		return edge.Param[T]{Name: name, In: edge.Query, Doc: doc, Schema: plainText(),
			Read: func(to *T, text string) error { *field(of(to)) = text; return nil }}
	}
	return edge.Params[T]{
		one("code", "only failed jobs with this code", func(f *answer.JobFilter) *string { return &f.Code }),
		one("group", "only failed jobs of this group of GET /v1/failures",
			func(f *answer.JobFilter) *string { return &f.Group }),
		one("worker", "only jobs that this worker runs, or ran last",
			func(f *answer.JobFilter) *string { return &f.Worker }),
		one("retried", "any: with failed jobs that were retried since; only: no others",
			func(f *answer.JobFilter) *string { return &f.Retried }),
		one("since",
			"only jobs that entered the state failed, canceled, expired or waiting since; with another state, or "+
				"none, that were created since: a time, or a duration ago, as 15m",
			func(f *answer.JobFilter) *string { return &f.Since }),
		one("until",
			"… or until then. In a list with id: done or change, what to wait for; change is the default",
			func(f *answer.JobFilter) *string { return &f.Until }),
		one("created_since", "only jobs that were created since",
			func(f *answer.JobFilter) *string { return &f.CreatedSince }),
		one("id_prefix", "only jobs whose id begins so",
			func(f *answer.JobFilter) *string { return &f.IDPrefix }),
		one("label", "only jobs with this label, as user=7",
			func(f *answer.JobFilter) *string { return &f.Label }),
		one("queue", "only jobs of this queue; default is one", func(f *answer.JobFilter) *string { return &f.Queue }),
	}
}

// narrow completes the filter of a list with what was said beside state and type.
func (l *listing) narrow() error {
	if l.said.Until == httpapi.UntilDone || l.said.Until == httpapi.UntilChange {
		l.until, l.said.Until = l.said.Until, ""
	}
	if l.said == (answer.JobFilter{}) {
		return nil
	}
	l.said.State, l.said.Type = string(l.filter.State), l.filter.Type
	f, err := operate.ParseFilter(l.said, "?")
	f.Limit, f.Cursor = l.filter.Limit, l.filter.Cursor
	l.filter = f
	return err
}

// A rowList is the answer to a list with view=row.
type rowList struct {
	Rows     []answer.Row `json:"rows"`
	Next     string       `json:"next,omitempty"`
	Scanned  int          `json:"scanned"`
	Complete bool         `json:"complete"`
}

func (h *Jobs) writeRows(a *edge.Answer, page job.Page) error {
	list := rowList{Rows: make([]answer.Row, len(page.Jobs)), Next: page.Next, Scanned: page.Scanned,
		Complete: page.Complete}
	for i, snap := range page.Jobs {
		snap = h.show(snap)
		list.Rows[i] = answer.RowOf(&snap)
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

var countParams = edge.Params[string]{{Name: "type", In: edge.Query, Doc: "only jobs of this type",
	Schema: typeName(), Read: readType}}

func (h *Operate) count(a *edge.Answer, r *http.Request) error {
	kind := ""
	if err := countParams.Read(r, &kind); err != nil {
		return err
	}
	counts, err := h.desk.Counts(r.Context(), a.View(), kind)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, counts)
	return nil
}

type statsAsked struct{ window, kind string }

var statsParams = edge.Params[statsAsked]{
	edge.OneOf(edge.Param[statsAsked]{Name: "window", In: edge.Query, Doc: "the last hour, in minutes, or the " +
		"last day, in steps of 5 minutes"}, []string{"1h", "24h"},
		func(to *statsAsked, text string) { to.window = text }),
	{Name: "type", In: edge.Query, Doc: "only jobs of this type", Schema: typeName(),
		Read: func(to *statsAsked, text string) error { return readType(&to.kind, text) }},
}

func readType(to *string, text string) error {
	if *to = text; len(text) > maxTypeName {
		return errors.New("expected a type")
	}
	return nil
}

func (h *Operate) stats(a *edge.Answer, r *http.Request) error {
	var asked statsAsked
	if err := statsParams.Read(r, &asked); err != nil {
		return err
	}
	stats, err := h.desk.Stats(r.Context(), a.View(), asked.window, asked.kind)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, stats)
	return nil
}

// failureParams are those of a filter that failures can have.
var failureParams = func() edge.Params[answer.JobFilter] {
	var some edge.Params[answer.JobFilter]
	for _, p := range narrowParams(func(f *answer.JobFilter) *answer.JobFilter { return f }) {
		if p.Name == "code" || p.Name == "since" || p.Name == "until" || p.Name == "worker" {
			some = append(some, p)
		}
	}
	return append(some, edge.Param[answer.JobFilter]{Name: "type", In: edge.Query,
		Doc:    "only jobs of this type",
		Schema: typeName(),
		Read:   func(to *answer.JobFilter, text string) error { to.Type = text; return nil }})
}()

func (h *Operate) failures(a *edge.Answer, r *http.Request) error {
	var said answer.JobFilter
	if err := failureParams.Read(r, &said); err != nil {
		return err
	}
	said.State = string(job.Failed)
	f, err := operate.ParseFilter(said, "?")
	if err != nil {
		return err
	}
	leave, err := h.scans.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	list, err := h.desk.Failures(r.Context(), a.View(), f)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

func (h *Operate) payload(a *edge.Answer, r *http.Request) error {
	return ofJob(a, r, h.desk.Payload)
}

func (h *Operate) timeline(a *edge.Answer, r *http.Request) error {
	return ofJob(a, r, h.desk.Timeline)
}

// ofJob answers with what there is to know of one job.
func ofJob[T any](a *edge.Answer, r *http.Request, look func(context.Context, access.View,
	job.ID) (T, error)) error {
	var id job.ID
	if err := oneJob.Read(r, &id); err != nil {
		return err
	}
	found, err := look(r.Context(), a.View(), id)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, found)
	return nil
}

// A retryBody is the body of a retry.
type retryBody struct {
	Payload  json.RawMessage `json:"payload,omitempty" doc:"instead of the old job's"`
	Set      json.RawMessage `json:"set,omitempty" doc:"top-level fields of the payload that are other ones; null is a value"`
	Priority string          `json:"priority,omitempty"`
}

// A retrying is what is asked of a retry.
type retrying struct {
	id    job.ID
	again submit.Again
}

var retryParams = edge.Params[retrying]{
	idParam(func(to *retrying, id job.ID) { to.id = id }),
	edge.OneOf(edge.Param[retrying]{Name: "again", In: edge.Query,
		Doc: "although the job was retried before"},
		[]string{"true", "false"}, func(to *retrying, text string) { to.again.Anyway = text == "true" }),
}

// read reads the body, which may be empty.
func (how *retrying) read(a *edge.Answer) error {
	how.again.By = a.Who.Name()
	if len(a.JSON) == 0 {
		return nil
	}
	var body retryBody
	if err := edge.DecodeJSON(a.JSON, &body); err != nil {
		return err
	}
	how.again.Payload, how.again.Priority = body.Payload, job.Priority(body.Priority)
	if body.Set == nil {
		return nil
	}
	if !strings.HasPrefix(string(body.Set), "{") || json.Unmarshal(body.Set, &how.again.Set) != nil {
		return httpapi.InvalidAt("/set", "expected object")
	}
	return nil
}
