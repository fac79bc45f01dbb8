package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/hub"
	"longshore/internal/submit"
	"longshore/job"
	"longshore/tasks"
)

type submitInput struct {
	Wait   waitParam `query:"wait" doc:"wait this long for the job's end, as 25s"`
	Prefer string    `header:"Prefer" doc:"wait=20: wait for the job's end, in seconds (RFC 7240)"`
	ID     string    `header:"Longshore-Job" doc:"the id the job shall have: a UUIDv7 of the last hour"`
	Key    string    `header:"Idempotency-Key" maxLength:"255" doc:"a repeat with the same key returns the first job"`
	Body   httpapi.SubmitBody
}

func (s *Server) submitJSON(ctx context.Context, in *submitInput) (*acceptedOutput, error) {
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
	if err := checkNames(req); err != nil {
		return nil, err
	}
	snap, created, err := s.Door.Submit(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.waitForEnd(ctx, snap, created, in.Wait, []string{in.Prefer}), nil
}

// waitForEnd makes the answer to an accepted submission, after the wait that
// the client wished for. The job is safe by now, so nothing here is an error.
func (s *Server) waitForEnd(ctx context.Context, snap job.Snapshot, created bool, wish waitParam, prefer []string) *acceptedOutput {
	preferred, byPrefer := preferredWait(prefer)
	wanted := max(wish.wait, preferred)
	a := answerOf(ctx)
	granted := s.grant(a, wanted)
	if granted > 0 {
		defer s.waiters.leave(a.client)
	}
	if granted > 0 && !snap.Done {
		if _, err := s.wait(ctx, granted, hub.Want{ID: snap.ID, Done: true}); err == nil {
			if now, err := s.Records.Get(ctx, snap.ID); err == nil {
				snap = now
			}
		}
	}
	out := s.accepted(snap, wanted > 0 || !created)
	if wish.set {
		out.Wait = httpapi.FormatDuration(granted)
	}
	if byPrefer {
		out.Applied = "wait=" + strconv.Itoa(int(granted/time.Second))
	}
	return out
}

// submitRaw takes a job whose input is the body, byte for byte, and whose
// parameters are in the query. A type without input takes its payload from the
// body instead, as JSON.
func (s *Server) submitRaw(w http.ResponseWriter, r *http.Request) error {
	req := submit.Request{
		Type: r.PathValue("id"), ID: job.ID(r.Header.Get(httpapi.HeaderJob)),
		IdempotencyKey: r.Header.Get(httpapi.HeaderIdempotencyKey), InputSize: -1,
	}
	info, ok := s.Catalog.Lookup(req.Type)
	if !ok {
		return invalid("/type", "unknown type; "+httpapi.PathTypes+" lists those there are")
	}
	if err := checkNames(req); err != nil {
		return err
	}
	uploaded := func() {}
	if info.Input != tasks.NoInput {
		end, err := s.beginUpload(r)
		if err != nil {
			return err
		}
		defer end()
		uploaded = end
	}
	body, _ := r.Body.(*requestBody)
	query := r.URL.Query()
	if err := s.takeBody(r, body, info, query, &req); err != nil {
		return err
	}
	wish, err := s.takeQuery(query, &req)
	if err != nil {
		return err
	}
	if body != nil {
		req.Interrupt = body.interrupt
	}
	snap, created, err := s.Door.Submit(r.Context(), req)
	if err != nil {
		return inputError(err, req, body)
	}
	uploaded() // the wait that may follow is none
	return writeAccepted(w, s.waitForEnd(r.Context(), snap, created, wish, r.Header.Values(httpapi.HeaderPrefer)))
}

// inputError says what only we know, if the door's error comes from reading.
func inputError(err error, req submit.Request, body *requestBody) error {
	if e := body.refusal(); e != nil {
		return e
	}
	if form, ok := req.Input.(*formFile); ok && errors.Is(form.ended, errAfterFile) {
		return invalid("/body", errAfterFile.Error()+": expected parameters first, then one file")
	}
	return inQuery(err)
}

// takeBody finds out what the body is: the input, a form with parameters and
// the input, or a payload.
func (s *Server) takeBody(r *http.Request, body *requestBody, info tasks.Info, query url.Values, req *submit.Request) error {
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if info.Input == tasks.NoInput && kind != "multipart/form-data" {
		text, err := readJSON(r)
		if err != nil {
			return err
		}
		if query.Has("filename") && !json.Valid(text) {
			return invalid("/body", noFile)
		}
		req.Payload = text
		return nil
	}
	if body != nil && s.MaxUpload > 0 {
		body.limit = s.MaxUpload
	}
	if kind == "multipart/form-data" {
		return takeForm(r, params["boundary"], query, req)
	}
	req.Input, req.InputSize, req.ContentType = r.Body, r.ContentLength, r.Header.Get("Content-Type")
	return nil
}

// noFile is said to who sends a file to a type that works on none.
const noFile = "this type takes no file: a body is its payload, as JSON"

func tooLarge(limit int64) *httpapi.Error {
	return httpapi.NewError(httpapi.TooLarge, fmt.Sprintf("the input is over %d bytes", limit))
}

// takeControls takes the control parameters out of what a client has named.
func takeControls(query url.Values, req *submit.Request) (wish waitParam, err error) {
	p := control{query: query}
	p.take("wait", wish.UnmarshalText)
	p.take("priority", func(text []byte) error { req.Priority = job.Priority(text); return nil })
	p.take("timeout", durationInto(&req.Timeout))
	p.take("expires_in", durationInto(&req.ExpiresIn))
	p.take("retention", durationInto(&req.Retention))
	p.take("filename", func(text []byte) error { req.Filename = string(text); return nil })
	p.take("callback_url", func(text []byte) error { req.CallbackURL = string(text); return nil })
	p.take("run_at", func(text []byte) error {
		if req.RunAt.UnmarshalText(text) != nil {
			return errors.New("expected a time as 2006-01-02T15:04:05Z (RFC 3339)")
		}
		return nil
	})
	p.take("max_attempts", func(text []byte) error {
		n, err := httpapi.ParseCount(string(text))
		req.MaxAttempts = int(n)
		return err
	})
	inBody := len(req.Payload) > 0
	p.take("payload", func(text []byte) error {
		if inBody {
			return errors.New("the body is the payload already")
		}
		req.Payload = json.RawMessage(text)
		return nil
	})
	if p.wrong != nil {
		return wish, p.wrong
	}
	return wish, nil
}

// takeQuery takes the control parameters out of the query and makes a payload
// of what is left.
func (s *Server) takeQuery(query url.Values, req *submit.Request) (waitParam, error) {
	bodyIsPayload := len(req.Payload) > 0
	wish, err := takeControls(query, req)
	if err != nil || len(query) == 0 {
		return wish, err
	}
	if len(req.Payload) > 0 {
		name := ""
		for name = range query {
			break
		}
		if bodyIsPayload {
			return wish, invalid("?"+name, noFile+", so its fields can't be parameters too")
		}
		return wish, invalid("?"+name, "the payload is given whole: its fields can't be given one by one too")
	}
	payload, err := s.Catalog.FromQuery(req.Type, query)
	var problems tasks.Problems
	if errors.As(err, &problems) {
		e := httpapi.NewError(httpapi.Invalid, notValid)
		for _, one := range problems {
			e.Errors = append(e.Errors, httpapi.Pointer{Pointer: "?" + strings.TrimPrefix(one.Pointer, "/"), Detail: one.Detail})
		}
		return wish, e
	}
	req.Payload = payload
	return wish, err
}

// control reads the parameters that steer a submission. It notes all that is wrong.
type control struct {
	query url.Values
	wrong *httpapi.Error
}

func (p *control) take(name string, set func(text []byte) error) {
	values, ok := p.query[name]
	if !ok {
		return
	}
	delete(p.query, name)
	err := errors.New("given more than once")
	if len(values) == 1 {
		err = set([]byte(values[0]))
	}
	if err == nil {
		return
	}
	if p.wrong == nil {
		p.wrong = httpapi.NewError(httpapi.Invalid, notValid)
	}
	p.wrong.Errors = append(p.wrong.Errors, httpapi.Pointer{Pointer: "?" + name, Detail: err.Error()})
}

func durationInto(d *time.Duration) func([]byte) error {
	return func(text []byte) (err error) {
		*d, err = httpapi.ParseDuration(string(text))
		return err
	}
}

// checkNames checks the headers by which a client names its job.
func checkNames(req submit.Request) error {
	if req.ID != "" {
		if _, err := job.ParseID(string(req.ID)); err != nil {
			return invalid("/headers/"+httpapi.HeaderJob, err.Error())
		}
		if age := time.Since(req.ID.Time()); age > time.Hour || age < -time.Minute {
			return invalid("/headers/"+httpapi.HeaderJob, "expected an id drawn within the last hour")
		}
	}
	key := req.IdempotencyKey
	if len(key) > httpapi.MaxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return invalid("/headers/"+httpapi.HeaderIdempotencyKey, fmt.Sprintf("expected up to %d characters of ASCII", httpapi.MaxKey))
	}
	return nil
}

