package worker

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"longshore/handlers"
	"longshore/internal/jobstore"
	"longshore/job"
)

// TestErrorsCross holds that what a handler means by an error is the same from a child as from the worker's
// process: a pause of its own, an end for good, later, and nothing to do.
func TestErrorsCross(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	a := &attempt{worker: &worker{log: slog.New(slog.DiscardHandler)},
		ticket: job.Ticket{ID: job.NewID(time.Now())}}
	a.started.Attempt = 1
	for name, c := range map[string]struct {
		err  error
		want jobstore.End
	}{
		"error": {trouble, jobstore.End{Outcome: jobstore.Retry, Code: job.HandlerError, Message: "trouble"}},
		"retry": {handlers.RetryIn(trouble, time.Hour), jobstore.End{Outcome: jobstore.Retry, Delay: time.Hour,
			Code: job.HandlerError, Message: "trouble"}},
		"at once": {handlers.RetryIn(handlers.FailWith(job.CorruptInput, trouble), -time.Hour), jobstore.End{
			Outcome: jobstore.Retry, Delay: time.Millisecond, Code: job.CorruptInput, Message: "trouble"}},
		"fail": {handlers.Fail(trouble), jobstore.End{Outcome: jobstore.Failed, Code: job.HandlerError,
			Message: "trouble"}},
		"later":  {handlers.After(time.Hour), jobstore.End{Outcome: jobstore.Release, Delay: time.Hour}},
		"cancel": {errors.Join(handlers.ErrCancel, trouble), jobstore.End{Outcome: jobstore.Canceled}},
	} {
		text, err := json.Marshal(errorOf(t.Context(), c.err))
		if err != nil {
			t.Fatal(err)
		}
		var crossed childError
		if err := json.Unmarshal(text, &crossed); err != nil {
			t.Fatal(err)
		}
		for where, err := range map[string]error{"here": c.err, "in a child": crossed.err()} {
			got, counts := a.judge(t.Context(), nil, err)
			if name == "error" || name == "fail" { // the usual pause is drawn
				got.Delay = 0
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || !counts {
				t.Errorf("%s %s:\n%s", name, where, diff)
			}
		}
	}
}
