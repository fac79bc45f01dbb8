package work

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

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

const anyPayload = `{"type":"object","additionalProperties":true}`

func typeParam() []*huma.Param { return []*huma.Param{textParam("type", edge.Path, "the type's name")} }

func typeOf(r *http.Request) (string, error) {
	typ := r.PathValue("type")
	if !tasks.ValidName(typ) {
		return "", httpapi.InvalidAt("/type", "expected the name of a type: two or more lower-case words joined by dots")
	}
	return typ, none.Read(r, nil)
}

func (b typeBody) info(typ string) (tasks.Info, error) {
	var w wrong
	w.if_(b.Served != "claims", "/served", "expected claims")
	info := tasks.Info{Type: typ, Doc: b.Doc, Lane: job.LaneClaim,
		TimeoutMS:   cmp.Or(w.duration(b.Timeout, "/timeout"), tasks.DefaultTimeout).Milliseconds(),
		MaxAttempts: cmp.Or(b.MaxAttempts, tasks.DefaultMaxAttempts),
		Input:       cmp.Or(b.Input, tasks.InputOptional),
		RetentionMS: w.duration(b.Retention, "/retention").Milliseconds(), DeleteInput: b.DeleteInput,
		Schema: b.Schema}
	if len(info.Schema) == 0 {
		info.Schema = json.RawMessage(anyPayload)
	}
	w.if_(len(b.Doc) > 300, "/doc", "may have 300 bytes")
	if err := w.err(); err != nil {
		return info, err
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

func (h Handler) putType(a *edge.Answer, r *http.Request) error {
	typ, err := typeOf(r)
	if err != nil {
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
	edge.WriteJSON(a, http.StatusOK, httpapi.TypeInfo{Type: info.Type, Doc: info.Doc, Lane: info.Lane,
		TimeoutMS: info.TimeoutMS, MaxAttempts: info.MaxAttempts, RetentionMS: info.RetentionMS,
		DeleteInput: info.DeleteInput, Input: string(info.Input), Schema: info.Schema})
	return nil
}

func (h Handler) removeType(a *edge.Answer, r *http.Request) error {
	typ, err := typeOf(r)
	if err != nil {
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
