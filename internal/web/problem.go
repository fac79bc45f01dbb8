package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"longshore/internal/blob"
	"longshore/internal/httpapi"
	"longshore/job"
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
		if detail == "validation failed" {
			detail = notValid
		}
		p := httpapi.NewError(codeOf(status), detail).WithStatus(status)
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

// refusal is the one table from what went wrong inside to what the client is told.
func (s *Server) refusal(ctx context.Context, a *answer, err error) *httpapi.Error {
	var e *httpapi.Error
	var used *job.InUseError
	ended := ctx.Err() != nil // the client has left, or we have let go of its body
	said := errors.As(err, &e)
	switch {
	case ended && !a.body.interrupted() && (!said || errors.Is(err, context.Canceled)):
		return httpapi.NewError(httpapi.Unavailable, "the client is gone").WithStatus(statusClientGone).Wrap(err)
	case said:
		return e
	case ended:
		return unavailable("the request was interrupted, try again", time.Second).Wrap(err)
	case errors.Is(err, job.ErrNotFound), errors.Is(err, blob.ErrNotFound):
		return httpapi.NewError(httpapi.NotFound, "there is no such job, or its retention is over").Wrap(err)
	case errors.Is(err, job.ErrNotEnded):
		return httpapi.NewError(httpapi.Conflict, "the job has not ended").Wrap(err)
	case errors.As(err, &used):
		return httpapi.NewError(httpapi.Conflict, fmt.Sprintf("job %s works on this one's files; they go when it has ended", used.By)).Wrap(err)
	case errors.Is(err, job.ErrDamaged):
		// Often a record of a newer version, while a deployment is under way.
		return unavailable("the job's record can't be read", 10*time.Second).Wrap(err)
	case errors.Is(err, blob.ErrUnavailable):
		return unavailable("the blob store can't be reached, try again", 5*time.Second).Wrap(err)
	case s.Unavailable(err):
		return unavailable("the job store can't be reached, try again", 2*time.Second).Wrap(err)
	default:
		return httpapi.NewError(httpapi.Internal, "").Wrap(err)
	}
}

func unavailable(detail string, after time.Duration) *httpapi.Error {
	e := httpapi.NewError(httpapi.Unavailable, detail)
	e.RetryAfter = after
	return e
}

const notValid = "the request is not valid"

// invalid says that one place of a request is wrong.
func invalid(pointer, detail string) *httpapi.Error {
	e := httpapi.NewError(httpapi.Invalid, notValid)
	e.Errors = []httpapi.Pointer{{Pointer: pointer, Detail: detail}}
	return e
}

// writeProblem answers with an error. It takes back headers that spoke of
// another body.
func writeProblem(w http.ResponseWriter, e *httpapi.Error) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified",
		"Accept-Ranges", httpapi.HeaderContentDigest, httpapi.HeaderReprDigest} {
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

var typeJSON = []string{httpapi.TypeJSON} // shared by all answers: net/http only reads it

// writeJSON answers with a body in JSON.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header()["Content-Type"] = typeJSON
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.Encode(body) // an error here is the client's going
}
