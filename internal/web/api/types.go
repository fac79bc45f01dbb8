package api

import (
	"cmp"
	"encoding/json"
	"net/http"
	"time"

	"longshore/internal/access"
	"longshore/internal/claims"
	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
	"longshore/tasks"
)

// typeBody is a type that is to be claimed.
type typeBody struct {
	Served      string          `json:"served" enum:"claims" doc:"how: claims, over HTTP"`
	Doc         string          `json:"doc,omitempty" maxLength:"300"`
	Schema      json.RawMessage `json:"schema,omitempty" doc:"JSON Schema of the payload; none = any object"`
	Input       tasks.InputRule `json:"input,omitempty" enum:"none,optional,required" default:"optional"`
	Timeout     string          `json:"timeout,omitempty" doc:"of one attempt, as 10m; none = 30m"`
	MaxAttempts int             `json:"max_attempts,omitempty" doc:"none = 3"`
	Retention   string          `json:"retention,omitempty" doc:"of its jobs; none = the installation's"`
	DeleteInput string          `json:"delete_input,omitempty" enum:"on_success,at_end" doc:"when an input goes before its job"`
	// ForbidOverlap is what nobody can promise whom nobody can kill.
	ForbidOverlap bool `json:"forbid_overlap,omitempty"`
}

// ClaimedTypes serves what types are claimed over HTTP. They are the installation's.
type ClaimedTypes struct {
	Types   *claims.Types // nil = nothing of it is served
	Catalog *tasks.Catalog
}

// Routes are what it serves.
func (h ClaimedTypes) Routes() []edge.Route {
	if h.Types == nil {
		return nil
	}
	const one = httpapi.PathTypes + "/{type}"
	put := edge.At("PUT", one, "put-type", "Make a type one that is claimed over HTTP")
	put.Parameters, put.RequestBody = oneName.Describe(), edge.JSONBody[typeBody]()
	remove := edge.At("DELETE", one, "remove-type", "Take no more jobs of a type that is claimed")
	remove.Parameters, remove.DefaultStatus = oneName.Describe(), http.StatusNoContent
	routes := []edge.Route{{Op: put, JSON: true, Handle: h.put, Body: httpapi.TypeInfo{}},
		{Op: remove, Handle: h.remove}}
	for i := range routes {
		routes[i].Access, routes[i].Scope, routes[i].Wide = edge.Bearer, access.FunctionsDeploy, true
	}
	return routes
}

func (b typeBody) info(typ string) (tasks.Info, error) {
	var wrong []httpapi.Pointer
	bad := func(pointer, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
	}
	duration := func(text, pointer string) time.Duration {
		if text == "" {
			return 0
		}
		d, err := httpapi.ParseDuration(text)
		if err != nil || d < 0 {
			bad(pointer, httpapi.ErrDuration.Error())
		}
		return d
	}
	if b.Served != "claims" {
		bad("/served", "expected claims")
	}
	if len(b.Doc) > 300 {
		bad("/doc", "may have 300 bytes")
	}
	info := tasks.Info{Type: typ, Doc: b.Doc, Lane: job.LaneClaim,
		TimeoutMS:   cmp.Or(duration(b.Timeout, "/timeout"), tasks.DefaultTimeout).Milliseconds(),
		MaxAttempts: cmp.Or(b.MaxAttempts, tasks.DefaultMaxAttempts),
		Input:       cmp.Or(b.Input, tasks.InputOptional),
		RetentionMS: duration(b.Retention, "/retention").Milliseconds(), DeleteInput: b.DeleteInput,
		Schema: b.Schema}
	if len(info.Schema) == 0 {
		info.Schema = json.RawMessage(tasks.AnyPayload)
	}
	if wrong != nil {
		return info, httpapi.NotValid(wrong...)
	}
	if b.ForbidOverlap {
		return info, httpapi.NewError(httpapi.Conflict,
			"two attempts may overlap where nobody can kill the program that runs one: forbid_overlap can't be promised")
	}
	if _, err := tasks.NewCatalog(info); err != nil {
		return info, httpapi.InvalidAt("/", err.Error())
	}
	return info, nil
}

func (h ClaimedTypes) put(a *edge.Answer, r *http.Request) error {
	var typ string
	if err := oneName.Read(r, &typ); err != nil {
		return err
	}
	var body typeBody
	if err := edge.DecodeJSON(a.JSON, &body); err != nil {
		return err
	}
	info, err := body.info(typ)
	if err != nil {
		return err
	}
	if known, ok := h.Catalog.Lookup(typ); ok && !known.Published() {
		return httpapi.NewError(httpapi.Conflict, "this type is built in: what is claimed needs a name of its own")
	}
	if err := h.Types.Put(r.Context(), info); err != nil {
		return err
	}
	if err := h.Catalog.Add(info); err != nil { // known here at once: whoever has put it submits a job next
		return err
	}
	edge.WriteJSON(a, http.StatusOK, typeInfo(info))
	return nil
}

func (h ClaimedTypes) remove(a *edge.Answer, r *http.Request) error {
	var typ string
	if err := oneName.Read(r, &typ); err != nil {
		return err
	}
	there, err := h.Types.Remove(r.Context(), typ)
	if err != nil {
		return err
	}
	if !there {
		return httpapi.NewError(httpapi.NotFound, "no such type is claimed")
	}
	a.WriteHeader(http.StatusNoContent)
	return nil
}
