package jobstore

import (
	"context"
	"fmt"
	"strings"

	"longshore/job"
)

// A Slots says how many jobs that a limit doesn't tell apart may run at once.
type Slots struct {
	Limit string // its name; no spaces and no colons
	Most  int64
	ToEnd bool // a slot is held until its job has ended, else for each run
}

// Class is that of the jobs which a limit doesn't tell apart; by is a hash of what it tells others apart
// by.
func (s Slots) Class(by string) string { return s.Limit + ":" + by }

// SlotsRev is the revision of the table of limits that was said last; 0 = none was.
func (s *Store) SlotsRev(ctx context.Context) (int64, error) {
	rev, err := s.rdb.HGet(ctx, s.bases[0]+"limits", "rev").Int64()
	if failed(err) {
		return 0, err
	}
	return rev, nil
}

// SetSlots says how many jobs of each limit may run at once, by the table of limits of a revision,
// which who says it has just read. Jobs of limits that are not in it run as if there were none.
func (s *Store) SetSlots(ctx context.Context, rev int64, all []Slots) error {
	args := []any{rev}
	for _, one := range all {
		keep := "run"
		if one.ToEnd {
			keep = "end"
		}
		args = append(args, one.Limit, fmt.Sprintf("%d %s", one.Most, keep))
	}
	for _, base := range s.bases {
		if err := s.scripts.limits.Run(ctx, s.rdb, []string{base}, args...).Err(); err != nil {
			return fmt.Errorf("say the limits: %w", err)
		}
	}
	return nil
}

// A Line is what waits for a slot of a class, and who holds one.
type Line struct {
	Waiting int64
	Holders []job.ID // some of them
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
	return name[strings.IndexByte(name, '/')+1:]
}
