package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/internal/operate"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Steerer changes what many jobs, queues and workers do. operate.Desk implements it.
type Steerer interface {
	DryRun(ctx context.Context, by access.View, b answer.BulkRequest) (answer.DryRun, error)
	Bulk(ctx context.Context, view access.View, b answer.BulkRequest, by string) (answer.Operation, error)
	WaitOperation(ctx context.Context, by access.View, id job.ID, after int64,
		wait time.Duration) (answer.Operation, error)
	Operations(ctx context.Context, by access.View, limit int) (answer.OperationList, error)
	CancelOperation(ctx context.Context, by access.View, id job.ID) (answer.Operation, error)

	PauseQueue(ctx context.Context, l job.Lane, p job.Priority, asked answer.PauseRequest,
		by string) (answer.Pause, error)
	ResumeQueue(ctx context.Context, l job.Lane, p job.Priority) error
	PauseWhole(ctx context.Context, name string, asked answer.PauseRequest, by string) (answer.Pause, error)
	ResumeWhole(ctx context.Context, name string) error
	PauseType(ctx context.Context, kind string, asked answer.PauseRequest, by string) (answer.Pause, error)
	ResumeType(ctx context.Context, kind string) error
	Pauses(ctx context.Context) (answer.PauseList, error)

	Workers(ctx context.Context, bad bool) (answer.WorkerDetails, error)
	GoneWorkers(ctx context.Context, since time.Time) (answer.GoneWorkers, error)
	Profiles(ctx context.Context) (answer.ProfileList, error)
	Profile(ctx context.Context, id job.ID, part string) (blob.Reader, error)
	Tell(ctx context.Context, worker, action string, m answer.WorkerMessage, by string) (answer.Operation,
		error)
}

// steering are the routes that change things, and tell how that goes.
func (h *Operate) steering() []edge.Route {
	at := func(method, path, name, summary string, params []*huma.Param, body *huma.RequestBody,
		status int) huma.Operation {
		op := edge.At(method, path, name, summary)
		op.Parameters, op.RequestBody, op.DefaultStatus = params, body, status
		return op
	}
	queue, kind, one := httpapi.PathQueues+"/{lane}/{priority}/", httpapi.PathTypes+"/{type}/",
		httpapi.PathOperations+"/{id}"
	whole := httpapi.PathQueues + "/{queue}/"
	begin := at("POST", httpapi.PathBulk, "bulk",
		"Do the same to many jobs: retry, cancel, delete or change them, or resend their callbacks", nil,
		edge.JSONBody[answer.BulkRequest](), http.StatusAccepted)
	begin.Description =
		"With dry_run it is only told how many that would be, with the time by which they were there: " +
			"send that back as before, and the number as max, so that no more are moved than were told."
	begin.Responses = map[string]*huma.Response{"200": {Description: "What a dry run found."}}
	pause, why := edge.JSONBody[answer.PauseRequest](), edge.JSONBody[answer.WorkerMessage]()
	look, act := access.Numbers, access.Operate
	return []edge.Route{
		{Op: begin, Access: edge.Bearer, Scope: act, Whole: true, JSON: true, Handle: h.bulk,
			Body: answer.Operation{}},
		{Op: at("GET", httpapi.PathOperations, "list-operations", "The newest operations",
			limitParams.Describe(), nil, 0),
			Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.operations,
			Body: answer.OperationList{}},
		{Op: at("GET", one, "get-operation", "How far an operation is", operationParams.Describe(), nil, 0),
			Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.operation,
			Body: answer.Operation{}},
		{Op: at("POST", one+"/cancel", "cancel-operation", "End an operation; what it has done stays",
			oneOperation.Describe(), nil, 0),
			Access: edge.Bearer, Scope: act, Whole: true, Handle: h.cancelOperation,
			Body: answer.Operation{}},

		{Op: at("POST", queue+"pause", "pause-queue", "Start no more jobs of a queue", oneQueue.Describe(),
			pause, 0),
			Access: edge.Bearer, Scope: act, Wide: true, JSON: true,
			Handle: pausing(oneQueue, h.pauseQueue),
			Body:   answer.Pause{}},
		{Op: at("POST", queue+"resume", "resume-queue", "Start jobs of a queue again", oneQueue.Describe(), nil,
			http.StatusNoContent), Access: edge.Bearer, Scope: act, Wide: true,
			Handle: resuming(oneQueue, h.resumeQueue)},
		{Op: at("POST", whole+"pause", "pause-whole-queue",
			"Start no more jobs of a queue, in whichever lane, of whichever priority", wholeQueue.Describe(), pause, 0),
			Access: edge.Bearer, Scope: act, Wide: true, JSON: true,
			Handle: pausing(wholeQueue, h.desk.PauseWhole),
			Body:   answer.Pause{}},
		{Op: at("POST", whole+"resume", "resume-whole-queue", "Start jobs of a whole queue again",
			wholeQueue.Describe(), nil, http.StatusNoContent), Access: edge.Bearer, Scope: act, Wide: true,
			Handle: resuming(wholeQueue, h.desk.ResumeWhole)},
		{Op: at("POST", kind+"pause", "pause-type", "Start no more jobs of a type", oneType.Describe(), pause, 0),
			Access: edge.Bearer, Scope: act, Wide: true, JSON: true,
			Handle: pausing(oneType, h.desk.PauseType),
			Body:   answer.Pause{}},
		{Op: at("POST", kind+"resume", "resume-type", "Start jobs of a type again", oneType.Describe(), nil,
			http.StatusNoContent), Access: edge.Bearer, Scope: act, Wide: true,
			Handle: resuming(oneType, h.desk.ResumeType)},
		{Op: at("GET", httpapi.PathPauses, "list-pauses", "What is paused", nil, nil, 0), Access: edge.Bearer,
			Scope: look, Wide: true, Handle: h.pauses, Body: answer.PauseList{}},

		{Op: at("GET", httpapi.PathWorkers, "list-workers", "The workers that are alive, and what they run",
			workerParams.Describe(), nil, 0), Access: edge.Bearer, Scope: look, Wide: true, Handle: h.workers,
			Body: answer.WorkerDetails{}},
		{Op: at("GET", httpapi.PathWorkers+"/gone", "gone-workers", "Workers that ended, in the last 14 days",
			goneParams.Describe(), nil, 0), Access: edge.Bearer, Scope: look, Wide: true, Handle: h.gone,
			Body: answer.GoneWorkers{}},
		{Op: at("GET", httpapi.PathProfiles, "list-profiles",
			"Profiles of processes whose memory went short, the newest first", nil, nil, 0),
			Access: edge.Bearer, Scope: look, Wide: true, Handle: h.profiles, Body: answer.ProfileList{}},
		{Op: profileOperation(), Access: edge.Bearer, Scope: access.Admin, Wide: true, Handle: h.profile},
		{Op: at("POST", httpapi.PathWorkers+"/{id}/{message}", "tell-worker",
			"Tell a worker, or for the id all each, to drain, resume, stop, or to log at another level",
			messageParams.Describe(), why, http.StatusAccepted), Access: edge.Bearer, Scope: act, Wide: true,
			JSON:   true,
			Handle: h.tell, Body: answer.Operation{}},
	}
}

