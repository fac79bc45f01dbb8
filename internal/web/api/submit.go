package api

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

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
		{Op: submitOperation(), Access: edge.Bearer, JSON: true, Handle: edge.Typed(h.submit), Quick: h.quickSubmit},
		{Op: submitTypeOperation(), Access: edge.Bearer, Handle: edge.Raw(h.submitType)},
		{Op: retryOperation(), Access: edge.Bearer, Handle: edge.Typed(h.retry)},
	}
}

type submitInput struct {
	Wait   waitParam `query:"wait" doc:"wait this long for the job's end, as 25s"`
	Prefer string    `header:"Prefer" doc:"wait=20: wait for the job's end, in seconds (RFC 7240)"`
	ID     string    `header:"Longshore-Job" doc:"the id the job shall have: a UUIDv7 of the last hour"`
	Key    string    `header:"Idempotency-Key" maxLength:"255" doc:"a repeat with the same key returns the first job"`
	Body   httpapi.SubmitBody
}

func (h Submissions) submit(ctx context.Context, in *submitInput) (*acceptedOutput, error) {
	b := in.Body
	req := submit.Request{
		Type: b.Type, Payload: b.Payload, ID: job.ID(in.ID), IdempotencyKey: in.Key, Priority: b.Priority,
		Timeout: time.Duration(b.Timeout), ExpiresIn: time.Duration(b.ExpiresIn), MaxAttempts: int(b.MaxAttempts),
		Retention: time.Duration(b.Retention), CallbackURL: b.CallbackURL,
	}
	if b.Input != nil {
		req.From = &submit.Reference{Job: b.Input.Job, Output: b.Input.Output}
	}
	if b.RunAt != nil {
		req.RunAt = *b.RunAt
	}
	if err := submit.CheckHeaders(req); err != nil {
		return nil, err
	}
	snap, created, err := h.Submitter.Submit(ctx, req)
	if err != nil {
		return nil, err
	}
	return h.waitForEnd(ctx, edge.AnswerOf(ctx), snap, created, in.Wait, []string{in.Prefer}), nil
}

// submitType takes a job whose input is the body, byte for byte, and whose
// parameters are in the query. A type without input takes its payload from the
// body instead, as JSON.
func (h Submissions) submitType(a *edge.Answer, r *http.Request) error {
	req := submit.Request{
		Type: r.PathValue("id"), ID: job.ID(r.Header.Get(httpapi.HeaderJob)),
		IdempotencyKey: r.Header.Get(httpapi.HeaderIdempotencyKey), InputSize: -1,
	}
	info, ok := h.Catalog.Lookup(req.Type)
	if !ok {
		return httpapi.InvalidAt("/type", "unknown type; "+httpapi.PathTypes+" lists those there are")
	}
	if err := submit.CheckHeaders(req); err != nil {
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
	wish, err := h.takeQuery(query, &req)
	if err != nil {
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
	prefer := r.Header.Values(httpapi.HeaderPrefer)
	return writeAccepted(a, h.waitForEnd(r.Context(), a, snap, created, wish, prefer))
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
	if info.Input == tasks.NoInput && kind != "multipart/form-data" {
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

// noFile is said to who sends a file to a type that works on none.
const noFile = "this type takes no file: a body is its payload, as JSON"

// takeQuery takes the control parameters out of the query and makes a payload
// of what is left.
func (h Submissions) takeQuery(query url.Values, req *submit.Request) (waitParam, error) {
	bodyIsPayload := len(req.Payload) > 0
	var wish waitParam
	p := httpapi.Params{Values: query}
	p.Take("wait", wish.UnmarshalText)
	submit.TakeControls(&p, req)
	err := p.Err()
	if err != nil || len(query) == 0 {
		return wish, err
	}
	if len(req.Payload) > 0 {
		name := ""
		for name = range query {
			break
		}
		if bodyIsPayload {
			return wish, httpapi.InvalidAt("?"+name, noFile+", so its fields can't be parameters too")
		}
		return wish, httpapi.InvalidAt("?"+name, "the payload is given whole: its fields can't be given one by one too")
	}
	payload, err := h.Catalog.FromQuery(req.Type, query)
	var problems tasks.Problems
	if errors.As(err, &problems) {
		wrong := make([]httpapi.Pointer, len(problems))
		for i, one := range problems {
			wrong[i] = httpapi.Pointer{Pointer: "?" + strings.TrimPrefix(one.Pointer, "/"), Detail: one.Detail}
		}
		return wish, httpapi.NotValid(wrong...)
	}
	req.Payload = payload
	return wish, err
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
