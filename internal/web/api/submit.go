package api

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/internal/web/edge"
	"longshore/job"
	"longshore/tasks"
)

// Submissions takes single jobs in.
type Submissions struct {
	Submitter Submitter
	Records   Records
	Catalog   *tasks.Catalog
	Uploads   *edge.Uploads
	Waiter    Waiter
	Show      Show
}

// Routes are what it serves. POST on /v1/jobs/{id} takes a type's name for id: to
// OpenAPI, and so to us, a path has one name for its parameter.
func (h Submissions) Routes() []edge.Route {
	return []edge.Route{
		{Op: submitOperation(), Access: edge.Bearer, Scope: access.JobsSubmit, JSON: true, Handle: h.submit,
			Headers: acceptedHeaders},
		{Op: submitTypeOperation(), Access: edge.Bearer, Scope: access.JobsSubmit, Handle: h.submitType,
			Headers: acceptedHeaders},
		{Op: retryOperation(), Access: edge.Bearer, Scope: access.JobsCancel, Job: true, Whole: true,
			JSON: true, Handle: h.retry, Body: job.Snapshot{}, Headers: acceptedHeaders},
		{Op: changeOperation(), Access: edge.Bearer, Scope: access.JobsCancel, Job: true, Whole: true,
			JSON: true, Handle: h.change, Body: job.Snapshot{}, Headers: map[string]string{"ETag": docETag}},
	}
}

// submitParams are those of a submission beside its controls.
var submitParams = edge.Params[wish]{
	waitParam("wait this long for the job's end, as 25s", func(w *wish) *wish { return w }),
}

// submit takes a job that is all in its JSON.
func (h Submissions) submit(a *edge.Answer, r *http.Request) error {
	var w wish
	if err := submitParams.Read(r, &w); err != nil {
		return err
	}
	var req submit.Request
	if err := req.ReadHeader(r.Header); err != nil {
		return err
	}
	if err := req.ReadBody(a.JSON); err != nil {
		return err
	}
	if err := req.Permit(a.Who, a.Tenant()); err != nil {
		return err
	}
	snap, created, err := h.Submitter.Submit(r.Context(), req)
	if err != nil {
		return err
	}
	return h.waitForEnd(a, r, snap, created, w).write(a)
}

// submitType takes a job whose input is the body, byte for byte, and whose
// parameters are in the query. A type without input takes its payload from the
// body instead, as JSON.
func (h Submissions) submitType(a *edge.Answer, r *http.Request) error {
	req := submit.Request{Type: r.PathValue("id"), InputSize: -1}
	if !a.Who.Submits(req.Type) {
		return req.Permit(a.Who, a.Tenant())
	}
	info, ok := h.Catalog.Lookup(req.Type)
	if !ok {
		return httpapi.InvalidAt("/type", "unknown type; "+httpapi.PathTypes+" lists those there are")
	}
	if err := req.ReadHeader(r.Header); err != nil {
		return err
	}
	uploaded := func() {}
	if info.Input != tasks.NoInput {
		end, err := h.Uploads.Begin(a, r, r.ContentLength)
		if err != nil {
			return err
		}
		defer end()
		uploaded = end
	}
	query := r.URL.Query()
	if err := h.takeBody(a, r, info, query, &req); err != nil {
		return err
	}
	w, err := h.takeQuery(query, &req)
	if err != nil {
		return err
	}
	if err := req.Permit(a.Who, a.Tenant()); err != nil {
		return err
	}
	if a.Body != nil {
		req.Interrupt = a.Body.Interrupt
	}
	snap, created, err := h.Submitter.Submit(r.Context(), req)
	if err != nil {
		return inputError(err, req, a.Body)
	}
	uploaded() // the wait that may follow is none
	return h.waitForEnd(a, r, snap, created, w).write(a)
}

// inputError says what only we know, if the submitter's error comes from reading.
func inputError(err error, req submit.Request, body *edge.Body) error {
	if e := body.Refusal(); e != nil {
		return e
	}
	if form, ok := req.Input.(*formFile); ok && errors.Is(form.ended, errAfterFile) {
		return httpapi.InvalidAt("/body", errAfterFile.Error()+": expected parameters first, then one file")
	}
	return inQuery(err)
}

// takeBody finds out what the body is: the input, a form with parameters and
// the input, or a payload.
func (h Submissions) takeBody(
	a *edge.Answer, r *http.Request, info tasks.Info, query url.Values, req *submit.Request,
) error {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if bodyIsPayload(info, kind, r) {
		text, err := edge.ReadJSON(r)
		if err != nil {
			return err
		}
		if query.Has("filename") && !json.Valid(text) {
			return httpapi.InvalidAt("/body", noFile)
		}
		req.Payload = text
		return nil
	}
	if a.Body != nil && h.Uploads.Max > 0 {
		a.Body.Limit(h.Uploads.Max)
	}
	if kind == "multipart/form-data" {
		return takeForm(r, params["boundary"], query, req)
	}
	req.Input, req.InputSize, req.ContentType = r.Body, r.ContentLength, r.Header.Get("Content-Type")
	return nil
}

// bodyIsPayload reports whether a body is no input: of a type that takes none, and,
// where it may be one or not, JSON or nothing at all.
func bodyIsPayload(info tasks.Info, kind string, r *http.Request) bool {
	switch info.Input {
	case tasks.NoInput:
		return kind != "multipart/form-data"
	case tasks.InputOptional:
		return kind == httpapi.TypeJSON || r.ContentLength == 0
	}
	return false
}

// noFile is said to who sends a file to a type that works on none.
const noFile = "this type takes no file: a body is its payload, as JSON"

// takeQuery takes the control parameters out of the query and makes a payload
// of what is left.
func (h Submissions) takeQuery(query url.Values, req *submit.Request) (w wish, err error) {
	bodyIsPayload := len(req.Payload) > 0
	p := httpapi.Params{Values: query}
	p.Take("wait", w.read)
	req.TakeParameters(&p)
	if err = p.Err(); err != nil || len(query) == 0 {
		return w, err
	}
	if len(req.Payload) > 0 {
		name := ""
		for name = range query {
			break
		}
		if bodyIsPayload {
			return w, httpapi.InvalidAt("?"+name, noFile+", so its fields can't be parameters too")
		}
		return w, httpapi.InvalidAt("?"+name,
			"the payload is given whole: its fields can't be given one by one too")
	}
	payload, err := h.Catalog.FromQuery(req.Type, query)
	var problems tasks.Problems
	if errors.As(err, &problems) {
		wrong := make([]httpapi.Pointer, len(problems))
		for i, one := range problems {
			wrong[i] = httpapi.Pointer{Pointer: "?" + strings.TrimPrefix(one.Pointer, "/"),
				Detail: one.Detail}
		}
		return w, httpapi.NotValid(wrong...)
	}
	req.Payload = payload
	return w, err
}

// inQuery moves the submitter's pointers to where the client wrote what is wrong.
func inQuery(err error) error {
	e := httpapi.AsError(err)
	for i, p := range e.Errors {
		switch name, inPayload := strings.CutPrefix(p.Pointer, "/payload/"); {
		case inPayload:
			e.Errors[i].Pointer = "?" + name
		case strings.HasPrefix(p.Pointer, "/headers/"):
		case p.Pointer == "/type", p.Pointer == "/input", p.Pointer == "/payload", p.Pointer == "":
		default:
			e.Errors[i].Pointer = "?" + strings.TrimPrefix(p.Pointer, "/")
		}
	}
	return e
}