func (h *Operate) bulk(a *edge.Answer, r *http.Request) error {
	var b answer.BulkRequest
	if err := errors.Join(none.Read(r, nil), edge.OptionalJSON(a, &b)); err != nil {
		return err
	}
	if a.Who.Types != nil && b.Action == operate.Retry &&
		(b.Filter.Type == "" || !a.Who.Submits(b.Filter.Type)) {
		return httpapi.NewError(httpapi.Forbidden,
			"this key submits some types only: the filter must name one of them")
	}
	leave, err := h.scans.enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	if b.DryRun {
		found, err := h.desk.DryRun(r.Context(), a.View(), b)
		if err != nil {
			return err
		}
		edge.WriteJSON(a, http.StatusOK, found)
		return nil
	}
	o, err := h.desk.Bulk(r.Context(), a.View(), b, a.Who.Name())
	return begun(a, o, err)
}

// begun answers with an operation that was begun.
func begun(a *edge.Answer, o answer.Operation, err error) error {
	if err != nil {
		return err
	}
	a.Header().Set("Location", httpapi.PathOperations+"/"+string(o.ID))
	edge.WriteJSON(a, http.StatusAccepted, o)
	return nil
}

const defaultOperations = 50

var limitParams = edge.Params[int64]{edge.Whole(edge.Param[int64]{Name: "limit", In: edge.Query,
	Doc: "how many; 50 by default"}, 1, 200, func(to *int64, n int64) { *to = n })}

func (h *Operate) operations(a *edge.Answer, r *http.Request) error {
	limit := int64(defaultOperations)
	if err := limitParams.Read(r, &limit); err != nil {
		return err
	}
	list, err := h.desk.Operations(r.Context(), a.View(), int(limit))
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// A watching is what is asked of one operation.
type watching struct {
	id    job.ID
	wish  wish
	after int64
}

func operationID[T any](set func(to *T, id job.ID)) edge.Param[T] {
	p := idParam(set)
	p.Doc = "the operation's id"
	return p
}

var (
	oneOperation    = edge.Params[job.ID]{operationID(func(to *job.ID, id job.ID) { *to = id })}
	operationParams = edge.Params[watching]{
		operationID(func(to *watching, id job.ID) { to.id = id }),
		waitParam("wait this long for it to move on, at most 25s",
			func(w *watching) *wish { return &w.wish }),
		edge.Whole(edge.Param[watching]{Name: "after", In: edge.Query,
			Doc: "with wait: the revision that the client knows"}, 0, 0,
			func(to *watching, n int64) { to.after = n }),
	}
)

const longestWait = 25 * time.Second

func (h *Operate) operation(a *edge.Answer, r *http.Request) error {
	var w watching
	if err := operationParams.Read(r, &w); err != nil {
		return err
	}
	o, err := h.desk.WaitOperation(r.Context(), a.View(), w.id, w.after, min(w.wish.wait, longestWait))
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, o)
	return nil
}

