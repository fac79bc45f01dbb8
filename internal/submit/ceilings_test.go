package submit_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"longshore/internal/access"
	"longshore/internal/blob/disk"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/submit"
)

func primes(change func(*submit.Request)) submit.Request {
	r := submit.Request{Type: "math.primes", Payload: []byte(`{"n":10}`)}
	change(&r)
	return r
}

// A submission may ask for what the operator allows, and is told which setting says so.
func TestCeilings(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *submit.Config) {
		c.MaxTimeout, c.MaxRetention, c.MaxAttempts = 2*time.Second, time.Hour, 2
	})
	for place, c := range map[string]struct {
		setting    string
		most, over func(*submit.Request)
	}{
		"/timeout": {"MAX_TIMEOUT", func(r *submit.Request) { r.Timeout = 2 * time.Second },
			func(r *submit.Request) { r.Timeout = 2*time.Second + 1 }},
		"/retention": {"MAX_RETENTION", func(r *submit.Request) { r.Retention = time.Hour },
			func(r *submit.Request) { r.Retention = time.Hour + time.Second }},
		"/max_attempts": {"MAX_ATTEMPTS", func(r *submit.Request) { r.MaxAttempts = 2 },
			func(r *submit.Request) { r.MaxAttempts = 3 }},
	} {
		b.submit(primes(c.most))
		_, _, err := b.Submit(t.Context(), primes(c.over))
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Status != 422 || len(e.Errors) != 1 || e.Errors[0].Pointer != place ||
			!strings.Contains(e.Errors[0].Detail, c.setting) {
			t.Errorf("%s over the ceiling: %v", place, err)
		}
		line := map[string]string{"/timeout": `"timeout":"3s"`, "/retention": `"retention":"2h"`,
			"/max_attempts": `"max_attempts":3`}[place]
		answers := send(t, b.Submitter, `{"type":"math.primes","payload":{"n":10},`+line+"}\n")
		if len(answers) != 1 || answers[0].Status != 422 || answers[0].Errors[0].Pointer != place {
			t.Errorf("line with %s: %+v", line, answers)
		}
	}
	snap := b.submit(primes(func(*submit.Request) {})) // what it doesn't name is cut down
	record, err := b.Store.Read(t.Context(), snap.ID)
	if err != nil || record.Timeout > 2*time.Second || record.Retention > time.Hour ||
		record.Snapshot.MaxAttempts > 2 {
		t.Errorf("by default: %+v, %v", record, err)
	}
}

// A retry of a job from before the ceilings gets what they allow.
func TestRetryUnderCeilings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.submit(primes(func(r *submit.Request) {
		r.Timeout, r.Retention, r.MaxAttempts = 5*time.Hour, 300*time.Hour, 50
	}))
	b.finish(old.ID, jobstore.Succeeded)
	b.MaxTimeout, b.MaxRetention, b.MaxAttempts = time.Second, time.Hour, 2
	snap, err := b.Retry(t.Context(), access.Everything, old.ID, submit.Again{})
	if err != nil {
		t.Fatal(err)
	}
	record, err := b.Store.Read(t.Context(), snap.ID)
	if err != nil || record.Timeout != time.Second || record.Retention != time.Hour || snap.MaxAttempts != 2 {
		t.Errorf("retried as %+v, %v", record, err)
	}
}

// A job that would expire before it may start is refused.
func TestExpiresBeforeItStarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		ahead, expires time.Duration
		refused        bool
	}{
		{time.Hour, time.Minute, true}, {time.Hour, time.Hour - time.Minute, true},
		{time.Hour, 2 * time.Hour, false}, {-time.Hour, time.Second, false}, {time.Hour, 0, false},
		{0, time.Second, false},
	} {
		_, _, err := b.Submit(t.Context(), primes(func(r *submit.Request) {
			r.RunAt, r.ExpiresIn = time.Now().Add(c.ahead), c.expires
		}))
		var e *httpapi.Error
		if errors.As(err, &e) != c.refused || c.refused &&
			(e.Status != 422 || e.Errors[0].Pointer != "/expires_in") {
			t.Errorf("run_at in %v, expires_in %v: %v", c.ahead, c.expires, err)
		}
	}
}

// Where there is no room, no way in is open, what was wrong anyway is told as
// such, and everything is taken once there is room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	var full atomic.Pointer[string]
	blobs, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	b := setup(t, func(c *submit.Config) {
		c.Blobs = blobs
		c.Full = func() string {
			if why := full.Load(); why != nil {
				return *why
			}
			return ""
		}
	})
	old := b.upload("file.checksum")
	b.finish(old.ID, jobstore.Succeeded, "out")
	refer := &submit.Reference{Job: old.ID, Output: "out"}
	file := submit.Request{Type: "file.checksum", InputSize: 4}
	text := `{"type":"math.primes","payload":{"n":10}}` + "\n" + `{"type":"no.such"}` + "\n" +
		`{"type":"file.checksum","input":{"job":"` + string(old.ID) + `","output":"out"}}` + "\n"
	ways := map[string]func() error{
		"without a file": func() error {
			_, _, err := b.Submit(t.Context(), primes(func(*submit.Request) {}))
			return err
		},
		"with a file": func() error {
			r := file
			r.Input = strings.NewReader("data")
			_, _, err := b.Submit(t.Context(), r)
			return err
		},
		"by reference": func() error {
			_, _, err := b.Submit(t.Context(), submit.Request{Type: "file.checksum", From: refer})
			return err
		},
		"in pieces": func() error { _, _, err := b.Begin(t.Context(), file, ""); return err },
		"again": func() error {
			_, err := b.Retry(t.Context(), access.Everything, old.ID, submit.Again{})
			return err
		},
		"in lines": func() error {
			answers := send(t, b.Submitter, text)
			if answers[1].Status != 422 {
				t.Errorf("a line that is wrong: %+v", answers[1])
			}
			first, third := answers[0].Refused(), answers[2].Refused()
			if (first == nil) != (third == nil) {
				t.Errorf("lines 1 and 3: %+v", answers)
			}
			if first == nil {
				return nil
			}
			return first
		},
	}
	why := "no more"
	full.Store(&why)
	for name, way := range ways {
		var e *httpapi.Error
		if err := way(); !errors.As(err, &e) || e.Code != httpapi.StoreFull || e.Status != 503 ||
			e.RetryAfter == 0 && name != "in lines" ||
			!strings.Contains(e.Detail, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := b.Store.Count(t.Context()); n != 1 || err != nil {
		t.Errorf("%d jobs, %v", n, err)
	}
	full.Store(nil)
	for name, way := range ways {
		if err := way(); err != nil {
			t.Errorf("%s, with room: %v", name, err)
		}
	}
}
