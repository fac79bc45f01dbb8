package jobstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"longshore/job"
)

// A Slots says how many jobs that a limit doesn't tell apart may run at once, or, with a Gap, how often one
// may start. A limit that says both is two of them.
type Slots struct {
	Limit string // its name; no spaces and no colons
	Most  int64
	ToEnd bool // a slot is held until its job has ended, else for each run

	Gap   time.Duration // that each start makes up for, 1 µs at least
	Burst int64         // starts at once
}

// rateMark stands behind the name of a limit where its rate is meant.
const rateMark = ":r"

func (s Slots) name() string {
	if s.Gap > 0 {
		return s.Limit + rateMark
	}
	return s.Limit
}

// said is what the scripts are told of it. A gap is rounded up: better seldom than too often.
func (s Slots) said() string {
	switch {
	case s.Gap > 0:
		return fmt.Sprintf("%d/%d", (s.Gap+time.Microsecond-1)/time.Microsecond, s.Burst)
	case s.ToEnd:
		return fmt.Sprintf("%d end", s.Most)
	}
	return fmt.Sprintf("%d run", s.Most)
}

// Class is that of the jobs which a limit doesn't tell apart; by is a hash of what it tells others apart
// by.
func (s Slots) Class(by string) string { return s.name() + ":" + by }

// limitsForm tells who can say all that limits are from processes of older releases, which leave rates out.
const limitsForm = "2"

// SlotsRev is the revision of the table of limits that was said last; 0 = none was, or not all of it.
func (s *Store) SlotsRev(ctx context.Context) (int64, error) {
	said, err := s.rdb.HMGet(ctx, s.bases[0]+"limits", "rev", "form").Result()
	if err != nil || text(said[1]) != limitsForm {
		return 0, err
	}
	return integer(said[0]), nil
}

// SetSlots says how many jobs of each limit may run at once, and how often they may start, by the table of
// limits of a revision, which who says it has just read. Jobs of limits that are not in it run as if there
// were none.
func (s *Store) SetSlots(ctx context.Context, rev int64, all []Slots) error {
	args := []any{rev, "form", limitsForm}
	for _, one := range all {
		args = append(args, one.name(), one.said())
	}
	for _, base := range s.bases {
		if err := s.scripts.limits.Run(ctx, s.rdb, []string{base}, args...).Err(); err != nil {
			return fmt.Errorf("say the limits: %w", err)
		}
	}
	return nil
}

// A Line is what waits for a slot of a class, and who holds one; or for a token, and when the next one comes.
type Line struct {
	Waiting int64
	Holders []job.ID   // some of them
	Next    *time.Time // of a rate, unless it waits for a start
}

// someHolders bounds Line.Holders.
const someHolders = 5

// LineOf tells of the line in which a job's ticket stands; the zero value, where it stands in none.
func (s *Store) LineOf(ctx context.Context, id job.ID) (l Line, err error) {
	base := s.base(id)
	class, err := s.rdb.HGet(ctx, base+"x:"+id.Raw(), "lp").Result()
	if failed(err) {
		return l, err
	}
	if class == "" {
		return l, nil
	}
	if l.Waiting, err = s.rdb.LLen(ctx, base+"line:"+class).Result(); failed(err) {
		return l, err
	}
	if strings.Contains(class, rateMark+":") {
		due, err := s.rdb.ZScore(ctx, base+"later", class).Result()
		if err == nil {
			l.Next = timeOf(int64(due))
		}
		if failed(err) {
			return l, err
		}
		return l, nil
	}
	raws, err := s.rdb.SRandMemberN(ctx, base+"slots:"+class, someHolders).Result()
	if failed(err) {
		return l, err
	}
	for _, raw := range raws {
		l.Holders = append(l.Holders, job.FromRaw(raw))
	}
	return l, nil
}

// limitOf is the name of the limit of a class, as its owner calls it.
func limitOf(class string) string {
	name := class[:max(strings.LastIndexByte(class, ':'), 0)]
	return strings.TrimSuffix(name[strings.IndexByte(name, '/')+1:], rateMark)
}
