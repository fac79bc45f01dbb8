package api

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
	"longshore/job"
)

// An idParam is a job's id in a path.
type idParam struct{ job.ID }

func (p *idParam) UnmarshalText(text []byte) (err error) {
	p.ID, err = job.ParseID(string(text))
	return err
}

func (idParam) Schema(huma.Registry) *huma.Schema {
	return edge.IDSchema()
}

// A revsParam is a list of jobs, "A.3,B.0".
type revsParam struct{ revs []job.Rev }

func (p *revsParam) UnmarshalText(text []byte) (err error) {
	p.revs, err = httpapi.ParseRevs(string(text))
	return err
}

func (revsParam) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// A waitParam is how long a client is ready to wait.
type waitParam struct {
	wait  time.Duration
	set   bool
	until time.Time // the end of the wait that was granted; zero = none was
}

func (p *waitParam) UnmarshalText(text []byte) (err error) {
	p.wait, err = httpapi.ParseDuration(string(text))
	p.set = true
	return err
}

func (waitParam) Schema(huma.Registry) *huma.Schema { return edge.DurationSchema() }

// A cursorParam is the place in a list where a page begins. Clients take it
// from the page before; what is in it may change.
type cursorParam struct{ before job.ID }

func (p *cursorParam) UnmarshalText(text []byte) error {
	id, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil {
		return errCursor
	}
	if p.before, err = job.ParseID(string(id)); err != nil {
		return errCursor
	}
	return nil
}

func (cursorParam) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

var errCursor = errors.New("expected the value of next of the page before")

func formatCursor(before job.ID) string {
	if before == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(before))
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
