package api

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
	"longshore/internal/strictjson"
	"longshore/internal/web/edge"
	"longshore/job"
)

// The quick ways serve the two routes that carry nearly all requests. Each
// reads the plain form of a request by hand, and calls the same function that
// huma would. Whatever is not plain, and all that may be wrong, it leaves to
// huma, whose reading of the Go types is the one that counts.

// quickSubmit serves a submission of few and simple fields.
func (h Submissions) quickSubmit(a *edge.Answer, r *http.Request) (plain bool, err error) {
	if r.URL.RawQuery != "" || !plainAccept(r) {
		return false, nil
	}
	in := submitInput{Prefer: r.Header.Get(httpapi.HeaderPrefer), ID: r.Header.Get(httpapi.HeaderJob),
		Key: r.Header.Get(httpapi.HeaderIdempotencyKey)}
	if len(in.Key) > httpapi.MaxKey || !plainSubmission(a.JSON, &in.Body) {
		return false, nil
	}
	out, err := h.submit(edge.WithAnswer(r.Context(), a), &in)
	var refused *httpapi.Error
	if errors.As(err, &refused) && refused.Code == httpapi.Invalid {
		return false, nil // nothing was made: huma may find more to say, as of a number that is out of range
	}
	if err == nil {
		err = writeAccepted(a, out)
	}
	return true, err
}

// plainSubmission reads an object that has nothing but a type, a payload and a
// priority, in the plainest form.
func plainSubmission(text []byte, body *httpapi.SubmitBody) bool {
	err := strictjson.Fields(text, func(name, value []byte) error {
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
func (h *Jobs) quickGet(a *edge.Answer, r *http.Request) (plain bool, err error) {
	var in getInput
	if !plainAccept(r) || !plainGet(r, &in) {
		return false, nil
	}
	granted, err := h.await(r.Context(), a, &in)
	if err != nil {
		return true, err
	}
	return true, h.answer(a, r, &in, granted)
}

// texts keeps the room of answers; that of a large result is not kept.
var texts = sync.Pool{New: func() any { return new([]byte) }}

func (h *Jobs) answer(a *edge.Answer, r *http.Request, in *getInput, granted string) error {
	out, err := h.see(r.Context(), in)
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
		return err
	}
	header := a.Header()
	header["Content-Type"] = edge.ContentJSON
	header["Etag"] = []string{out.ETag}
	if granted != "" {
		header[httpapi.HeaderWait] = []string{granted}
	}
	a.WriteHeader(out.Status)
	if len(text) > 0 {
		_, _ = a.Write(text) // an error here is the client's going
	}
	return nil
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
		case name == "after" && !in.After.Set && value[0] >= '0' && value[0] <= '9':
			in.After.Set = true
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
