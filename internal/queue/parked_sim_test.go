package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/jobstore"
	"longshore/job"
)

// A parkWorld drives the real scripts with workers that serve different types,
// in a random order of steps: each may be cut off before its last one. After each
// step every queued job must have exactly one ticket, where somebody finds it.
type parkWorld struct {
	*testing.T
	q       *bundle
	rdb     redis.UniversalClient
	rng     *rand.Rand
	deaf    *deafOnce
	takers  []*taker
	sweeper *jobstore.Sweeper
	jobs    map[job.ID]job.Ticket // with its type; the delivery is the first one
	order   []job.ID
	running []jobstore.Claim
	trace   []string
}

// A taker is a worker as far as taking goes.
type taker struct {
	types   []string
	server  *Server
	claimer *jobstore.Claimer // nil where tickets and records lie apart
}

var parkTypes = []string{"stock.job", "own.job", "other.job"}

func newParkWorld(t *testing.T, seed uint64, fused bool, edit func(string) string) *parkWorld {
	t.Helper()
	q, rdb := queueOf(t, fused)
	if edit != nil {
		lua, err := q.Lua()
		if err != nil {
			t.Fatal(err)
		}
		edited := edit(lua.Claim)
		if edited == lua.Claim {
			t.Fatal("the rule that is to be left out is not there")
		}
		lua.Claim = edited
		q.store = jobstore.New(rdb, jobstore.Config{Prefix: q.prefix, Tickets: lua})
	}
	w := &parkWorld{T: t, q: q, rdb: rdb, rng: rand.New(rand.NewPCG(seed, 3)), deaf: &deafOnce{}, jobs: map[job.ID]job.Ticket{},
		sweeper: &jobstore.Sweeper{Store: q.store, Tickets: q.Queue, Log: slog.New(slog.DiscardHandler)}}
	rdb.AddHook(w.deaf)
	for _, types := range [][]string{parkTypes[:1], parkTypes[:1], parkTypes[1:2], parkTypes} {
		tk := &taker{types: types, server: q.NewServer(q.store, types, nil)}
		if fused {
			tk.claimer = q.store.NewClaimer(types)
		}
		w.takers = append(w.takers, tk)
	}
	return w
}

func (w *parkWorld) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *parkWorld) source() *source {
	return &source{queueName: w.q.nameOf(job.LaneIO, job.Priorities[w.rng.IntN(2)])}
}

func (w *parkWorld) submit(ctx context.Context) {
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: parkTypes[w.rng.IntN(3)], Lane: job.LaneIO, Priority: job.Priorities[w.rng.IntN(2)],
		Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour}
	if w.rng.IntN(8) == 0 {
		n.ExpiresIn = time.Millisecond
	}
	c, err := w.q.store.Create(ctx, n)
	if err != nil {
		w.Fatal(err)
	}
	w.jobs[n.ID], w.order = c.Ticket, append(w.order, n.ID)
	if !c.Sent {
		if err := w.q.Enqueue(ctx, []job.Ticket{c.Ticket}); err != nil {
			w.Fatal(err)
		}
	}
	w.say("%s submitted: %s, %s", n.ID[30:], n.Type, n.Priority)
}

// take has a worker take; park is false of one that sees older ones about.
func (w *parkWorld) take(ctx context.Context, tk *taker, park bool) {
	from, n := w.source(), 1+w.rng.IntN(4)
	var claims []jobstore.Claim
	var err error
	if tk.claimer != nil {
		w.deaf.armed = w.rng.IntN(6) == 0 // the next call of this claimer repeats it
		claims, _, err = tk.claimer.Claim(ctx, from.lane, from.priority, n, park)
		if w.deaf.armed = false; err != nil {
			w.say("%v lost the reply", tk.types)
			return
		}
	} else {
		claims, _, err = tk.server.takeApart(ctx, from, n, park)
	}
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range claims {
		w.say("%v took %s: %v", tk.types, c.Ticket.ID[30:], c.Err)
		served := slices.Contains(tk.types, w.jobs[c.Ticket.ID].Type)
		switch {
		case c.Err == nil && served:
			w.running = append(w.running, c)
		case errors.Is(c.Err, jobstore.ErrUnserved) && !served && (!park || tk.claimer != nil):
			if err := w.q.store.Postpone(ctx, c.Ticket, 0); err != nil && !errors.Is(err, jobstore.ErrStale) {
				w.Fatal(err)
			}
			tk.server.end(ctx, c.Ticket)
		default:
			w.Fatalf("%v got %+v of type %s", tk.types, c, w.jobs[c.Ticket.ID].Type)
		}
	}
}

