package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"longshore/internal/httpapi"
)

// codeOf is the code of a status that a library chose.
func codeOf(status int) httpapi.Code {
	switch status {
	case http.StatusNotFound:
		return httpapi.NotFound
	case http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		return httpapi.Unsupported
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return httpapi.TooLarge
	case http.StatusPreconditionFailed:
		return httpapi.Conflict
	}
	if status >= 500 {
		return httpapi.Internal
	}
	return httpapi.Invalid
}

// statusClientGone is what is logged, and never received, when the client left
// before its answer.
const statusClientGone = 499

// Refusal is what the client is told of an error; the cause is noted for the log. What
// a request alone can know is decided here, the rest by Config.Refusal.
func (a *Answer) Refusal(ctx context.Context, err error) *httpapi.Error {
	var e *httpapi.Error
	said := errors.As(err, &e)
	ended := ctx.Err() != nil // the client has left, or we have let go of its body
	switch {
	case ended && !a.Body.interrupted() && (!said || errors.Is(err, context.Canceled)):
		e = httpapi.NewError(httpapi.Unavailable, "the client is gone").WithStatus(statusClientGone).Wrap(err)
	case ended && !said:
		e = httpapi.NewError(httpapi.Unavailable, "the request was interrupted, try again").
			WithRetryAfter(time.Second).Wrap(err)
	default:
		e = a.edge.Refusal(err)
	}
	a.cause = e.Unwrap()
	return e
}

// refuse answers with an error, or cuts the answer if it has begun.
func (a *Answer) refuse(r *http.Request, err error) {
	e := a.Refusal(r.Context(), err)
	if a.status != 0 {
		a.cut = true
		return
	}
	if e.Status == http.StatusUnauthorized && a.Header().Get("WWW-Authenticate") == "" {
		challenge(a, "invalid_token")
	}
	if a.route != nil && a.route.Refuse != nil {
		a.mending = true
		a.route.Refuse(a, r, e)
		return
	}
	writeProblem(a, e)
}

// writeProblem answers with an error. It takes back headers that spoke of
// another body.
func writeProblem(w http.ResponseWriter, e *httpapi.Error) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag",
		"Last-Modified", "Accept-Ranges", httpapi.HeaderContentDigest, httpapi.HeaderReprDigest} {
		h.Del(name)
	}
	after := e.RetryAfter
	if after <= 0 && e.Status == http.StatusServiceUnavailable {
		after = time.Second // it passes, whoever forgot to say so
	}
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	h.Set("Content-Type", httpapi.TypeProblem)
	h.Set("Cache-Control", "no-store")
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.Encode(e)                                     // of texts and numbers: can't fail
	h.Set("Content-Length", strconv.Itoa(text.Len())) // so that it is whole when flushed
	w.WriteHeader(e.Status)
	w.Write(text.Bytes()) // an error here is the client's going
}

// ContentJSON is the Content-Type of JSON as a header's values.
var ContentJSON = []string{httpapi.TypeJSON} // shared by all answers: net/http only reads it

// WriteJSON answers with a body in JSON.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header()["Content-Type"] = ContentJSON
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(body) // an error here is the client's going
}
