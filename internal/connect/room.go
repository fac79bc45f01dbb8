package connect

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A census says whether there are as many jobs as there may be. Jobs are counted
// now and then, beside all work, so that a submission costs no more for being
// counted; what comes in between may go beyond.
type census struct {
	max  int64 // 0 = no limit: nothing is counted
	over atomic.Bool
}

const (
	lookEvery = time.Second
	// countTimeout bounds a count, so that a Redis that hangs doesn't stop the next.
	countTimeout = time.Second
)

// WatchRoom lets the submitter know how full Redis is and how many jobs there are,
// until ctx ends. Without it the submitter knows what was so when the system was opened.
func (s *System) WatchRoom(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		_ = s.lookForRoom(ctx) // whoever meets this trouble too says so
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *System) lookForRoom(ctx context.Context) error {
	return errors.Join(s.memory.Look(ctx), s.count(ctx))
}

// count counts the jobs, if that matters. Where it fails, what was known stays:
// a ceiling must not go because Redis is slow.
func (s *System) count(ctx context.Context) error {
	if s.jobs.max == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	n, err := s.Store.Count(ctx)
	if err != nil {
		return err
	}
	s.jobs.over.Store(n >= s.jobs.max)
	return nil
}

// full says why the submitter may take no more, "" while it may.
func (s *System) full() string {
	switch {
	case s.memory.Full():
		return "the job store is nearly full"
	case s.jobs.over.Load():
		return fmt.Sprintf("there are as many jobs as there may be, %d (MAX_JOBS)", s.jobs.max)
	}
	return ""
}