// cut is a worker that takes, and is killed before it has started anything, or
// before it has put aside what it doesn't serve. Where it is one step there is no before.
func (w *parkWorld) cut(ctx context.Context, tk *taker) {
	if tk.claimer != nil {
		return
	}
	from := w.source()
	names, err := takeScript.Run(ctx, w.rdb, []string{from.keys + "pending"}, 2, jobstore.ServedTypes(tk.types), w.rng.IntN(9)).StringSlice()
	if err != nil {
		w.Fatal(err)
	}
	w.say("%v killed with %v", tk.types, names)
	if w.rng.IntN(2) == 0 {
		return
	}
	var tickets []job.Ticket
	for _, name := range names {
		id, delivery, err := job.ParseTicketName(name)
		if err != nil {
			w.Fatal(err)
		}
		tickets = append(tickets, job.Ticket{ID: id, Delivery: delivery, Lane: from.lane, Priority: from.priority})
	}
	for _, c := range w.q.store.StartMany(ctx, tickets, tk.types) {
		if c.Err == nil {
			w.running = append(w.running, c) // its own end is no matter here
		}
		if errors.Is(c.Err, jobstore.ErrUnserved) && w.rng.IntN(2) == 0 { // the reply was lost, and again
			for range 2 {
				if err := w.q.park(ctx, from.queueName, []job.Ticket{c.Ticket}); err != nil {
					w.Fatal(err)
				}
			}
		}
	}
}

