package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/schedules"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Scheduler keeps schedules. schedules.Room implements it.
type Scheduler interface {
	List(ctx context.Context, by schedules.Asker, source string) ([]answer.Schedule, error)
	Get(ctx context.Context, by schedules.Asker, name string) (answer.Schedule, error)
	Put(ctx context.Context, by schedules.Asker, name string, text []byte) (s answer.Schedule, created bool,
		err error)
	Apply(ctx context.Context, by schedules.Asker, text []byte) (answer.ScheduleApplied, error)
	Delete(ctx context.Context, by schedules.Asker, name string) error
	Pause(ctx context.Context, by schedules.Asker, name, why string) (answer.Schedule, error)
	Resume(ctx context.Context, by schedules.Asker, name string) (answer.Schedule, error)
	Trigger(ctx context.Context, by schedules.Asker, name, key string) (snap job.Snapshot, created bool,
		err error)
}

// Schedules serves what makes jobs by the clock.
type Schedules struct {
	Desk Scheduler // nil = nothing of it is served
	Show func(job.Snapshot) job.Snapshot
}

// A schedulePause is the body of a pause.
type schedulePause struct {
	Why string `json:"why,omitempty"`
}

// Routes are what it serves.
func (h Schedules) Routes() []edge.Route {
	if h.Desk == nil {
		return nil
	}
	const all, one = httpapi.PathSchedules, httpapi.PathSchedules + "/{name}"
	named := oneSchedule.Describe()
	list := edge.At("GET", all, "list-schedules", "List the schedules, by name")
	list.Parameters = sourceParams.Describe()
	apply := edge.At("POST", all, "apply-schedules",
		"Make the schedules of a source what a list says, and remove or mark those that it has no more")
	apply.RequestBody = edge.JSONBody[answer.ScheduleSource]()
	get := edge.At("GET", one, "get-schedule", "One schedule, with its next ticks and its newest jobs")
	get.Parameters = named
	put := edge.At("PUT", one, "put-schedule",
		"Make or change a schedule; one that says the same stays as it is")
	put.Parameters, put.RequestBody = named, edge.JSONBody[answer.ScheduleSpec]()
	put.Responses = map[string]*huma.Response{"201": {Description: "There was none of this name."}}
	remove := edge.At("DELETE", one, "delete-schedule", "Remove a schedule; its jobs stay")
	remove.Parameters, remove.DefaultStatus = named, http.StatusNoContent
	pause := edge.At("POST", one+"/pause", "pause-schedule", "Make no ticks until resume")
	pause.Parameters, pause.RequestBody = named, edge.JSONBody[schedulePause]()
	resume := edge.At("POST", one+"/resume", "resume-schedule",
		"Make ticks again; those that passed meanwhile are not made up for")
	resume.Parameters = named
	trigger := edge.At("POST", one+"/trigger", "trigger-schedule",
		"Make a job of a schedule now, beside its ticks")
	trigger.Parameters, trigger.DefaultStatus = triggerParams.Describe(), http.StatusCreated
	trigger.Responses = map[string]*huma.Response{"200": {Description: "The key has made this job before."}}
	route := func(op huma.Operation, scope access.Scope, handle func(*edge.Answer, *http.Request) error,
		body any) edge.Route {
		return edge.Route{Op: op, Access: edge.Bearer, Scope: scope, Whole: true, JSON: op.RequestBody != nil,
			Handle: handle, Body: body}
	}
	return []edge.Route{
		route(list, access.JobsRead, h.list, answer.ScheduleList{}),
		route(apply, access.Operate, h.apply, answer.ScheduleApplied{}),
		route(get, access.JobsRead, h.get, answer.Schedule{}),
		route(put, access.Operate, h.put, answer.Schedule{}),
		route(remove, access.Operate, h.remove, nil),
		route(pause, access.Operate, h.pause, answer.Schedule{}),
		route(resume, access.Operate, h.resume, answer.Schedule{}),
		route(trigger, access.Operate, h.trigger, job.Snapshot{}),
	}
}

// A wantedSchedule is what a request names.
type wantedSchedule struct{ name, key, source string }

var nameParam = edge.Param[wantedSchedule]{Name: "name", In: edge.Path,
	Doc: "the schedule's name: letters, digits, " +
		"dots, dashes and underscores", Schema: plainText(),
	Read: func(to *wantedSchedule, text string) error { to.name = text; return nil }}

var (
	oneSchedule  = edge.Params[wantedSchedule]{nameParam}
	sourceParams = edge.Params[wantedSchedule]{{Name: "source", In: edge.Query, Schema: plainText(),
		Doc: "only those that came with this source",
		Read: func(to *wantedSchedule,
			text string) error {
			to.source = text
			return httpapi.CheckName(text)
		}}}
	triggerParams = edge.Params[wantedSchedule]{nameParam, keyParam(
		"a repeat with the same key returns the first job",
		func(to *wantedSchedule, key string) { to.key = key })}
)

// about says who asks, and for which schedule.
func about(a *edge.Answer, r *http.Request, params edge.Params[wantedSchedule]) (schedules.Asker,
	wantedSchedule,
	error) {
	var w wantedSchedule
	err := params.Read(r, &w)
	return schedules.Asker{Who: a.Who, View: a.View(), Tenant: a.Tenant()}, w, err
}

func (h Schedules) list(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, sourceParams)
	if err != nil {
		return err
	}
	list, err := h.Desk.List(r.Context(), by, w.source)
	if err == nil {
		edge.WriteJSON(a, http.StatusOK, answer.ScheduleList{Schedules: list})
	}
	return err
}

func (h Schedules) apply(a *edge.Answer, r *http.Request) error {
	by, _, err := about(a, r, nil)
	if err != nil {
		return err
	}
	done, err := h.Desk.Apply(r.Context(), by, a.JSON)
	if err == nil {
		edge.WriteJSON(a, http.StatusOK, done)
	}
	return err
}

func (h Schedules) get(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, oneSchedule)
	if err != nil {
		return err
	}
	return shown(a)(h.Desk.Get(r.Context(), by, w.name))
}

func shown(a *edge.Answer) func(answer.Schedule, error) error {
	return func(s answer.Schedule, err error) error {
		if err == nil {
			edge.WriteJSON(a, http.StatusOK, s)
		}
		return err
	}
}

func (h Schedules) put(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, oneSchedule)
	if err != nil {
		return err
	}
	s, created, err := h.Desk.Put(r.Context(), by, w.name, a.JSON)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		a.Header().Set("Location", httpapi.SchedulePath(s.Name))
	}
	edge.WriteJSON(a, status, s)
	return nil
}

func (h Schedules) remove(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, oneSchedule)
	if err != nil {
		return err
	}
	if err := h.Desk.Delete(r.Context(), by, w.name); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}

func (h Schedules) pause(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, oneSchedule)
	var body schedulePause
	if err = errors.Join(err, edge.OptionalJSON(a, &body)); err != nil {
		return err
	}
	return shown(a)(h.Desk.Pause(r.Context(), by, w.name, body.Why))
}

func (h Schedules) resume(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, oneSchedule)
	if err != nil {
		return err
	}
	return shown(a)(h.Desk.Resume(r.Context(), by, w.name))
}

func (h Schedules) trigger(a *edge.Answer, r *http.Request) error {
	by, w, err := about(a, r, triggerParams)
	if err != nil {
		return err
	}
	snap, created, err := h.Desk.Trigger(r.Context(), by, w.name, w.key)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	a.Header().Set("Location", httpapi.JobPath(snap.ID))
	edge.WriteJSON(a, status, h.Show(snap))
	return nil
}
