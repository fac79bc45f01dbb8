package jobstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/job"
)

// Counts returns how many jobs there are of each state, by the counters that moves keep.
func (s *Store) Counts(ctx context.Context) (map[job.State]int64, error) {
	sum := map[job.State]int64{}
	err := s.counters(ctx, func(field string, n int64) {
		if state, ok := states[field[min(len(field), 8):]]; ok && len(field) == 9 {
			sum[state] += n
		}
	})
	for state, n := range sum { // strange hands may have taken what was counted
		sum[state] = max(n, 0)
	}
	return sum, err
}

// Count returns how many jobs there are: all that a list would show.
func (s *Store) Count(ctx context.Context) (int64, error) {
	counts, err := s.Counts(ctx)
	var n int64
	for _, of := range counts {
		n += of
	}
	return n, err
}

// RunningIn returns how many jobs run, by where they waited.
func (s *Store) RunningIn(ctx context.Context) (map[job.Place]int64, error) {
	running := map[job.Place]int64{}
	err := s.counters(ctx, func(field string, n int64) {
		if queue, ok := strings.CutPrefix(field, "runs:"); ok {
			running[job.ParsePlace(queue)] += n
		}
	})
	for at, n := range running { // strange hands may have taken what was counted
		running[at] = max(n, 0)
	}
	return running, err
}

// counters calls f for each counter of each partition.
func (s *Store) counters(ctx context.Context, f func(field string, n int64)) error {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.HGetAll(ctx, base+"n")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("count jobs: %w", err)
	}
	for _, cmd := range cmds {
		for field, n := range cmd.Val() {
			f(field, integer(n))
		}
	}
	return nil
}

// OpenOf returns how many jobs of a type have not ended.
func (s *Store) OpenOf(ctx context.Context, kind string) (n int64, err error) {
	families, err := s.families(ctx, access.Installation, kind)
	if err != nil {
		return 0, err
	}
	ours := map[string]bool{}
	for _, part := range families {
		for _, family := range part {
			ours[family] = true
		}
	}
	err = s.counters(ctx, func(field string, of int64) {
		if len(field) == 9 && ours[field[:8]] && !states[field[8:]].Terminal() {
			n += of
		}
	})
	return max(n, 0), err
}

// A Totals is how many jobs there are, by their counters.
type Totals struct {
	Counts  map[job.State]int64 // without Retried
	Retried int64               // failed ones that were retried since
	// Ended are all that ever ended, those that were removed too: they only grow.
	Ended map[job.State]int64
}

// Totals returns those of each type that has, or had, jobs; of one tenant, of one type, if they are not "".
func (s *Store) Totals(ctx context.Context, tenant, kind string) (map[string]*Totals, error) {
	all, err := s.familyTotals(ctx)
	totals := map[string]*Totals{}
	for _, of := range all {
		if tenant != "" && tenant != of.Tenant || kind != "" && kind != of.Type {
			continue
		}
		if totals[of.Type] == nil {
			totals[of.Type] = &Totals{Counts: map[job.State]int64{}, Ended: map[job.State]int64{}}
		}
		totals[of.Type].add(&of.Totals)
	}
	return totals, err
}

// add adds to t what is counted; strange hands may have taken what was.
func (t *Totals) add(of *Totals) {
	t.Retried += max(of.Retried, 0)
	for state, n := range of.Counts {
		t.Counts[state] += max(n, 0)
	}
	for state, n := range of.Ended {
		t.Ended[state] += n
	}
}

// A TenantTotals is that of one type of one tenant.
type TenantTotals struct {
	Tenant, Type string
	Totals
}

// TotalsByTenant returns those of each type of each tenant, the ones with the most jobs first.
func (s *Store) TotalsByTenant(ctx context.Context) ([]TenantTotals, error) {
	all, err := s.familyTotals(ctx)
	list := make([]TenantTotals, 0, len(all))
	size := func(t *TenantTotals) (n int64) {
		for state, of := range t.Counts {
			if !state.Terminal() {
				n += of
			}
		}
		for _, of := range t.Ended {
			n += of
		}
		return n
	}
	for _, of := range all {
		list = append(list, *of)
	}
	slices.SortFunc(list, func(a, b TenantTotals) int {
		return cmp.Or(cmp.Compare(size(&b), size(&a)), strings.Compare(a.Tenant, b.Tenant),
			strings.Compare(a.Type, b.Type))
	})
	return list, err
}

// familyTotals are those of each family whose head is known.
func (s *Store) familyTotals(ctx context.Context) (map[string]*TenantTotals, error) {
	heads, err := s.familyHeads(ctx)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	totals := map[string]*TenantTotals{}
	err = s.counters(ctx, func(field string, n int64) {
		removed := strings.HasPrefix(field, "R") && len(field) == 10
		if removed {
			field = field[1:]
		}
		state, ok := states[field[min(len(field), 8):]]
		h, known := heads[field[:min(len(field), 8)]]
		if len(field) != 9 || !ok || !known {
			return
		}
		of := totals[h.family]
		if of == nil {
			of = &TenantTotals{h.tenant, h.kind, Totals{Counts: map[job.State]int64{},
				Ended: map[job.State]int64{}}}
			totals[h.family] = of
		}
		switch {
		case removed:
		case field[8:] == retriedLetter:
			of.Retried += n
		default:
			of.Counts[state] += n
		}
		if state.Terminal() {
			of.Ended[state] += n
		}
	})
	return totals, err
}

// familyHeads are heads of all families that the tables know.
func (s *Store) familyHeads(ctx context.Context) (map[string]head, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.HVals(ctx, base+"heads")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	heads := map[string]head{}
	for _, cmd := range cmds {
		for _, said := range cmd.Val() {
			if len(said) > 8 {
				if h, err := parseHead(said[8:]); err == nil {
					heads[said[:8]] = h
				}
			}
		}
	}
	return heads, nil
}
