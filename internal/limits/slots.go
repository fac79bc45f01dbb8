package limits

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/strictjson"
)

// A slot is held to a job's end, or for each run, which is the default.
const (
	keepRun = "run"
	keepEnd = "end"
)

// mostOfJob is how many limits of jobs at once, and of starts, hold for one job.
const mostOfJob = 4

// waits tells that a limit is one of what waits.
func (l *limit) waits() bool { return l.spec.Depth > 0 || l.age > 0 }

// runs tells that a limit is one of what runs or starts.
func (l *limit) runs() bool { return l.spec.Concurrency > 0 || l.gap > 0 }

// keeps tells that a slot is held to its job's end.
func (l *limit) keeps() bool { return l.spec.Keep == keepEnd }

// slots are a limit of jobs at once, and of starts, as the store knows them: first what is held longer.
func (l *limit) slots() (all []jobstore.Slots) {
	name := l.owner + "/" + l.name
	if l.spec.Concurrency > 0 {
		all = append(all, jobstore.Slots{Limit: name, Most: l.spec.Concurrency, ToEnd: l.keeps()})
	}
	if l.gap > 0 {
		all = append(all, jobstore.Slots{Limit: name, Gap: l.gap, Burst: l.spec.Rate.Burst})
	}
	return all
}

// Classify names the limits of jobs at once, and of starts, that a new job is one of. One that is told apart
// by keys is for jobs with a key.
func (r *Room) Classify(n *jobstore.NewJob) {
	var mine []*limit
	for _, l := range r.current(context.Background()) { // a look has a bound of its own
		if l.runs() && l.binds(n) && (n.LimitKey != "" || !l.perKey && l.spec.Match.Key == "") &&
			matchesKey(l.spec.Match.Key, n.LimitKey) {
			mine = append(mine, l)
		}
	}
	if len(mine) == 0 {
		return
	}
	// Those held to the end come first, and of them one counts: a job that waits for a slot of another
	// limit holds its place in the order already.
	rank := map[bool]int{true: 0, false: 1}
	slices.SortFunc(mine, func(a, b *limit) int {
		return cmp.Or(cmp.Compare(rank[a.keeps()], rank[b.keeps()]), cmp.Compare(a.owner, b.owner),
			cmp.Compare(a.name, b.name))
	})
	taken := 0
	for i, l := range mine {
		if (i == 0 || !l.keeps()) && taken < mostOfJob {
			taken++
			for _, one := range l.slots() {
				n.Limits = append(n.Limits, one.Class(l.apart(n)))
			}
		}
	}
}

// apart is a hash of what a limit tells jobs apart by. Keys are of a tenant's own choosing, so two
// tenants' are never the same.
func (l *limit) apart(n *jobstore.NewJob) string {
	var of []string
	if l.perTenant || l.perKey {
		of = append(of, "tenant", n.Owner.Of())
	}
	if l.perType {
		of = append(of, "type", n.Type)
	}
	if l.perKey {
		of = append(of, "key", n.LimitKey)
	}
	if of == nil {
		return "-"
	}
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return hex.EncodeToString(sum[:10])
}

// matchesKey reports whether a pattern lets a key, which may hold any sign: * alone is special.
func matchesKey(glob, key string) bool {
	first, rest, more := strings.Cut(glob, "*")
	if glob == "" || !more {
		return glob == "" || glob == key
	}
	if !strings.HasPrefix(key, first) {
		return false
	}
	key = key[len(first):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(key, part)
		}
		i := strings.Index(key, part)
		if i < 0 {
			return false
		}
		key, rest = key[i+len(part):], next
	}
}

// saidAnew says the limits of what runs again where the scripts know another table than ours.
func (r *Room) saidAnew(ctx context.Context, t *table) error {
	if !slices.ContainsFunc(t.limits, (*limit).runs) {
		return nil
	}
	rev, _ := strconv.ParseInt(t.rev, 10, 64)
	said, err := r.Store.SlotsRev(ctx)
	if err != nil || said == rev {
		return err
	}
	return r.sayThem(ctx, t)
}

// sayThem has the scripts know the limits of a table of what runs and starts.
func (r *Room) sayThem(ctx context.Context, t *table) error {
	var all []jobstore.Slots
	for _, l := range t.limits {
		all = append(all, l.slots()...)
	}
	rev, _ := strconv.ParseInt(t.rev, 10, 64)
	return r.Store.SetSlots(ctx, rev, all)
}

// rate reads how often jobs may start.
func (r *reading) rate(value []byte) {
	rate := &answer.LimitRate{Burst: 1}
	var per time.Duration
	given := map[string]bool{}
	err := strictjson.Fields(value, func(name, value []byte) error {
		at := "/rate/" + pointerName(string(name))
		given[string(name)] = value[0] != 'n'
		switch {
		case string(name) != "n" && string(name) != "per" && string(name) != "burst":
			r.bad(at, unknown)
		case value[0] == 'n': // null
		case string(name) == "per":
			text := string(value) // a bare number is seconds
			if value[0] == '"' {
				text, _ = httpapi.TextOf(value)
			}
			var err error
			if per, err = httpapi.ParseDuration(text); err != nil || per < minPer || per > maxPer {
				r.bad(at, "expected a duration from 1s to 24h")
			}
		default:
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil || n < 1 || n > maxRate {
				r.bad(at, "expected a whole number from 1 to "+strconv.Itoa(maxRate))
			}
			if string(name) == "n" {
				rate.N = n
			} else {
				rate.Burst = n
			}
		}
		return nil
	})
	if err != nil {
		r.bad("/rate", "expected an object")
		return
	}
	for _, needed := range []string{"n", "per"} {
		if !given[needed] {
			r.bad("/rate/"+needed, "is missing: a rate is n starts per time")
		}
	}
	if r.wrong != nil {
		return
	}
	rate.Per = httpapi.FormatDuration(per)
	r.gap = per / time.Duration(rate.N)
	r.spec.Rate = rate
}
