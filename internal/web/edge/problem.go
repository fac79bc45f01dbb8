package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"longshore/internal/httpapi"
)

// A problem is an httpapi.Error as huma sends it.
type problem httpapi.Error

var (
	_ huma.StatusError       = (*problem)(nil)
	_ huma.HeadersError      = (*problem)(nil)
	_ huma.ContentTypeFilter = (*problem)(nil)
)

func (p *problem) Error() string             { return (*httpapi.Error)(p).Error() }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return httpapi.TypeProblem }

func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	after := p.RetryAfter
	if after <= 0 && p.Status == http.StatusServiceUnavailable {
		after = time.Second // it passes, whoever forgot to say so
	}
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	return h
}

// setErrors makes huma's own refusals problems of ours. huma keeps this choice
// in a variable of the process.
var setErrors = sync.OnceFunc(func() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		p := httpapi.NewError(codeOf(status), detail).WithStatus(status)
		if detail == "validation failed" {
			p.Detail = httpapi.NotValid().Detail
		}
		for _, err := range errs[:min(len(errs), httpapi.MaxPointers)] {
			var d *huma.ErrorDetail
			if !errors.As(err, &d) {
				continue // of an unknown form: it might quote what was sent
			}
			if d.Location == "body" && !strings.HasPrefix(d.Message, "expected") {
				d.Message = "a value does not fit its field"
			}
			detail := strings.TrimPrefix(d.Message, "invalid value: ")
			if detail == validation.MsgExpectedMatchAtLeastOneSchema {
				detail = httpapi.ErrDuration.Error() // the only values that are one thing or another
			}
			p.Errors = append(p.Errors, httpapi.Pointer{Pointer: pointer(d.Location), Detail: detail})
		}
		return (*problem)(p)
	}
})

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

// pointer turns huma's "query.wait" into "?wait" and "body.a[2].b" into "/a/2/b".
func pointer(location string) string {
	place, name, _ := strings.Cut(location, ".")
	switch place {
	case "query":
		return "?" + name
	case "header":
		return "/headers/" + name
	case "path":
		return "/path/" + name
	}
	if name == "" {
		return ""
	}
	name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(name)
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
	for name, values := range (*problem)(e).GetHeaders() {
		h[name] = values
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
