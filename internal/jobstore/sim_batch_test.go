package jobstore

import (
	"context"
	"time"

	"longshore/internal/access"
	"longshore/job"
)

// A simBatch is the one batch of a world. It is open from its beginning, and closed, or canceled, while jobs
// come.
type simBatch struct {
	id       job.ID
	closed   bool // no job is to come into it any more
	canceled bool
	done     bool  // it was seen to have ended
	over     int64 // watched time since when all its jobs have ended; 0 = not yet
	members  []*simJob
}

// openBatch makes the batch, and sees to its end.
func (s *sim) openBatch() {
	s.batch = &simBatch{id: s.newID("")}
	nj := NewJob{ID: s.batch.id, Type: job.BatchType, Lane: job.LaneIO, Priority: job.Default,
		Timeout:     time.Second,
		MaxAttempts: 1, Retention: 24 * time.Hour, ExpiresIn: 24 * time.Hour}
	s.redis(func(ctx context.Context) {
		if _, err := s.store.OpenBatch(ctx, nj); err != nil {
			s.violate("%s: open: %v", nj.ID, err)
		}
	})
	ends := s.ids.IntN(4)
	s.after(nil, 40_000+s.ids.Int64N(50_000), func() { s.closeBatch(ends) })
}

// closeBatch closes it, now and then by its first step alone, as who is killed then does, or cancels it.
func (s *sim) closeBatch(how int) {
	b := s.batch
	b.closed = true
	s.redis(func(ctx context.Context) {
		var err error
		switch how {
		case 0:
			b.canceled = true
			_, err = s.store.CancelBy(ctx, b.id, "sim")
		case 1:
			err = s.scriptOnly(ctx, b.id)
		default:
			_, err = s.store.Views().CloseBatch(ctx, access.Everything, b.id, "sim")
		}
		if s.answered(err) != nil {
			s.after(nil, 1000, func() { s.closeBatch(how) })
		}
	})
}

func (s *sim) scriptOnly(ctx context.Context, id job.ID) error {
	return s.store.scripts.close.Run(ctx, s.rdb, []string{s.store.base(id)}, id.Raw(), "sim", "", "").Err()
}

// join puts some jobs into the batch while it is open.
func (s *sim) join(j *simJob, nj *NewJob) {
	if s.batch == nil || s.batch.closed || s.ids.IntN(2) == 0 {
		return
	}
	nj.Batch, j.member = s.batch.id, true
	s.batch.members = append(s.batch.members, j)
}

// judgeBatch holds that a batch has ended only if all its jobs have, and keeps their records.
func (s *sim) judgeBatch() {
	b := s.batch
	if b == nil || b.done {
		return
	}
	m, err := s.moving(b.id)
	if err != nil {
		return
	}
	if b.done = m.state.Terminal(); b.done {
		s.say("%s the batch is %s", b.id[30:], m.state)
	}
	ended := b.closed && !s.faults
	for _, j := range b.members {
		ended = ended && (j.state == "" || j.state.Terminal())
		switch s.observe(j); {
		case j.gone && j.acked:
			s.violate("%s: is gone, and its batch is there", j.id)
		case b.done && j.state != "" && !j.state.Terminal():
			s.violate("%s: is %s, and its batch has ended", j.id, j.state)
		}
	}
	switch {
	case !ended || b.done:
		b.over = 0
	case b.over == 0:
		b.over = s.watched
	case s.watched-b.over > 30_000:
		s.violate("%s: the batch is open, and its jobs have ended", b.id)
	}
}

// judgeCounts holds that a batch has counted its jobs when all is over.
func (s *sim) judgeCounts() {
	b := s.batch
	if b == nil {
		return
	}
	snap, err := s.store.Get(context.Background(), b.id)
	switch {
	case err != nil:
		s.violate("%s: %v", b.id, err)
		return
	case !snap.Done:
		s.violate("%s: the batch is still %s: %+v", b.id, snap.State, snap.Jobs)
		return
	}
	want, got := map[job.State]int64{}, snap.Jobs
	for _, j := range b.members {
		if j.state != "" {
			want[j.state]++
		}
	}
	if got.Succeeded != want[job.Succeeded] || got.Failed != want[job.Failed] ||
		got.Canceled != want[job.Canceled] ||
		got.Expired != want[job.Expired] || got.Total != got.Ended() {
		s.violate("%s: the batch has %+v of %v", b.id, *got, want)
	}
	if b.canceled != (snap.State == job.Canceled) {
		s.violate("%s: the batch is %s", b.id, snap.State)
	}
}
