package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/httpapi"
	"longshore/internal/limits"
	"longshore/internal/web/edge"
)

// Limiter keeps limits. limits.Room implements it.
type Limiter interface {
	List(ctx context.Context, by limits.Asker) ([]answer.Limit, error)
	Get(ctx context.Context, by limits.Asker, name string) (answer.Limit, error)
	Put(ctx context.Context, by limits.Asker, name string, text []byte) (l answer.Limit, created bool,
		err error)
	Delete(ctx context.Context, by limits.Asker, name string) error
}

// Limits serves what bounds the jobs that wait.
type Limits struct {
	Desk Limiter // nil = nothing of it is served
	Log  *slog.Logger
}

// Routes are what it serves.
func (h Limits) Routes() []edge.Route {
	if h.Desk == nil {
		return nil
	}
	const all, one = httpapi.PathLimits, httpapi.PathLimits + "/{name}"
	list := edge.At("GET", all, "list-limits", "List the limits, and how much waits of what they are for")
	get := edge.At("GET", one, "get-limit", "One limit, and how much waits of what it is for")
	put := edge.At("PUT", one, "put-limit",
		"Make or change a limit, which holds at once; one that says the same stays as it is")
	put.RequestBody = edge.JSONBody[answer.LimitSpec]()
	put.Responses = map[string]*huma.Response{"201": {Description: "There was none of this name."}}
	remove := edge.At("DELETE", one, "delete-limit", "Remove a limit")
	get.Parameters, put.Parameters, remove.Parameters = oneLimit.Describe(), oneLimit.Describe(),
		oneLimit.Describe()
	remove.DefaultStatus = http.StatusNoContent
	return []edge.Route{
		{Op: list, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.list,
			Body: answer.LimitList{}},
		{Op: get, Access: edge.Bearer, Scope: access.JobsRead, Whole: true, Handle: h.get,
			Body: answer.Limit{}},
		{Op: put, Access: edge.Bearer, Scope: access.Operate, Whole: true, JSON: true, Handle: h.put,
			Body: answer.Limit{}},
		{Op: remove, Access: edge.Bearer, Scope: access.Operate, Whole: true, Handle: h.remove},
	}
}

var oneLimit = edge.Params[string]{{Name: "name", In: edge.Path, Schema: plainText(),
	Doc:  "the limit's name: letters, digits, dots, dashes and underscores",
	Read: func(to *string, text string) error { *to = text; return nil }}}

// about says who asks, and for which limit.
func (h Limits) about(a *edge.Answer, r *http.Request, params edge.Params[string]) (limits.Asker, string,
	error) {
	name := ""
	err := params.Read(r, &name)
	by := limits.Asker{Actor: store.Actor{Who: a.Who, Address: a.ClientText(), Log: h.Log}, View: a.View()}
	return by, name, err
}

func (h Limits) list(a *edge.Answer, r *http.Request) error {
	by, _, err := h.about(a, r, nil)
	if err != nil {
		return err
	}
	list, err := h.Desk.List(r.Context(), by)
	if err == nil {
		edge.WriteJSON(a, http.StatusOK, answer.LimitList{Limits: list})
	}
	return err
}

func (h Limits) get(a *edge.Answer, r *http.Request) error {
	by, name, err := h.about(a, r, oneLimit)
	if err != nil {
		return err
	}
	l, err := h.Desk.Get(r.Context(), by, name)
	if err == nil {
		edge.WriteJSON(a, http.StatusOK, l)
	}
	return err
}

func (h Limits) put(a *edge.Answer, r *http.Request) error {
	by, name, err := h.about(a, r, oneLimit)
	if err != nil {
		return err
	}
	l, created, err := h.Desk.Put(r.Context(), by, name, a.JSON)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		a.Header().Set("Location", httpapi.LimitPath(l.Name))
	}
	edge.WriteJSON(a, status, l)
	return nil
}

func (h Limits) remove(a *edge.Answer, r *http.Request) error {
	by, name, err := h.about(a, r, oneLimit)
	if err != nil {
		return err
	}
	if err := h.Desk.Delete(r.Context(), by, name); err != nil {
		return err
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}
