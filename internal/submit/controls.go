package submit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TakeControls takes what steers a submission out of what a client has named, in a
// query, a form or the metadata of an upload. p notes what is wrong.
func TakeControls(p *httpapi.Params, r *Request) {
	p.Take("priority", func(text []byte) error { r.Priority = job.Priority(text); return nil })
	p.Take("timeout", durationInto(&r.Timeout))
	p.Take("expires_in", durationInto(&r.ExpiresIn))
	p.Take("retention", durationInto(&r.Retention))
	p.Take("filename", func(text []byte) error { r.Filename = string(text); return nil })
	p.Take("callback_url", func(text []byte) error { r.CallbackURL = string(text); return nil })
	p.Take("run_at", func(text []byte) error {
		if r.RunAt.UnmarshalText(text) != nil {
			return errors.New("expected a time as 2006-01-02T15:04:05Z (RFC 3339)")
		}
		return nil
	})
	p.Take("max_attempts", func(text []byte) error {
		n, err := httpapi.ParseCount(string(text))
		r.MaxAttempts = int(n)
		return err
	})
	inBody := len(r.Payload) > 0
	p.Take("payload", func(text []byte) error {
		if inBody {
			return errors.New("the body is the payload already")
		}
		r.Payload = json.RawMessage(text)
		return nil
	})
}

func durationInto(d *time.Duration) func([]byte) error {
	return func(text []byte) (err error) {
		*d, err = httpapi.ParseDuration(string(text))
		return err
	}
}

// CheckHeaders checks the headers by which a client names its job, before anything
// of its body is read.
func CheckHeaders(r Request) error {
	if r.ID != "" {
		if _, err := job.ParseID(string(r.ID)); err != nil {
			return httpapi.InvalidAt("/headers/"+httpapi.HeaderJob, err.Error())
		}
		if age := time.Since(r.ID.Time()); age > maxIDAge || age < -maxIDAhead {
			return httpapi.InvalidAt("/headers/"+httpapi.HeaderJob, "expected an id drawn within the last hour")
		}
	}
	key := r.IdempotencyKey
	if len(key) > httpapi.MaxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return httpapi.InvalidAt("/headers/"+httpapi.HeaderIdempotencyKey,
			fmt.Sprintf("expected up to %d characters of ASCII", httpapi.MaxKey))
	}
	return nil
}