// inQuery moves the door's pointers to where the client wrote what is wrong.
func inQuery(err error) error {
	e := httpapi.AsError(err)
	for i, p := range e.Errors {
		switch name, inPayload := strings.CutPrefix(p.Pointer, "/payload/"); {
		case inPayload:
			e.Errors[i].Pointer = "?" + name
		case strings.HasPrefix(p.Pointer, "/headers/"), p.Pointer == "/type", p.Pointer == "/input", p.Pointer == "/payload", p.Pointer == "":
		default:
			e.Errors[i].Pointer = "?" + strings.TrimPrefix(p.Pointer, "/")
		}
	}
	return e
}

// writeAccepted answers a submission.
func writeAccepted(w http.ResponseWriter, out *acceptedOutput) error {
	text, err := httpapi.AppendSnapshot(nil, &out.Body)
	if err != nil {
		return err
	}
	h := w.Header()
	h["Content-Type"] = typeJSON
	values := [...]string{out.Location, out.ETag, out.ID, out.Wait, out.Applied}
	for i, name := range [...]string{"Location", "Etag", httpapi.HeaderJob, httpapi.HeaderWait, httpapi.HeaderPreferenceApplied} {
		if values[i] != "" {
			h[name] = values[i : i+1 : i+1]
		}
	}
	w.WriteHeader(out.Status)
	_, _ = w.Write(text) // an error here is the client's going
	return nil
}
