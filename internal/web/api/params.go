package api

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// idParam reads the job's id in a path.
func idParam[T any](set func(to *T, id job.ID)) edge.Param[T] {
	return edge.Param[T]{Name: "id", In: edge.Path, Doc: "the job's id", Schema: edge.IDSchema(),
		Read: func(to *T, text string) error {
			id, err := job.ParseID(text)
			set(to, id)
			return err
		}}
}

// keyParam reads the key by which a repeat is known.
func keyParam[T any](doc string, set func(to *T, key string)) edge.Param[T] {
	return edge.Param[T]{Name: httpapi.HeaderIdempotencyKey, In: edge.Header, Doc: doc, Schema: plainText(),
		Read: func(to *T, text string) error {
			set(to, text)
			if len(text) > httpapi.MaxKey {
				return errors.New("expected at most 255 bytes")
			}
			return nil
		}}
}

// oneJob are the parameters of a route that needs nothing but the job.
var oneJob = edge.Params[job.ID]{idParam(func(to *job.ID, id job.ID) { *to = id })}

// A wish is how long a client is ready to wait.
type wish struct {
	wait  time.Duration
	set   bool
	until time.Time // the end of the wait that was granted; zero = none was
}

func (w *wish) read(text string) (err error) {
	w.wait, err = httpapi.ParseDuration(text)
	w.set = true
	return err
}

func waitParam[T any](doc string, of func(*T) *wish) edge.Param[T] {
	return edge.Param[T]{Name: "wait", In: edge.Query, Doc: doc, Schema: edge.DurationSchema(),
		Read: func(to *T, text string) error { return of(to).read(text) }}
}

// etag is the entity tag of a job: two answers with the same one are equal.
func etag(s job.Snapshot) string { return `"` + strconv.FormatInt(s.Rev, 10) + `"` }

// matches evaluates If-None-Match (RFC 9110, section 13.1.2).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == etag {
			return true
		}
	}
	return false
}

// preferredWait reads "wait" of Prefer (RFC 7240, section 4.3), in seconds. As
// with all preferences, one that makes no sense is ignored.
func preferredWait(headers []string) (time.Duration, bool) {
	for preference := range strings.SplitSeq(strings.Join(headers, ","), ",") {
		preference, _, _ = strings.Cut(preference, ";") // its parameters
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err == nil {
			return time.Duration(seconds) * time.Second, true
		}
	}
	return 0, false
}
