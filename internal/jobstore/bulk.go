package jobstore

import (
	"context"
	"errors"
	"strconv"

	"longshore/internal/access"
	"longshore/internal/batch"
	"longshore/job"
)

// ErrMoved says that a job is not any more in a state in which something was to happen to it.
var ErrMoved = errors.New("job has moved on")

// A RetriedError says that a job was retried before.
type RetriedError struct {
	As job.ID
	By string // "" = not told
}

func (e *RetriedError) Error() string { return "job was retried as " + string(e.As) }

func flagText(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

// RequestCancelBy is RequestCancel, and notes who asked in the job's story; "" = nobody says.
func (s *Store) RequestCancelBy(ctx context.Context, id job.ID, by string) error {
	return s.requestCancel(ctx, access.Everything, id, by)
}

func (s *Store) requestCancel(ctx context.Context, view access.View, id job.ID, by string) error {
	errs, err := s.cancelMany(ctx, view, []job.ID{id}, by, "")
	if err == nil {
		err = s.missing(ctx, id, errs[0])
	}
	if errors.Is(err, ErrEnded) {
		return nil
	}
	return err
}

// CancelBy is RequestCancelBy and the job as it is afterwards.
func (s *Store) CancelBy(ctx context.Context, id job.ID, by string) (job.Snapshot, error) {
	if err := s.RequestCancelBy(ctx, id, by); err != nil {
		return job.Snapshot{}, err
	}
	return s.Get(ctx, id)
}

// ErrEnded says that a job has ended which was to be canceled, or released.
var ErrEnded = errors.New("job has ended")

// CancelMany asks for the end of jobs that are in a state that the filter means. Each has an error of its
// own: nil, ErrMoved, job.ErrNotFound or job.ErrDamaged; err is Redis's. It may be repeated.
func (s *Store) CancelMany(ctx context.Context, ids []job.ID, by string, f job.Filter) ([]error, error) {
	errs, err := s.cancelMany(ctx, ViewOf(f), ids, by, letters(f))
	for i, one := range errs {
		if errors.Is(one, ErrEnded) {
			errs[i] = ErrMoved
		}
	}
	return errs, err
}

func (s *Store) cancelMany(ctx context.Context, view access.View, ids []job.ID,
	by, letters string) ([]error, error) {
	calls := make([]*batch.Call, len(ids))
	for i, id := range ids {
		calls[i] = s.callFor(view, id, strconv.Itoa(cancelCapMS), by, letters)
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.cancel, bulkSize, calls); err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	for i, c := range calls {
		if errs[i] = status(ids[i], c.Reply); text(c.Reply[0]) == "ended" {
			errs[i] = ErrEnded
		}
	}
	return errs, nil
}

// RemoveMany forgets jobs that have ended, in a state that the filter means. Each has an error of its own:
// nil, ErrMoved, job.ErrNotFound, job.ErrNotEnded, job.ErrInUse or job.ErrDamaged; err is Redis's.
func (s *Store) RemoveMany(ctx context.Context, ids []job.ID, f job.Filter) ([]error, error) {
	calls := make([]*batch.Call, len(ids))
	for i, id := range ids {
		calls[i] = s.callFor(ViewOf(f), id, letters(f))
	}
	if err := batch.RunAll(ctx, s.rdb, s.scripts.remove, bulkSize, calls); err != nil {
		return nil, err
	}
	errs := make([]error, len(ids))
	for i, c := range calls {
		if errs[i] = status(ids[i], c.Reply); errs[i] == nil {
			errs[i] = s.removed(ctx, ids[i], c.Reply)
		}
	}
	return errs, nil
}

// letters are those under which jobs are counted that a filter means; "" = any.
func letters(f job.Filter) string {
	if f.State == "" {
		return ""
	}
	if !byEntry(f) {
		return stateLetters[f.State]
	}
	all := ""
	for _, letter := range lettersOf(f) {
		all += letter
	}
	return all
}
