package asynqjobs

import (
	"cmp"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"

	"longshore/internal/asynqtask"
)

// TestLease has a run go on for hours: asynq would take it for lost after half a minute, if nobody answered
// when it extends its lease. A server that is stopped leaves nothing behind.
func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := newServer(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
			select {
			case <-time.After(20 * time.Hour):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}), asynq.Config{Logger: nobody{}})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Minute) // nothing comes for long
		began := time.Now()
		c := &call{ctx: t.Context(), ended: make(chan verdict, 1), returned: make(chan struct{}),
			task: asynqtask.Task{Type: "a", ID: "1", Queue: "default", Timeout: beyond}}
		if !s.enter(c) || s.enter(c) {
			t.Error("one id runs once at a time")
		}
		if v, err := s.do(c); err != nil || v.what != scriptDone || time.Since(began) < 20*time.Hour {
			t.Errorf("after %v: %+v, %v", time.Since(began), v, err)
		}
		// a process that stood still: asynq takes the lease for over, and says nothing
		for name, lost := range map[string]*call{"late": {whole: true}, "failed": {whole: true, err: asynq.SkipRetry},
			"panicked": {}} {
			lost.ctx, lost.ended, lost.returned = t.Context(), make(chan verdict, 1), make(chan struct{})
			close(lost.returned)
			want := map[string]string{"late": scriptDone}[name]
			if v := s.forgotten(lost); v.what != cmp.Or(want, scriptRequeue) {
				t.Errorf("%s: %+v", name, v)
			}
		}
		s.stop()
	})
}
