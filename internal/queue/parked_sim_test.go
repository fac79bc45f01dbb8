package queue

import (
	"context"
	"fmt"
	"log/slog"
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

var parkTypes = []string{"stock.job", "own.job", "other.job"}

func newParkWorld(t *testing.T, seed uint64, parts int) *parkWorld {
	t.Helper()
	q, rdb := queueOf(t, parts)
	w := &parkWorld{T: t, q: q, rdb: rdb, rng: rand.New(rand.NewPCG(seed, 3)), deaf: &deafOnce{},
		jobs: map[job.ID]job.Ticket{}, sweeper: &jobstore.Sweeper{Store: q.store,
			Log: slog.New(slog.DiscardHandler)}}
	rdb.AddHook(w.deaf)
	for _, types := range [][]string{parkTypes[:1], parkTypes[:1], parkTypes[1:2], parkTypes} {
		w.takers = append(w.takers, q.taker(types...))
	}
	return w
}

func (w *parkWorld) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *parkWorld) submit(ctx context.Context) {
	n := jobstore.NewJob{ID: job.NewID(time.Now()), Type: parkTypes[w.rng.IntN(3)], Lane: job.LaneIO,
		Priority: job.Priorities[w.rng.IntN(2)], Timeout: time.Minute, MaxAttempts: 3, Retention: time.Hour}
	if w.rng.IntN(8) == 0 {
		n.ExpiresIn = time.Millisecond
	}
	c, err := w.q.store.Create(ctx, n)
	if err != nil {
		w.Fatal(err)
	}
	w.jobs[n.ID], w.order = c.Ticket, append(w.order, n.ID)
	w.say("%s submitted: %s, %s", n.ID[30:], n.Type, n.Priority)
}

// take has a worker take. Some replies are lost: the next call of this claimer repeats it.
func (w *parkWorld) take(ctx context.Context, tk *taker) {
	n, p, part := 1+w.rng.IntN(4), job.Priorities[w.rng.IntN(2)], w.rng.IntN(w.q.parts)
	w.deaf.armed = w.rng.IntN(6) == 0
	claims, _, err := tk.claimer.Claim(ctx, job.Place{Lane: job.LaneIO, Priority: p}, part, n)
	if w.deaf.armed = false; err != nil {
		w.say("%v lost the reply", tk.types)
		return
	}
	for _, c := range claims {
		w.say("%v took %s: %v", tk.types, c.Ticket.ID[30:], c.Err)
		if c.Err != nil || !slices.Contains(tk.types, w.jobs[c.Ticket.ID].Type) {
			w.Fatalf("%v got %+v of type %s", tk.types, c, w.jobs[c.Ticket.ID].Type)
		}
		w.running = append(w.running, c)
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
	w.say("%s ended: %s", c.Ticket.ID[30:], ended.State)
}

func (w *parkWorld) step(ctx context.Context) {
	tk := w.takers[w.rng.IntN(len(w.takers))]
	switch w.rng.IntN(12) {
	case 0, 1, 2, 3:
		w.submit(ctx)
	case 4, 5, 6:
		w.take(ctx, tk)
	case 7, 8, 9:
		w.finish(ctx)
	case 10:
		if len(w.order) > 0 {
			id := w.order[w.rng.IntN(len(w.order))]
			w.say("%s canceled", id[30:])
			if err := w.q.store.RequestCancel(ctx, id); err != nil {
				w.Fatal(err)
			}
		}
	default:
		w.say("void ones go")
		if err := w.q.DropVoid(ctx, w.q.store); err != nil {
			w.Fatal(err)
		}
	}
}

// places are the lists in which tickets stand, by name: where, and the state.
func (w *parkWorld) places(ctx context.Context) map[string][]string {
	places := map[string][]string{}
	for _, n := range w.q.names {
		lists := map[string]string{n.keys + "pending": "pending"}
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
		entry := jobstore.Entry(id, r.Delivery)
		found := places[entry]
		if len(found) != 1 {
			return fmt.Sprintf("%s, %s, stands in %q", id, t.Type, found)
		}
		if strings.HasPrefix(found[0], "parked") && found[0] != "parked "+t.Type {
			return fmt.Sprintf("%s is of type %s and stands %s", id, t.Type, found[0])
		}
		keys := jobstore.QueueKeys(jobstore.QueueName(w.q.prefix, "io-"+string(t.Priority),
			id.Shard()%w.q.parts, w.q.parts))
		if w.rdb.HGet(ctx, keys+"t:"+entry, "msg").Val() != jobstore.TicketMessage(id) {
			return fmt.Sprintf("%s stands %s and has no task", id, found[0])
		}
		if strings.HasPrefix(found[0], "parked") && !w.rdb.SIsMember(ctx, keys+"parked", t.Type).Val() {
			return fmt.Sprintf("%s is parked where nobody looks", id)
		}
	}
	return w.checkCounts(ctx, places)
}

func (w *parkWorld) checkCounts(ctx context.Context, places map[string][]string) string {
	infos, err := w.q.Queues(ctx)
	if err != nil {
		return err.Error()
	}
	var waiting int64
	for _, i := range infos {
		waiting += i.Pending
	}
	for _, found := range places {
		waiting -= int64(len(found))
	}
	if waiting != 0 {
		return fmt.Sprintf("counts are off by %d waiting", waiting)
	}
	return ""
}

// end lets one worker serve all that is left.
func (w *parkWorld) end(ctx context.Context) string {
	for range 2000 {
		for len(w.running) > 0 {
			w.finish(ctx)
		}
		if _, err := w.sweeper.Sweep(ctx); err != nil {
			return err.Error()
		}
		for _, tk := range w.takers { // all: one of them may have a call to repeat
			w.take(ctx, tk)
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
	// twice: the first call may repeat one for another queue whose reply was lost
	first := w.q.names[:1]
	// each priority, until every list was found empty
	for _, n := range slices.Concat(first, w.q.names[:3*w.q.parts]) {
		claims, _, err := all.claimer.Claim(ctx, n.at, n.part, 1)
		if err != nil || len(claims) > 0 {
			return fmt.Sprintf("at the end: %d claims, %v", len(claims), err)
		}
	}
	if keys := w.rdb.Keys(ctx, "asynq:{*"+w.q.prefix+"-*").Val(); len(keys) > 0 {
		return fmt.Sprintf("keys are left: %q", keys)
	}
	return ""
}

// parkRun is one world from begin to end: "" or what went wrong.
func parkRun(t *testing.T, seed uint64, parts int) string {
	ctx := t.Context()
	w := newParkWorld(t, seed, parts)
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
	if wrong != "" {
		wrong += "\n" + strings.Join(w.trace, "\n")
	}
	return wrong
}

func TestParkedTicketsAreNeverLost(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string]int{"one partition": 1, "sixteen": 16} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(12 - parts/2) { // sixteen take their time
				if wrong := parkRun(t, seed, parts); wrong != "" {
					t.Fatalf("seed %d: %s", seed, wrong)
				}
			}
		})
	}
}
