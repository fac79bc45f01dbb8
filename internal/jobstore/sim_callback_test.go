package jobstore

import (
	"context"
	"time"

	"longshore/job"
)

// simCallbackLease is how long a claimed callback is hidden from others.
const simCallbackLease = 20 * time.Second

// claim takes due callbacks and delivers them, each a while later: the process
// may die or be paused in between.
func (s *sim) claim(p *proc) {
	var claims []CallbackClaim
	s.rpc(p, func(ctx context.Context) (err error) {
		claims, err = s.store.ClaimCallbacks(ctx, 3, simCallbackLease)
		return err
	}, func(err error) {
		if err != nil {
			return // what was claimed is due again when its lease ends
		}
		for _, c := range claims {
			s.after(p, s.rng.Int64N(2000), func() { s.deliver(p, c) })
		}
	})
}

// deliver is one POST. The receiver counts it, and may fail or say that it is gone.
func (s *sim) deliver(p *proc, c CallbackClaim) {
	j := s.jobs[c.ID]
	snap, err := s.store.Get(context.Background(), c.ID)
	if err != nil || !snap.Done {
		s.violate("%s: callback delivered while %s: %v", c.ID, snap.State, err)
	}
	j.called++
	settlement := CallbackSettlement{Claim: c, Outcome: CallbackDelivered, Status: 200}
	switch {
	case s.chance(30):
		settlement.Outcome, settlement.Delay = CallbackRetry,
			time.Duration(s.rng.Int64N(8000))*time.Millisecond
		settlement.Status, settlement.Code = 503, "http_status"
	case s.rng.IntN(10) == 0:
		settlement.Outcome, settlement.Status, settlement.Code = CallbackFailed, 410, "gone"
	}
	s.say("%s called back for %s: %s", p.name, c.ID[30:], settlement.Outcome)
	s.ask(p, func(ctx context.Context) error {
		before, _ := s.store.Callback(ctx, c.ID)
		if err := s.store.SettleCallbacks(ctx, []CallbackSettlement{settlement}); err != nil {
			return err
		}
		after, err := s.store.Callback(ctx, c.ID)
		over := func(cb job.Callback) bool { return cb.DeliveredAt != nil || cb.GaveUpAt != nil }
		if over(before) && (!over(after) || after.Attempts != before.Attempts) {
			s.violate("%s: callback moved after its end, %+v to %+v", c.ID, before, after)
		}
		j.settled = j.settled || over(after)
		return err
	}, func(error) {})
}

// judgeCallback holds that an ended job's callback is over or due, never
// neither and never both.
func (s *sim) judgeCallback(j *simJob) {
	ctx := context.Background()
	score := s.rdb.ZScore(ctx, s.store.base(j.id)+"owes:webhook", j.id.Raw())
	if !j.callback {
		if score.Err() == nil {
			s.violate("%s: callback due of a job that has none", j.id)
		}
		return
	}
	cb, err := s.store.Callback(ctx, j.id)
	over := cb.State == job.CallbackDelivered || cb.State == job.CallbackFailed
	switch due := score.Err() == nil; {
	case err != nil:
		s.violate("%s: callback: %v", j.id, err)
	case over == due:
		s.violate("%s: callback is %s, and due: %v", j.id, cb.State, due)
	case !over:
		s.violate("%s: callback still %s after all faults were over", j.id, cb.State)
	case j.called == 0:
		s.violate("%s: callback %s that nobody sent", j.id, cb.State)
	}
}

// judgeCallbackTimes holds that no callback waits longer than for its pause or its
// claim, when sweepers have had their time after a jump of Redis's.
func (s *sim) judgeCallbackTimes() {
	if s.watched-s.jumped < 6000 || s.stalled > s.mono {
		return
	}
	most := float64(s.mono + s.skew + simCallbackLease.Milliseconds())
	for _, base := range s.store.bases {
		last := s.rdb.ZRevRangeWithScores(context.Background(), base+"owes:webhook", 0, 0).Val()
		if len(last) > 0 && last[0].Score > most {
			s.violate("%s: callback waits %.0f ms too long", last[0].Member, last[0].Score-most)
		}
	}
}
