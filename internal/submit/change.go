package submit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/refusal"
	"longshore/internal/strictjson"
	"longshore/job"
)

// A Change is what a job that waits is to have otherwise.
type Change = jobstore.Change

// changeable are the controls that a job's change may name, beside expires_at.
var changeable = []string{"priority", "run_at", "timeout", "expires_in", "max_attempts", "retention",
	"labels", "queue"}

// ReadChange reads the JSON of a change, strictly. The error is an *httpapi.Error.
func ReadChange(text []byte) (Change, error) {
	var c Change
	var r Request
	var wrong []httpapi.Pointer
	some := false
	err := strictjson.Fields(text, func(name, value []byte) error {
		said := string(name)
		i, ok := httpapi.FindControl(said, httpapi.InBody)
		var why error
		switch {
		case said == "expires_at" && value[0] != 'n':
			var at time.Time
			if text, err := httpapi.TextOf(value); err != nil || at.UnmarshalText([]byte(text)) != nil {
				why = httpapi.ErrTime
			}
			c.ExpiresAt = &at
		case said != "expires_at" && (!ok || !slices.Contains(changeable, said)):
			why, said = errors.New("unknown field"), httpapi.EscapePointer(shortName(name))
		case value[0] == 'n': // null: as if it were not there
			return nil
		default:
			if why = controls.SetJSON(&r, i, value); why == nil {
				why = takeControl(&c, said, &r)
			}
		}
		if some = true; why != nil {
			wrong = append(wrong, httpapi.Pointer{Pointer: "/" + said, Detail: why.Error()})
		}
		return nil
	})
	switch {
	case errors.Is(err, strictjson.ErrNoObject):
		return c, httpapi.InvalidAt("", err.Error())
	case err != nil:
		return c, httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(http.StatusBadRequest)
	case wrong != nil:
		return c, httpapi.NotValid(wrong...)
	case !some:
		return c, httpapi.InvalidAt("", "says nothing: expected what is to be changed, as run_at")
	}
	return c, nil
}

// takeControl takes one control that a change names from what was read.
func takeControl(c *Change, name string, r *Request) error {
	nothing := false
	switch name {
	case "priority":
		c.Priority, nothing = r.Priority, r.Priority == ""
	case "queue":
		c.Queue, nothing = r.Queue, r.Queue == ""
	case "run_at":
		c.RunAt = &r.RunAt
	case "timeout":
		c.Timeout, nothing = r.Timeout, r.Timeout <= 0
	case "max_attempts":
		c.MaxAttempts, nothing = r.MaxAttempts, r.MaxAttempts <= 0
	case "retention":
		c.Retention, nothing = r.Retention, r.Retention <= 0
	case "labels":
		c.Labels = &r.Labels
	case "expires_in":
		switch {
		case r.ExpiresIn < 0:
			return errors.New("expected a duration up to 8784h")
		case r.ExpiresIn == 0:
			c.ExpiresAt = &time.Time{}
		}
		c.ExpiresIn = r.ExpiresIn
	}
	if nothing {
		return errors.New("expected more than nothing")
	}
	return nil
}

// Change has a job that waits wait otherwise, or gives one that has ended another retention. revs are the
// revisions that it may have, none: any; who is who asks. The error is an *httpapi.Error.
func (d *Submitter) Change(ctx context.Context, by access.View, id job.ID, c Change, revs []int64,
	who string) (job.Snapshot, error) {
	var wrong []httpapi.Pointer
	d.checkChange(&c, time.Now(), func(pointer, detail string) {
		wrong = append(wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
	})
	if wrong != nil {
		return job.Snapshot{}, httpapi.NotValid(wrong...)
	}
	old, err := d.Store.Views().Get(ctx, by, id)
	if err != nil {
		return job.Snapshot{}, refusal.Of(err)
	}
	if err := checkOrder(&old, &c); err != nil {
		return job.Snapshot{}, err
	}
	snap, err := d.Store.Views().Change(ctx, by, id, c, revs, who)
	if err != nil {
		return job.Snapshot{}, refusal.Of(err)
	}
	return snap, nil
}

// checkChange holds a change to the bounds of a submission.
func (d *Submitter) checkChange(c *Change, now time.Time, bad func(pointer, detail string)) {
	if c.Queue != "" && !job.IsQueue(c.Queue) {
		bad("/queue", "expected "+job.QueueNames)
	}
	if c.Timeout != 0 && (c.Timeout < time.Millisecond || c.Timeout > d.MaxTimeout) {
		bad("/timeout", "expected 1ms to "+httpapi.FormatDuration(d.MaxTimeout)+" (MAX_TIMEOUT)")
	}
	if c.MaxAttempts > d.MaxAttempts {
		bad("/max_attempts", fmt.Sprintf("expected 1 to %d (MAX_ATTEMPTS)", d.MaxAttempts))
	}
	if c.Retention != 0 && (c.Retention < time.Second || c.Retention > d.MaxRetention) {
		bad("/retention", "expected 1s to "+httpapi.FormatDuration(d.MaxRetention)+" (MAX_RETENTION)")
	}
	if c.RunAt != nil && c.RunAt.After(now.Add(maxAhead)) {
		bad("/run_at", "expected a time within a year")
	}
	if c.ExpiresIn > maxAhead {
		bad("/expires_in", "expected a duration up to 8784h")
	}
	if at := c.ExpiresAt; at != nil && !at.IsZero() && (at.Before(now) || at.After(now.Add(maxAhead))) {
		bad("/expires_at", "expected a time ahead, within a year")
	}
	if c.ExpiresAt != nil && c.ExpiresIn != 0 {
		bad("/expires_at", "stands beside expires_in: say one of the two")
	}
}

// checkOrder refuses a job's change after which it would expire before its time. What another change does
// meanwhile is not seen: that job expires.
func checkOrder(old *job.Snapshot, c *Change) error {
	runAt, expires := old.RunAt, old.ExpiresAt
	if c.RunAt != nil {
		runAt = c.RunAt
	}
	switch {
	case c.ExpiresAt != nil && c.ExpiresAt.IsZero():
		expires = nil
	case c.ExpiresAt != nil:
		expires = c.ExpiresAt
	case c.ExpiresIn > 0:
		at := time.Now().Add(c.ExpiresIn)
		expires = &at
	}
	if old.Done || old.StartedAt != nil || runAt == nil || expires == nil || runAt.Before(*expires) ||
		c.RunAt == nil && c.ExpiresAt == nil && c.ExpiresIn == 0 {
		return nil
	}
	pointer := "/run_at"
	if c.RunAt == nil {
		pointer = "/expires_at"
	}
	return httpapi.InvalidAt(pointer, "the job would expire before it may start")
}
