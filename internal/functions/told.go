package functions

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"longshore/answer"
	"longshore/handlers"
	"longshore/internal/isolate"
	"longshore/job"
)

// Follow tells what a run counts, when it is new, until ctx ends; the last time after that.
func Follow(ctx context.Context, run *handlers.Run, every time.Duration, tell func(handlers.Counts)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var told handlers.Counts
	for {
		over := ctx.Err() != nil
		if now := run.Counts(); now != told {
			told = now
			tell(now)
		}
		if over {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// CodeOf is what a job's attempt that ended with its process has for a code.
func CodeOf(d *isolate.Death) job.Code {
	if d.OutOfMemory {
		return job.OutOfMemory
	}
	return job.Crashed
}

// SubmitKey is the idempotency key of a job that another one asks for, as its nth from 1: a repeat submits
// nothing twice.
func SubmitKey(by job.ID, n int) string { return string(by) + "/" + strconv.Itoa(n) }

// Submitted is what became of a line that a job asked to be submitted, as that job's error; nil if there is a
// job of it. differs is called where an attempt before this one said something else, which stays.
func Submitted(a answer.BatchAnswer, differs func()) error {
	switch e := a.Refused(); {
	case e == nil:
	case e.Code == answer.IdempotencyMismatch:
		differs()
	case e.Code == answer.Invalid:
		return handlers.Fail(fmt.Errorf("submit line %d is refused: %w", a.Line, e))
	default:
		return fmt.Errorf("submit line %d: %w", a.Line, e)
	}
	return nil
}
