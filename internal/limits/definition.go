package limits

import (
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/strictjson"
	"longshore/job"
)

// A limit is one, read.
type limit struct {
	name, owner         string // owner is a tenant, or access.Installation
	spec                answer.LimitSpec
	perType, perTenant  bool
	perKey              bool
	age                 time.Duration // 0 = none
	gap                 time.Duration // of its rate; 0 = none
	rev                 int64
	changedBy, specText string
	changedAt           time.Time
}

// Bounds of a limit.
const (
	maxDepth = 1_000_000_000
	minAge   = time.Second
	maxAge   = 366 * 24 * time.Hour
	maxSlots = 1_000_000
	maxRate  = 1_000_000 // starts, and of them at once
	minPer   = time.Second
	maxPer   = 24 * time.Hour
)

const unknown = "unknown field"

// A reading is a limit that is being read, and what is wrong with it.
type reading struct {
	limit
	wrong []httpapi.Pointer
}

func (r *reading) bad(pointer, detail string) {
	r.wrong = append(r.wrong, httpapi.Pointer{Pointer: pointer, Detail: detail})
}

// read reads the body of a PUT. The error is an *httpapi.Error with each wrong place.
func read(text []byte, owner string) (*limit, error) {
	r := &reading{limit: limit{owner: owner}}
	err := strictjson.Fields(text, func(name, value []byte) error {
		r.member(string(name), value)
		return nil
	})
	if err != nil {
		return nil, httpapi.NewError(httpapi.Invalid, err.Error()).WithStatus(400)
	}
	if r.wrong == nil {
		r.check()
	}
	if r.wrong != nil {
		return nil, httpapi.NotValid(r.wrong...)
	}
	return &r.limit, nil
}

func (r *reading) member(name string, value []byte) {
	if value[0] == 'n' { // null: as if it were not there
		return
	}
	at := "/" + pointerName(name)
	switch name {
	case "match":
		r.match(value)
	case "per":
		r.per(value)
	case "depth":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 1 || n > maxDepth {
			r.bad(at, "expected a whole number from 1 to "+strconv.Itoa(maxDepth))
		}
		r.spec.Depth = n
	case "concurrency":
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 1 || n > maxSlots {
			r.bad(at, "expected a whole number from 1 to "+strconv.Itoa(maxSlots))
		}
		r.spec.Concurrency = n
	case "keep":
		text, err := httpapi.TextOf(value)
		if err != nil || text != keepRun && text != keepEnd {
			r.bad(at, "expected run or end")
		}
		if r.spec.Keep = text; text == keepRun {
			r.spec.Keep = "" // one form for what is usual
		}
	case "rate":
		r.rate(value)
	case "age":
		text := string(value) // a bare number is seconds
		if value[0] == '"' {
			text, _ = httpapi.TextOf(value)
		}
		var err error
		if r.age, err = httpapi.ParseDuration(text); err != nil || r.age < minAge || r.age > maxAge {
			r.bad(at, "expected a duration from 1s to 8784h")
		}
		r.spec.Age = httpapi.FormatDuration(r.age)
	default:
		r.bad(at, unknown)
	}
}

func (r *reading) match(value []byte) {
	err := strictjson.Fields(value, func(name, value []byte) error {
		at := "/match/" + pointerName(string(name))
		to := map[string]*string{"type": &r.spec.Match.Type, "queue": &r.spec.Match.Queue,
			"tenant": &r.spec.Match.Tenant, "key": &r.spec.Match.Key}[string(name)]
		switch {
		case to == nil:
			r.bad(at, unknown)
			return nil
		case value[0] == 'n':
			return nil
		}
		text, err := httpapi.TextOf(value)
		if err != nil {
			r.bad(at, err.Error())
			return nil
		}
		switch *to = text; string(name) {
		case "tenant":
			err = checkTenants(text)
		case "queue":
			err = checkQueues(text)
		case "key":
			err = checkKeys(text)
		default:
			if why := access.CheckGlob(text); why != "" {
				err = errors.New(why)
			}
		}
		if err != nil {
			r.bad(at, err.Error())
		}
		return nil
	})
	if err != nil {
		r.bad("/match", "expected an object")
	}
}

// pointerName is a member's name as a JSON Pointer has it, cut short.
func pointerName(name string) string {
	return strings.ToValidUTF8(httpapi.EscapePointer(name[:min(len(name), 64)]), "?")
}

func checkTenants(glob string) error {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*"
	if glob == "" || len(glob) > 48 || strings.Trim(glob, letters) != "" {
		return errors.New("expected a tenant, or some with *, as acme-* (at most 48 characters)")
	}
	return nil
}

