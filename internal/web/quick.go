package web

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"longshore/internal/httpapi"
	"longshore/job"
	"longshore/tasks"
)

// The quick ways serve the two routes that carry nearly all requests. Each
// reads the plain form of a request by hand, and calls the same function that
// huma would. Whatever is not plain, and all that may be wrong, it leaves to
// huma, whose reading of the Go types is the one that counts.

// quickSubmit serves a submission of few and simple fields.
func (s *Server) quickSubmit(a *answer, r *http.Request) bool {
	if r.URL.RawQuery != "" || !plainAccept(r) {
		return false
	}
	in := submitInput{Prefer: r.Header.Get(httpapi.HeaderPrefer), ID: r.Header.Get(httpapi.HeaderJob),
		Key: r.Header.Get(httpapi.HeaderIdempotencyKey)}
	if len(in.Key) > httpapi.MaxKey || !plainSubmission(a.json, &in.Body) {
		return false
	}
	out, err := s.submitJSON(withAnswer(r.Context(), a), &in)
	var refused *httpapi.Error
	if errors.As(err, &refused) && refused.Code == httpapi.Invalid {
		return false // nothing was made: huma may find more to say, as of a number that is out of range
	}
	if err == nil {
		err = writeAccepted(a, out)
	}
	if err != nil {
		s.refuse(a, r, err)
	}
	return true
}

// plainSubmission reads an object that has nothing but a type, a payload and a
// priority, in the plainest form.
func plainSubmission(text []byte, body *httpapi.SubmitBody) bool {
	err := tasks.Fields(text, func(name, value []byte) error {
		ok := false
		switch string(name) {
		case "type":
			body.Type, ok = plainString(value)
			ok = ok && utf8.RuneCountInString(body.Type) <= 64
		case "priority":
			var priority string
			priority, ok = plainString(value)
			body.Priority = job.Priority(priority)
			ok = ok && slices.Contains(job.Priorities, body.Priority)
		case "payload":
			body.Payload, ok = value, value[0] == '{'
		}
		if !ok {
			return errNotPlain
		}
		return nil
	})
	return err == nil && body.Type != ""
}

var errNotPlain = errors.New("not of the plain form")

// plainString reads a string that has no escapes.
func plainString(value []byte) (string, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return "", false
	}
	return string(value[1 : len(value)-1]), true
}

// quickGet serves a plain look at a job, or a long-poll. Its frames are small
// until the wait is over: the stack is what a parked request holds most of,
// beside the buffers of its connection.
func (s *Server) quickGet(a *answer, r *http.Request) bool {
	var in getInput
	if !plainAccept(r) || !plainGet(r, &in) {
		return false
	}
	granted, err := s.awaitJob(r.Context(), a, &in)
	if err != nil {
		s.refuse(a, r, err)
		return true
	}
	s.answerJob(a, r, &in, granted)
	return true
}

// texts keeps the room of answers; that of a large result is not kept.
var texts = sync.Pool{New: func() any { return new([]byte) }}

func (s *Server) answerJob(a *answer, r *http.Request, in *getInput, granted string) {
	out, err := s.seeJob(r.Context(), in)
	room := texts.Get().(*[]byte)
	defer texts.Put(room)
	text := (*room)[:0]
	if err == nil && out.Status != http.StatusNotModified {
		text, err = httpapi.AppendSnapshot(text, &out.Body)
		if cap(text) <= 64<<10 {
			*room = text
		}
	}
	if err != nil {
		s.refuse(a, r, err)
		return
	}
	h := a.Header()
	h["Content-Type"] = typeJSON
	h["Etag"] = []string{out.ETag}
	if granted != "" {
		h[httpapi.HeaderWait] = []string{granted}
	}
	a.WriteHeader(out.Status)
	if len(text) > 0 {
		_, _ = a.Write(text) // an error here is the client's going
	}
}

// plainGet reads the parameters of a look at a job.
func plainGet(r *http.Request, in *getInput) bool {
	var err error
	if in.ID.ID, err = job.ParseID(r.PathValue("id")); err != nil {
		return false
	}
	in.IfNoneMatch = r.Header.Get("If-None-Match")
	for rest := r.URL.RawQuery; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || strings.ContainsAny(value, "%+") {
			return false
		}
		switch {
		case name == "wait" && !in.Wait.set:
			in.Wait.set = true
			in.Wait.wait, err = httpapi.ParseDuration(value)
		case name == "until" && in.Until == "" && (value == httpapi.UntilDone || value == httpapi.UntilChange):
			in.Until = value
		case name == "after" && !in.After.set && value[0] >= '0' && value[0] <= '9':
			in.After.set = true
			in.After.Value, err = strconv.ParseInt(value, 10, 64)
		default:
			return false
		}
		if err != nil {
			return false
		}
	}
	return true
}

// plainAccept reports whether a client takes JSON without conditions.
func plainAccept(r *http.Request) bool {
	switch accept := r.Header["Accept"]; len(accept) {
	case 0:
		return true
	case 1:
		return accept[0] == "*/*" || accept[0] == httpapi.TypeJSON
	default:
		return false
	}
}
