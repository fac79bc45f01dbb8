package claims

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/blob"
	"longshore/internal/gather"
	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/queue"
	"longshore/internal/sealing"
	"longshore/job"
)

// Config of a Desk. All of it is needed but Sealer.
type Config struct {
	Redis   redis.UniversalClient
	Prefix  string
	Store   *jobstore.Store
	Queue   *queue.Queue
	Blobs   blob.Store
	Batches gather.Batches
	// Paused are the fields of pauses that hold, as httpapi.PausedType and httpapi.PausedQueue name them.
	Paused func(context.Context) (map[string]bool, error)
	// Sealer opens secrets of payloads; nil: there are none.
	Sealer    *sealing.Sealer
	MaxOutput int64 // bytes of all outputs that an attempt writes; 0 = 10 GiB
	Log       *slog.Logger
}

// A Desk is one process's.
type Desk struct {
	Config
	parking  parking
	known    claimers
	pausedBy pauses
}

// New returns a desk. Its Run is to run while it is used.
func New(c Config) *Desk {
	c.MaxOutput = cmp.Or(c.MaxOutput, 10<<30)
	d := &Desk{Config: c}
	d.parking.init()
	return d
}

// Hand is what a request for jobs is known by, to repeats too.
type Hand = jobstore.Hand

// ErrLaterTry says that a repeat of the request was here before.
var ErrLaterTry = jobstore.ErrLaterTry

// IsClaim tells that a text has the form of a claim.
func IsClaim(text string) bool { return jobstore.FenceOf(text) != "" }

// Who is who asks: it has all jobs of a tenant, or of all.
type Who struct {
	View access.View
	May  []string // globs of types that it may run; nil = all
}

// may tells that jobs of a type are for who asks.
func (w Who) may(typ string) bool { return w.May == nil || access.MatchesAny(w.May, typ) }

// A Request asks for jobs, on behalf of somebody.
type Request struct {
	Who
	jobstore.Hand          // but for its Worker, which Name and the tenant are
	Name          string   // what the process calls itself
	Types         []string // globs
	Queues        []string // names, "" = the default one; none = all
	Wait          time.Duration
	// Parked is called before the request waits; it returns how long it may. nil = as long as it likes.
	Parked func(wish time.Duration) (granted time.Duration, leave func())
	// Gone ends the wait early: the server is about to stop.
	Gone <-chan struct{}

	came time.Time
}

// wants tells that the request is for what waits at a place.
func (r *Request) wants(at job.Place) bool {
	tenant, typ, _ := strings.Cut(at.Claimable, "/")
	return at.Lane == job.LaneClaim && (r.View.Tenant == access.Installation || r.View.Tenant == tenant) &&
		access.MatchesAny(r.Types, typ) && r.may(typ) &&
		(len(r.Queues) == 0 || slices.Contains(r.Queues, at.Queue))
}

// handTimeout is how long Redis gets for what can't be taken back half way.
const handTimeout = 5 * time.Second

// Claim hands out jobs, as soon as there is one or the time is over; none is no error. Those that have no
// room in the answer, since their client is gone, are queued again. Errors: jobstore.ErrLaterTry,
// context's, or Redis's.
func (d *Desk) Claim(ctx context.Context, r Request) ([]answer.ClaimedJob, error) {
	r.came, r.Worker = time.Now(), workerName(r.View.Tenant, r.Name)
	d.note(ctx, r.View.Tenant, r.Name, r.Types, r.Queues)
	stopped, err := d.stopped(ctx, r.Worker)
	if err != nil || stopped {
		return nil, err
	}
	jobs, spent, err := d.take(ctx, &r)
	if len(jobs) > 0 || err != nil || spent || r.Wait <= 0 {
		return jobs, err
	}
	if r.Parked != nil {
		wait, leave := r.Parked(r.Wait)
		if wait <= 0 {
			return nil, nil
		}
		defer leave()
		r.Wait = wait
	}
	return d.park(ctx, &r)
}