func checkQueues(glob string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-*:"
	at, queue, named := strings.Cut(glob, ":")
	usual := slices.ContainsFunc(job.PlacesOf(""), func(p job.Place) bool { return matches(at, p.Name()) })
	whole := !named && job.IsQueue(glob) && !slices.ContainsFunc(job.Lanes, func(l job.Lane) bool {
		return strings.HasPrefix(glob, string(l)+"-") // a slip in a priority
	})
	if glob == "" || len(glob) > 64 || strings.Trim(glob, letters) != "" || !(usual && at != "" || whole) ||
		named && !job.IsQueue(strings.ReplaceAll(queue, "*", "x")) {
		return errors.New("is none of the queues: expected one, as mailers, or io or cpu, a dash, and " +
			job.PriorityNames() + ", with :mailers behind for those of one")
	}
	return nil
}

func checkKeys(glob string) error {
	if glob == "" || len(glob) > httpapi.MaxLimitKey {
		return errors.New("expected a key, or some with *, as acme-* (at most 256 bytes)")
	}
	return nil
}

func (r *reading) per(value []byte) {
	var all []string
	if json.Unmarshal(value, &all) != nil {
		r.bad("/per", "expected a list of type, tenant and key")
		return
	}
	for i, one := range all {
		at := "/per/" + strconv.Itoa(i)
		var to *bool
		switch one {
		case "type":
			to = &r.perType
		case "tenant":
			to = &r.perTenant
		case "key":
			to = &r.perKey
		default:
			r.bad(at, "expected type, tenant or key")
			return
		}
		if *to {
			r.bad(at, "stands there twice")
		}
		*to = true
	}
}

// check says what is wrong with parts that are right each for itself, and gives them their one form.
func (r *reading) check() {
	m := &r.spec.Match
	if r.spec.Depth == 0 && r.age == 0 && !r.runs() {
		r.bad("/depth", "expected depth, age, concurrency or rate: what there may be")
	}
	r.checkSlots()
	if r.perType || r.perTenant {
		if r.spec.Depth == 0 && !r.runs() {
			r.bad("/per", "is for depth, concurrency and rate: age is that of a queue, whoever's jobs wait there")
		}
		if r.perTenant && r.owner != access.Installation {
			r.bad("/per", "a tenant's limit is for that tenant alone")
		}
	}
	if m.Tenant != "" && r.owner != access.Installation && m.Tenant != r.owner {
		r.bad("/match/tenant", "a tenant's limit is for that tenant alone")
	}
	r.spec.Per = nil
	for name, on := range map[string]bool{"tenant": r.perTenant, "type": r.perType, "key": r.perKey} {
		if on {
			r.spec.Per = append(r.spec.Per, name)
		}
	}
	slices.Sort(r.spec.Per)
}

// checkSlots says what is wrong with how many may run at once.
func (r *reading) checkSlots() {
	waits := r.spec.Depth > 0 || r.age > 0
	switch {
	case r.spec.Concurrency == 0 && r.spec.Keep != "":
		r.bad("/keep", "is for concurrency")
	case r.perKey && (waits || !r.runs()):
		r.bad("/per", "key is for concurrency and rate alone: what waits isn't counted by keys")
	case r.spec.Match.Key != "" && (waits || !r.runs()):
		r.bad("/match/key", "is for concurrency and rate alone: what waits isn't counted by keys")
	}
}

// fits reports whether a place is one of those that a pattern is for: by its name, as io-high or
// io-high:mailers, or by that of its queue, as mailers.
func fits(glob string, at job.Place) bool {
	return matches(glob, at.Name()) || glob == job.QueueOf(at.Queue)
}

// matches reports whether a pattern, of which * alone is special, lets a name; "" lets all.
func matches(glob, name string) bool {
	if glob == "" || glob == name {
		return true
	}
	ok, err := path.Match(glob, name)
	return ok && err == nil
}

// binds reports whether a new job is one that a limit is for.
func (l *limit) binds(n *jobstore.NewJob) bool {
	return l.counts(jobstore.Kind{Tenant: n.Owner.Of(), Type: n.Type}) &&
		fits(l.spec.Match.Queue, n.Place())
}

// counts reports whether jobs of a kind may be some that a limit is for.
func (l *limit) counts(k jobstore.Kind) bool {
	return (l.owner == access.Installation || l.owner == k.Tenant) &&
		matches(l.spec.Match.Tenant, k.Tenant) && matches(l.spec.Match.Type, k.Type)
}

// A group is jobs that share a limit.
type group struct{ owner, limit, tenant, kind string }

// group is that of a kind.
func (l *limit) group(k jobstore.Kind) group {
	g := group{owner: l.owner, limit: l.name}
	if l.perTenant {
		g.tenant = k.Tenant
	}
	if l.perType {
		g.kind = k.Type
	}
	return g
}

// has reports whether a kind of a limit's is of a group of it.
func (g group) has(k jobstore.Kind) bool {
	return (g.tenant == "" || g.tenant == k.Tenant) && (g.kind == "" || g.kind == k.Type)
}
