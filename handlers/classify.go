package handlers

import (
	"context"
	"errors"
	"time"

	"longshore/internal/jq"
	"longshore/internal/stream"
	"longshore/job"
)

// busyDelay is how long a job waits that found no memory for its input's window.
const busyDelay = 5 * time.Second

// classify gives errors of package stream their failure codes; an input that
// is broken now will be broken at the next attempt, so those are final. Errors
// that have a code already, and all others, stay as they are.
func classify(err error) error {
	if f := (*Failure)(nil); errors.As(err, &f) {
		return err
	}
	if corrupt := (*stream.CorruptError)(nil); errors.As(err, &corrupt) {
		return FailWith(job.CorruptInput, err)
	}
	if limit := (*stream.LimitError)(nil); errors.As(err, &limit) {
		if limit.Limit == stream.LimitRecord {
			return FailWith(job.RecordTooLong, err)
		}
		if limit.Limit == stream.LimitWindow {
			return FailWith(job.WindowLimit, err)
		}
		return FailWith(job.OutputLimit, err)
	}
	if errors.Is(err, stream.ErrBusy) {
		return After(busyDelay)
	}
	if errors.Is(err, jq.ErrSteps) {
		return FailWith(job.StepLimit, err)
	}
	if record := (*stream.RecordError)(nil); errors.As(err, &record) {
		return FailWith(job.CorruptInput, err)
	}
	return err
}

// storageError marks an error of the run's files. It is not the data's fault,
// so the next attempt may do better. An error that has a code keeps it, and
// when the run is told to end, that is the error.
func storageError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f := (*Failure)(nil); errors.As(err, &f) {
		return err
	}
	return &Failure{Code: job.StorageError, Err: err}
}