// park waits for a job.
func (d *Desk) park(ctx context.Context, r *Request) ([]answer.ClaimedJob, error) {
	until := time.NewTimer(r.Wait)
	defer until.Stop()
	spot := d.parking.enter(r)
	defer d.parking.leave(spot)
	// Once more: it may have come before the spot was there, as a job may.
	if stopped, err := d.stopped(ctx, r.Worker); err != nil || stopped {
		return nil, err
	}
	for {
		d.parking.wait(spot)
		if jobs, spent, err := d.take(ctx, r); len(jobs) > 0 || err != nil || spent {
			return jobs, err
		}
		select {
		case <-spot.wake:
		case <-spot.stop:
			return nil, nil
		case <-r.Gone:
			return nil, nil
		case <-until.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes what there is. It sees to it that nothing is left to nobody. spent says that the request has
// got all that it will get, be it nothing.
func (d *Desk) take(ctx context.Context, r *Request) (jobs []answer.ClaimedJob, spent bool, err error) {
	hands, cancel := context.WithTimeout(context.WithoutCancel(ctx), handTimeout)
	defer cancel()
	claims, parts, err := d.handOut(hands, r)
	if err != nil || len(claims) == 0 {
		return nil, len(parts) > 0, err // what was handed out is found by the next try, or its lease ends
	}
	if len(claims) >= r.N {
		d.parking.more(r, claims) // perhaps: whoever waits beside this one looks
	}
	for _, c := range claims {
		if c.Err == nil {
			c.Err = d.unseal(c.Started.Type, &c.Started.Spec)
		}
		if c.Err != nil {
			d.refuse(hands, c)
			continue
		}
		jobs = append(jobs, d.describe(c, c.Sent.Sub(r.came)))
	}
	if ctx.Err() == nil {
		return jobs, true, nil
	}
	for part := range parts {
		if err := d.Store.TakeBack(hands, part, r.Hand); err != nil {
			d.Log.WarnContext(hands, "jobs of a client that is gone wait for the end of their leases", "error", err)
		}
	}
	return nil, true, ctx.Err()
}

// handOut asks the partitions. One that handed something out to an earlier try comes first, wherever it is.
func (d *Desk) handOut(ctx context.Context, r *Request) ([]jobstore.Claim, map[int]bool, error) {
	parts, all := map[int]bool{}, d.Store.Parts()
	if r.Try > 1 && all > 1 {
		var old []jobstore.Claim
		asked := r.Hand
		asked.N = 0
		for part := range all {
			claims, again, err := d.Store.HandOut(ctx, part, asked, 0, nil)
			if err != nil {
				return nil, nil, err
			}
			if again {
				parts[part] = true
				old = append(old, claims...)
			}
		}
		if len(parts) > 0 {
			return old, parts, nil
		}
	}
	places, err := d.places(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	var got []jobstore.Claim
	hand := r.Hand
	for _, part := range rand.Perm(all) {
		if len(places[part]) == 0 && (r.Try == 1 || all > 1) {
			continue
		}
		hand.N = r.N - len(got)
		claims, again, err := d.Store.HandOut(ctx, part, hand, len(got), places[part])
		if err != nil && (errors.Is(err, jobstore.ErrLaterTry) || len(got) == 0) {
			return nil, nil, err
		} else if err != nil {
			// What the others have given is worth telling. What this one has, if anything, waits for a lease.
			d.Log.WarnContext(ctx, "a part of the job store hands nothing out", "error", err)
			break
		}
		if len(claims) > 0 || again {
			parts[part] = true
		}
		if got = append(got, claims...); len(got) >= r.N || alone(claims) {
			break
		}
	}
	return got, parts, nil
}

// alone tells that a job came that goes with no others, since it has ended workers before.
func alone(claims []jobstore.Claim) bool {
	return len(claims) == 1 && claims[0].Started.Losses >= jobstore.SuspectLosses
}

// manyPlaces are so many that it is worth a look at which of them have something.
const manyPlaces = 8

// places are those that a request takes from, by partition and in the order in which it does: a priority
// comes first as often as it weighs, and among places of one nobody has a place of his own.
func (d *Desk) places(ctx context.Context, r *Request) ([][]job.Place, error) {
	paused, err := d.pausedBy.get(ctx, d.Paused)
	if err != nil {
		return nil, err
	}
	known, err := d.parking.places(ctx, d.Store, r.Wait <= 0)
	if err != nil {
		return nil, err
	}
	order := drawOrder()
	all, n := make([][]job.Place, len(known)), 0
	for part, places := range known {
		for _, at := range places {
			if _, typ, _ := strings.Cut(at.Claimable, "/"); r.wants(at) && !paused[httpapi.PausedType(typ)] &&
				!paused[httpapi.PausedQueue(at.Queue)] {
				all[part] = append(all[part], at)
				n++
			}
		}
		here := all[part]
		rand.Shuffle(len(here), func(i, j int) { here[i], here[j] = here[j], here[i] })
		slices.SortStableFunc(here, func(a, b job.Place) int {
			return cmp.Compare(order[a.Priority], order[b.Priority])
		})
	}
	if n > manyPlaces || len(all) > 1 && n > 0 {
		return d.Queue.NonEmpty(ctx, all)
	}
	return all, nil
}

// drawOrder draws the places of priorities, by their weights.
func drawOrder() map[job.Priority]int {
	order, left := map[job.Priority]int{}, slices.Clone(job.Priorities)
	for len(left) > 0 {
		sum := 0
		for _, p := range left {
			sum += p.Weight()
		}
		n, i := rand.IntN(sum), 0
		for n >= left[i].Weight() {
			n -= left[i].Weight()
			i++
		}
		order[left[i]] = len(order)
		left = slices.Delete(left, i, i+1)
	}
	return order
}

// describe is a job as its worker is told of it, some time after the request came: the worker counts from
// when it sent that.
func (d *Desk) describe(c jobstore.Claim, after time.Duration) answer.ClaimedJob {
	lease := min(jobstore.ClaimLease, c.Started.Timeout) + after
	told := answer.ClaimedJob{ID: c.Ticket.ID, Claim: jobstore.ClaimOf(c.Fence), Type: c.Started.Type,
		Attempt: c.Started.Attempt, MaxAttempts: c.Started.MaxAttempts, Payload: c.Started.Spec.Payload,
		After: c.Started.After, TimeoutMS: (c.Started.Timeout + after).Milliseconds(),
		LeaseMS: lease.Milliseconds(), Traceparent: c.Started.Traceparent}
	if in := c.Started.Spec.Input; in != nil {
		told.Input = &answer.ClaimedInput{Size: in.Size, Type: in.ContentType, Name: in.Filename}
	} else if c.Started.Spec.Gather != "" {
		in := gather.Input(c.Ticket.ID, c.Fence)
		told.Input = &answer.ClaimedInput{Size: -1, Type: in.ContentType, Name: in.Filename}
	}
	return told
}

// unseal opens the secrets of what a job is to do, for who runs it.
func (d *Desk) unseal(typ string, spec *jobstore.Spec) error {
	if len(spec.Sealed) == 0 {
		return nil
	}
	if d.Sealer == nil {
		return sealing.ErrKey
	}
	open, err := d.Sealer.OpenPayload(typ, spec.Payload, spec.Sealed)
	spec.Payload = open
	return err
}

// refuse ends an attempt that can't begin, as a worker does.
func (d *Desk) refuse(ctx context.Context, c jobstore.Claim) {
	d.Log.ErrorContext(ctx, "claimed job can't be started", "job_id", c.Ticket.ID, "error", c.Err)
	if errors.Is(c.Err, job.ErrDamaged) {
		return // as a worker does: its lease ends, and doctor names it
	}
	end := jobstore.End{Outcome: jobstore.Retry, Delay: jobstore.Backoff(c.Started.Attempt),
		Code: job.SecretUnreadable, Message: "a secret of the payload can't be opened: ACCESS_SECRET isn't what " +
			"it was sealed by"}
	if _, err := d.Store.Finish(ctx, c.Ticket.ID, c.Fence, end); err != nil {
		d.Log.WarnContext(ctx, "end of an attempt not recorded, its lease will end", "job_id", c.Ticket.ID,
			"error", err)
	}
}

// pauses are asked for now and then.
type pauses struct {
	mu   sync.Mutex
	held map[string]bool
	at   time.Time
}

func (p *pauses) get(ctx context.Context, ask func(context.Context) (map[string]bool, error)) (
	map[string]bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < time.Second {
		return p.held, nil
	}
	held, err := ask(ctx)
	if err == nil {
		p.held, p.at = held, time.Now()
	}
	return held, err
}