func (w *parkWorld) finish(ctx context.Context) {
	if len(w.running) == 0 {
		return
	}
	i := w.rng.IntN(len(w.running))
	c := w.running[i]
	w.running = slices.Delete(w.running, i, i+1)
	end := jobstore.End{Outcome: jobstore.Succeeded}
	if w.rng.IntN(3) == 0 {
		end.Outcome = jobstore.Release
	}
	ended, err := w.q.store.Finish(ctx, c.Ticket.ID, c.Fence, end)
	if err != nil {
		w.Fatal(err)
	}
	if !w.q.store.Fused() {
		w.takers[0].server.end(ctx, c.Ticket)
	}
	w.say("%s ended: %s", c.Ticket.ID[30:], ended.State)
	if ended.State == job.Queued {
		if err := w.q.EnqueueHead(ctx, []job.Ticket{ended.Ticket}); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *parkWorld) step(ctx context.Context) {
	tk := w.takers[w.rng.IntN(len(w.takers))]
	switch w.rng.IntN(13) {
	case 0, 1, 2, 3:
		w.submit(ctx)
	case 4, 5, 6:
		w.take(ctx, tk, w.rng.IntN(10) > 0)
	case 7, 8:
		w.finish(ctx)
	case 9:
		w.cut(ctx, tk)
	case 10:
		if len(w.order) > 0 {
			id := w.order[w.rng.IntN(len(w.order))]
			w.say("%s canceled", id[30:])
			if err := w.q.store.RequestCancel(ctx, id); err != nil {
				w.Fatal(err)
			}
		}
	case 11:
		w.say("void ones go")
		if err := w.q.DropVoid(ctx, w.q.store); err != nil {
			w.Fatal(err)
		}
	default:
		n, typ := w.source(), parkTypes[w.rng.IntN(3)]
		w.say("%s goes back in %s", typ, n.name)
		if err := unparkScript.Run(ctx, w.rdb, []string{n.keys + "pending"}, n.name, w.q.RingChannel(), typ, 1+w.rng.IntN(5)).Err(); err != nil {
			w.Fatal(err)
		}
	}
}

// places are the lists in which tickets stand, by name: where, and the state.
func (w *parkWorld) places(ctx context.Context) map[string][]string {
	places := map[string][]string{}
	for _, n := range w.q.names {
		lists := map[string]string{n.keys + "pending": "pending", n.keys + "active": "active"}
		for _, typ := range parkTypes {
			lists[n.keys+"pending:type:"+typ] = "parked " + typ
		}
		for key, state := range lists {
			for _, name := range w.rdb.LRange(ctx, key, 0, -1).Val() {
				places[name] = append(places[name], state)
			}
		}
	}
	return places
}

// check returns what is wrong, "" if nothing is.
func (w *parkWorld) check(ctx context.Context) string {
	places := w.places(ctx)
	for _, id := range w.order {
		r, err := w.q.store.Read(ctx, id)
		if err != nil {
			return err.Error()
		}
		if r.Snapshot.State != job.Queued {
			continue
		}
		t := w.jobs[id]
		t.Delivery = r.Delivery
		found := places[t.Name()]
		if len(found) != 1 {
			return fmt.Sprintf("%s, %s, stands in %q", id, t.Type, found)
		}
		if strings.HasPrefix(found[0], "parked") && found[0] != "parked "+t.Type {
			return fmt.Sprintf("%s is of type %s and stands %s", id, t.Type, found[0])
		}
		key := w.q.nameOf(t.Lane, t.Priority).keys
		state, _, _ := strings.Cut(found[0], " ")
		if said := w.rdb.HGet(ctx, key+"t:"+t.Name(), "state").Val(); said != state {
			return fmt.Sprintf("%s stands %s and says %q", id, found[0], said)
		}
		if state == "parked" && !w.rdb.SIsMember(ctx, key+"parked", t.Type).Val() {
			return fmt.Sprintf("%s is parked where nobody looks", id)
		}
		if looked, err := w.q.Look(ctx, []job.Ticket{t}); err != nil || looked[0] == jobstore.TicketAbsent || looked[0] == jobstore.TicketOther {
			return fmt.Sprintf("the sweeper would see %s as %v, %v", id, looked, err)
		}
	}
	return w.checkCounts(ctx, places)
}

func (w *parkWorld) checkCounts(ctx context.Context, places map[string][]string) string {
	infos, err := w.q.Queues(ctx)
	if err != nil {
		return err.Error()
	}
	var waiting, held int64
	for _, i := range infos {
		waiting, held = waiting+i.Pending, held+i.Active
	}
	for _, found := range places {
		for _, where := range found {
			if where == "active" {
				held--
			} else {
				waiting--
			}
		}
	}
	if waiting != 0 || held != 0 {
		return fmt.Sprintf("counts are off by %d waiting and %d held", waiting, held)
	}
	return ""
}

// end lets one worker serve all that is left.
func (w *parkWorld) end(ctx context.Context) string {
	for range 2000 {
		for len(w.running) > 0 {
			w.finish(ctx)
		}
		if err := errors.Join(w.sweeper.SweepActive(ctx), func() error { _, err := w.sweeper.Sweep(ctx); return err }()); err != nil {
			return err.Error()
		}
		for _, tk := range w.takers { // all: one of them may have a call to repeat
			w.take(ctx, tk, true)
		}
		open := 0
		for _, id := range w.order {
			if snap, err := w.q.store.Get(ctx, id); err != nil || !snap.Done {
				open++
			}
		}
		if open == 0 && len(w.running) == 0 && len(w.places(ctx)) == 0 {
			return w.left(ctx)
		}
	}
	return fmt.Sprintf("jobs are left that nobody serves; tickets: %v", w.places(ctx))
}

func (w *parkWorld) left(ctx context.Context) string {
	all := w.takers[len(w.takers)-1]
	first := w.q.names[:1]                                  // twice: the first call may repeat one for another queue whose reply was lost
	for _, n := range slices.Concat(first, w.q.names[:3]) { // each priority, until every list was found empty
		var claims []jobstore.Claim
		var err error
		if all.claimer != nil {
			claims, _, err = all.claimer.Claim(ctx, n.lane, n.priority, 1, true)
		} else {
			claims, _, err = all.server.takeApart(ctx, &source{queueName: n}, 1, true)
		}
		if err != nil || len(claims) > 0 {
			return fmt.Sprintf("at the end: %d claims, %v", len(claims), err)
		}
	}
	keys := w.rdb.Keys(ctx, "asynq:{"+w.q.prefix+"-*").Val()
	keys = slices.DeleteFunc(keys, func(key string) bool { return strings.Contains(key, ":processed") })
	if len(keys) > 0 {
		return fmt.Sprintf("keys are left: %q", keys)
	}
	return ""
}

// parkRun is one world from begin to end: "" or what went wrong.
func parkRun(t *testing.T, seed uint64, fused bool, edit func(string) string) string {
	ctx := t.Context()
	w := newParkWorld(t, seed, fused, edit)
	wrong := ""
	for range 150 {
		if w.step(ctx); w.rng.IntN(3) == 0 {
			if wrong = w.check(ctx); wrong != "" {
				break
			}
		}
	}
	if wrong == "" {
		wrong = w.end(ctx)
	}
	if wrong != "" && edit == nil {
		wrong += "\n" + strings.Join(w.trace, "\n")
	}
	return wrong
}

func TestParkedTicketsAreNeverLost(t *testing.T) {
	t.Parallel()
	for name, fused := range map[string]bool{"together": true, "apart": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12) {
				if wrong := parkRun(t, seed, fused, nil); wrong != "" {
					t.Fatalf("seed %d: %s", seed, wrong)
				}
			}
		})
	}
}

// TestParkedSimulationNotices leaves out one rule at a time.
func TestParkedSimulationNotices(t *testing.T) {
	t.Parallel()
	rules := map[string][2]string{
		"not listed":      {"call('SADD', keys .. 'parked', kind)", ""},
		"state not told":  {"call('HSET', keys .. 't:' .. name, 'state', 'parked')", ""},
		"listed for good": {"if got < share then call('SREM', keys .. 'parked', kind) end", ""},
		"not put aside":   {"list[#list + 1] = name\nend\n\nlocal function settle_parked", "end\n\nlocal function settle_parked"},
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				if wrong := parkRun(t, seed, true, func(src string) string { return strings.ReplaceAll(src, rules[name][0], rules[name][1]) }); wrong != "" {
					t.Log(wrong)
					return
				}
			}
			t.Error("20 worlds without this rule and nobody noticed")
		})
	}
}