func (h *Operate) cancelOperation(a *edge.Answer, r *http.Request) error {
	var id job.ID
	if err := oneOperation.Read(r, &id); err != nil {
		return err
	}
	o, err := h.desk.CancelOperation(r.Context(), a.View(), id)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, o)
	return nil
}

var oneQueue = edge.Params[job.Place]{
	{Name: "lane", In: edge.Path, Doc: "io or cpu", Schema: plainText(),
		Read: func(to *job.Place, text string) error { to.Lane = job.Lane(text); return nil }},
	{Name: "priority", In: edge.Path, Doc: job.PriorityNames(), Schema: plainText(),
		Read: func(to *job.Place, text string) error { to.Priority = job.Priority(text); return nil }},
}

var wholeQueue = edge.Params[string]{{Name: "queue", In: edge.Path, Doc: "the queue, as mailers", Schema: plainText(),
	Read: func(to *string, text string) error { *to = text; return nil }}}

var oneType = edge.Params[string]{{Name: "type", In: edge.Path, Doc: "the type", Schema: typeName(),
	Read: func(to *string, text string) error { *to = text; return nil }}}

func (h *Operate) pauseQueue(ctx context.Context, at job.Place, asked answer.PauseRequest,
	by string) (answer.Pause, error) {
	return h.desk.PauseQueue(ctx, at.Lane, at.Priority, asked, by)
}

func (h *Operate) resumeQueue(ctx context.Context, at job.Place) error {
	return h.desk.ResumeQueue(ctx, at.Lane, at.Priority)
}

type handle = func(*edge.Answer, *http.Request) error

// pausing serves the pause of what parameters name.
func pausing[T any](params edge.Params[T],
	pause func(context.Context, T, answer.PauseRequest, string) (answer.Pause, error)) handle {
	return func(a *edge.Answer, r *http.Request) error {
		var what T
		var asked answer.PauseRequest
		if err := errors.Join(params.Read(r, &what), edge.OptionalJSON(a, &asked)); err != nil {
			return err
		}
		p, err := pause(r.Context(), what, asked, a.Who.Name())
		if err == nil {
			edge.WriteJSON(a, http.StatusOK, p)
		}
		return err
	}
}

// resuming serves the end of such a pause.
func resuming[T any](params edge.Params[T], resume func(context.Context, T) error) handle {
	return func(a *edge.Answer, r *http.Request) error {
		var what T
		if err := params.Read(r, &what); err != nil {
			return err
		}
		if err := resume(r.Context(), what); err != nil {
			return err
		}
		a.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (h *Operate) pauses(a *edge.Answer, r *http.Request) error {
	if err := none.Read(r, nil); err != nil {
		return err
	}
	list, err := h.desk.Pauses(r.Context())
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

var workerParams = edge.Params[bool]{edge.OneOf(edge.Param[bool]{Name: "health", In: edge.Query,
	Doc: "bad: only those of which something is wrong"}, []string{"bad", "any"},
	func(to *bool, text string) { *to = text == "bad" })}

func (h *Operate) workers(a *edge.Answer, r *http.Request) error {
	bad := false
	if err := workerParams.Read(r, &bad); err != nil {
		return err
	}
	list, err := h.desk.Workers(r.Context(), bad)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

var goneParams = edge.Params[time.Time]{{Name: "since", In: edge.Query, Schema: plainText(),
	Doc: "only those that ended since: a time, or a duration ago, as 15m",
	Read: func(to *time.Time, text string) (err error) {
		*to, err = operate.ParseMoment(text, time.Now())
		return err
	}}}

func (h *Operate) gone(a *edge.Answer, r *http.Request) error {
	var since time.Time
	if err := goneParams.Read(r, &since); err != nil {
		return err
	}
	list, err := h.desk.GoneWorkers(r.Context(), since)
	if err != nil {
		return err
	}
	edge.WriteJSON(a, http.StatusOK, list)
	return nil
}

// A telling is a message to workers.
type telling struct{ worker, message string }

var messageParams = edge.Params[telling]{
	{Name: "id", In: edge.Path, Doc: "the worker's id, or all", Schema: plainText(),
		Read: func(to *telling, text string) error { to.worker = text; return nil }},
	{Name: "message", In: edge.Path, Doc: "drain, resume, stop or log-level", Schema: plainText(),
		Read: func(to *telling, text string) error { to.message = text; return nil }},
}

func (h *Operate) tell(a *edge.Answer, r *http.Request) error {
	var t telling
	var m answer.WorkerMessage
	if err := errors.Join(messageParams.Read(r, &t), edge.OptionalJSON(a, &m)); err != nil {
		return err
	}
	o, err := h.desk.Tell(r.Context(), t.worker, t.message, m, a.Who.Name())
	return begun(a, o, err)
}
