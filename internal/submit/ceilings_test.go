package submit_test

import (
	"errors"
	"strings"
	"testing"
	"time"

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
	b := setup(t, func(c *submit.Config) { c.MaxTimeout, c.MaxRetention, c.MaxAttempts = 2*time.Second, time.Hour, 2 })
	for place, c := range map[string]struct {
		setting    string
		most, over func(*submit.Request)
	}{
		"/timeout":      {"MAX_TIMEOUT", func(r *submit.Request) { r.Timeout = 2 * time.Second }, func(r *submit.Request) { r.Timeout = 2*time.Second + 1 }},
		"/retention":    {"MAX_RETENTION", func(r *submit.Request) { r.Retention = time.Hour }, func(r *submit.Request) { r.Retention = time.Hour + time.Second }},
		"/max_attempts": {"MAX_ATTEMPTS", func(r *submit.Request) { r.MaxAttempts = 2 }, func(r *submit.Request) { r.MaxAttempts = 3 }},
	} {
		b.submit(primes(c.most))
		_, _, err := b.Submit(t.Context(), primes(c.over))
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Status != 422 || len(e.Errors) != 1 || e.Errors[0].Pointer != place || !strings.Contains(e.Errors[0].Detail, c.setting) {
			t.Errorf("%s over the ceiling: %v", place, err)
		}
		line := map[string]string{"/timeout": `"timeout":"3s"`, "/retention": `"retention":"2h"`, "/max_attempts": `"max_attempts":3`}[place]
		answers := send(t, b.Door, `{"type":"math.primes","payload":{"n":10},`+line+"}\n")
		if len(answers) != 1 || answers[0].Status != 422 || answers[0].Errors[0].Pointer != place {
			t.Errorf("line with %s: %+v", line, answers)
		}
	}
	snap := b.submit(primes(func(*submit.Request) {})) // what it doesn't name is cut down
	record, err := b.Store.Read(t.Context(), snap.ID)
	if err != nil || record.Timeout > 2*time.Second || record.Retention > time.Hour || record.Snapshot.MaxAttempts > 2 {
		t.Errorf("by default: %+v, %v", record, err)
	}
}

// A retry of a job from before the ceilings gets what they allow.
func TestRetryUnderCeilings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.submit(primes(func(r *submit.Request) { r.Timeout, r.Retention, r.MaxAttempts = 5*time.Hour, 300*time.Hour, 50 }))
	b.finish(old.ID, jobstore.Succeeded)
	b.MaxTimeout, b.MaxRetention, b.MaxAttempts = time.Second, time.Hour, 2
	snap, err := b.Retry(t.Context(), old.ID)
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
		{time.Hour, time.Minute, true}, {time.Hour, time.Hour - time.Minute, true}, {time.Hour, 2 * time.Hour, false},
		{-time.Hour, time.Second, false}, {time.Hour, 0, false}, {0, time.Second, false},
	} {
		_, _, err := b.Submit(t.Context(), primes(func(r *submit.Request) { r.RunAt, r.ExpiresIn = time.Now().Add(c.ahead), c.expires }))
		var e *httpapi.Error
		if errors.As(err, &e) != c.refused || c.refused && (e.Status != 422 || e.Errors[0].Pointer != "/expires_in") {
			t.Errorf("run_at in %v, expires_in %v: %v", c.ahead, c.expires, err)
		}
	}
}
