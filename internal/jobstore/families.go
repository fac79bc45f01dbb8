package jobstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"longshore/internal/access"
	"longshore/job"
)

// maxTenants is how many tenants' jobs are merged into one list.
const maxTenants = 64

// ErrManyTenants says that there are too many tenants for one list of all their jobs.
var ErrManyTenants = errors.New("there are more than 64 tenants: name one")

// families are those whose jobs a list has, by partition: of a tenant, or all; of a type, or all.
func (s *Store) families(ctx context.Context, tenant, kind string) ([][]string, error) {
	switch {
	case tenant == access.Installation && kind != "":
		return s.familiesOfType(ctx, kind)
	case tenant == access.Installation || tenant == access.DefaultTenant && kind == "":
		return s.allFamilies(ctx, tenant)
	}
	found := make([][]string, len(s.bases))
	if kind != "" {
		for part := range found {
			found[part] = []string{familyOf(tenant, kind)}
		}
		return found, nil
	}
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.HKeys(ctx, base+"n:"+tenant)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for part, cmd := range cmds {
		for _, family := range cmd.Val() {
			if len(family) == 8 {
				found[part] = append(found[part], family)
			}
		}
		slices.Sort(found[part])
	}
	return found, nil
}

// familiesOfType are those of one type, of all tenants.
func (s *Store) familiesOfType(ctx context.Context, kind string) ([][]string, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringSliceCmd, len(s.bases))
	for part, base := range s.bases {
		cmds[part] = pipe.SMembers(ctx, base+"tenants")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	found := make([][]string, len(s.bases))
	for part, cmd := range cmds {
		if len(cmd.Val()) >= maxTenants {
			return nil, ErrManyTenants
		}
		for _, tenant := range append(cmd.Val(), access.DefaultTenant) {
			found[part] = append(found[part], familyOf(tenant, kind))
		}
	}
	return found, nil
}

// allFamilies are those of all tenants, or those that may be the usual one's.
func (s *Store) allFamilies(ctx context.Context, tenant string) ([][]string, error) {
	parts, err := s.standing(ctx)
	if err != nil {
		return nil, err
	}
	found := make([][]string, len(parts))
	for part, is := range parts {
		if tenant == access.Installation && is.tenants >= maxTenants {
			return nil, ErrManyTenants
		}
		all := is.families()
		if tenant != access.Installation {
			if untold := is.strikeTold(all, tenant); untold && is.tenants > 0 {
				if err := s.strikeOthers(ctx, s.bases[part], all); err != nil {
					return nil, err
				}
			}
		}
		found[part] = slices.Sorted(maps.Keys(all))
	}
	return found, nil
}

// A standing is what a partition has from which its families can be told.
type standing struct {
	fields, heads []string // of its counters; texts of its heads
	tenants       int64    // beside the usual one
}

// standing asks all partitions. Where err is that a key is of another type, what it returns lacks that one's.
func (s *Store) standing(ctx context.Context) ([]standing, error) {
	pipe := s.rdb.Pipeline()
	counts, heads := make([]*redis.StringSliceCmd, len(s.bases)), make([]*redis.StringSliceCmd, len(s.bases))
	tenants := make([]*redis.IntCmd, len(s.bases))
	for part, base := range s.bases {
		counts[part], heads[part] = pipe.HKeys(ctx, base+"n"), pipe.HVals(ctx, base+"heads")
		tenants[part] = pipe.SCard(ctx, base+"tenants")
	}
	_, err := pipe.Exec(ctx)
	all := make([]standing, len(s.bases))
	for part := range all {
		all[part] = standing{counts[part].Val(), heads[part].Val(), tenants[part].Val()}
	}
	return all, err
}

// families are those of which the partition has, or had, jobs: of all tenants.
func (is standing) families() map[string]bool {
	all := map[string]bool{}
	for _, field := range is.fields {
		if len(field) == 9 {
			all[field[:8]] = true
		}
	}
	for _, said := range is.heads {
		if len(said) > 8 {
			all[said[:8]] = true
		}
	}
	return all
}

// strikeTold takes out of the partition's families those of other tenants, as far as heads tell, and reports
// whether there are some of which none does.
func (is standing) strikeTold(all map[string]bool, tenant string) (untold bool) {
	told := map[string]bool{}
	for _, said := range is.heads {
		if len(said) < 9 {
			continue
		}
		told[said[:8]] = true
		if words := strings.Split(said[8:], " "); len(words) != 7 || words[5] != tenant {
			delete(all, said[:8])
		}
	}
	for family := range all {
		if !told[family] {
			return true
		}
	}
	return false
}

// strikeOthers takes the families of tenants other than the usual one out of a set: where the table of heads
// is full it doesn't tell them.
func (s *Store) strikeOthers(ctx context.Context, base string, all map[string]bool) error {
	names, err := s.rdb.SMembers(ctx, base+"tenants").Result()
	if err != nil {
		return err
	}
	for some := range slices.Chunk(names, scanChunk) {
		pipe := s.rdb.Pipeline()
		cmds := make([]*redis.StringSliceCmd, len(some))
		for i, name := range some {
			cmds[i] = pipe.HKeys(ctx, base+"n:"+name)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
		for _, cmd := range cmds {
			for _, family := range cmd.Val() {
				delete(all, family)
			}
		}
	}
	return nil
}

// byMember reports whether a list's places tell jobs of one moment apart by their ids.
func byMember(f job.Filter) bool {
	return f.Subject != "" || slices.Contains(rareStates, f.State)
}

// ownSource walks the jobs of one owner, the newest ids first.
func (s *Store) ownSource(code string) func(context.Context, listEntry, bool, int) ([]listEntry, bool,
	error) {
	return func(ctx context.Context, after listEntry, going bool, n int) ([]listEntry, bool, error) {
		top := "(" + next(code)
		if going {
			// ids of one moment may lie in several partitions
			top = "[" + code + after.tie
		}
		pipe := s.rdb.Pipeline()
		cmds := make([]*redis.StringSliceCmd, len(s.bases))
		for part, base := range s.bases {
			cmds[part] = pipe.ZRevRangeByLex(ctx, base+"own", &redis.ZRangeBy{Max: top, Min: "[" + code,
				Count: int64(n) + 1})
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, false, err
		}
		lists, more := make([][]listEntry, len(cmds)), make([]bool, len(cmds))
		for part, cmd := range cmds {
			for _, member := range cmd.Val() {
				raw, ok := strings.CutPrefix(member, code)
				if !ok || len(raw) != 16 || going && raw >= after.tie {
					continue
				}
				id := job.FromRaw(raw)
				lists[part] = append(lists[part], listEntry{id, id.Time().UnixMilli(), 0, raw})
			}
			more[part] = len(cmd.Val()) == n+1 && len(lists[part]) > 0
		}
		entries, end := merge(lists, more, n)
		return entries, end, nil
	}
}

// next is the least text above all that begin with some bytes.
func next(text string) string {
	b := []byte(text)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return string(b[:i+1])
		}
	}
	return "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
}
