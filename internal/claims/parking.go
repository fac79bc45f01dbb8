package claims

import (
	"container/list"
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/job"
)

// Requests that find no job are parked. Those that want the same are a group, in the order in which they
// came: a job that comes wakes the first of each group that wants it, and who gets as many as it asked for
// wakes the next. What nobody heard of, since a message of Redis's is lost now and then, a look each second
// finds.

const (
	lookEvery = time.Second
	// attendFor is how long the process goes on to listen when nobody waits any more, in looks.
	attendFor = 60
	// placesFor is how long the lists that there are count as known, and placesFresh of who doesn't wait.
	placesFor, placesFresh = time.Second, 50 * time.Millisecond
)

type parking struct {
	asked chan struct{} // somebody waits

	mu      sync.Mutex
	groups  map[string]map[string]*group // by tenant, and by what they want
	workers map[string]map[*spot]bool    // by tenant and name
	runs    map[job.ID]map[*renewal]bool // renewals that wait, by what they are for
	waiting int
	lists   [][]job.Place // that there are in each partition
	at      time.Time     // when they were read

	reading sync.Mutex
}

// A group is of requests that want the same.
type group struct {
	wants func(job.Place) bool
	spots *list.List // of those that nobody has woken
	in    int        // all
}

// A spot is where one request waits.
type spot struct {
	tenant, name, worker string
	group                *group
	element              *list.Element // nil: it was woken
	wake                 chan struct{}
	stop                 chan struct{}
	stopped              bool
}

func (p *parking) init() {
	p.asked = make(chan struct{}, 1)
	p.groups, p.workers = map[string]map[string]*group{}, map[string]map[*spot]bool{}
	p.runs = map[job.ID]map[*renewal]bool{}
}

// interest names what a request wants.
func (r *Request) interest() string {
	var b strings.Builder
	for _, words := range [][]string{{r.View.Tenant}, r.Types, r.May, r.Queues} {
		words = slices.Sorted(slices.Values(words))
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	return b.String()
}

func workerName(tenant, worker string) string { return tenant + "\x00" + worker }

// enter gives a request a spot, which it is to leave.
func (p *parking) enter(r *Request) *spot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &spot{tenant: r.View.Tenant, name: r.interest(), worker: r.Worker,
		wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if p.groups[s.tenant] == nil {
		p.groups[s.tenant] = map[string]*group{}
	}
	if s.group = p.groups[s.tenant][s.name]; s.group == nil {
		s.group = &group{wants: r.wants, spots: list.New()}
		p.groups[s.tenant][s.name] = s.group
	}
	s.group.in++
	if p.workers[s.worker] == nil {
		p.workers[s.worker] = map[*spot]bool{}
	}
	p.workers[s.worker][s] = true
	p.begin()
	return s
}

// begin counts one more that waits.
func (p *parking) begin() {
	p.waiting++
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

// wait lets a spot be woken, by whatever comes from now on.
func (p *parking) wait(s *spot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.element == nil {
		s.element = s.group.spots.PushBack(s)
	}
}

// leave gives a spot up. One that was woken, and may not have looked, wakes the next.
func (p *parking) leave(s *spot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.element != nil {
		s.group.spots.Remove(s.element)
	} else {
		s.group.wakeOne()
	}
	p.waiting--
	if s.group.in--; s.group.in == 0 {
		if delete(p.groups[s.tenant], s.name); len(p.groups[s.tenant]) == 0 {
			delete(p.groups, s.tenant)
		}
	}
	if delete(p.workers[s.worker], s); len(p.workers[s.worker]) == 0 {
		delete(p.workers, s.worker)
	}
}

func (g *group) wakeOne() {
	e := g.spots.Front()
	if e == nil {
		return
	}
	s := g.spots.Remove(e).(*spot)
	s.element = nil
	s.wake <- struct{}{} // has room: it was not woken before it waited again
}

// of are the groups that may want what a tenant has.
func (p *parking) of(tenant string) iter.Seq[*group] {
	return func(yield func(*group) bool) {
		for _, name := range []string{tenant, access.Installation} {
			for _, g := range p.groups[name] {
				if !yield(g) {
					return
				}
			}
		}
	}
}

// more wakes others that want what a request wants, of which there may be more.
func (p *parking) more(r *Request, got []jobstore.Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	awake := map[*group]bool{}
	for _, c := range got {
		tenant := r.View.Tenant
		if tenant == access.Installation {
			for name := range p.groups { // whose it is the claim doesn't say
				for _, g := range p.groups[name] {
					awake[g] = true
				}
			}
			break
		}
		for g := range p.of(tenant) {
			at := job.PlaceOf(job.LaneClaim, job.Default, c.Ticket.Queue, tenant, c.Started.Type)
			awake[g] = awake[g] || g.wants(at)
		}
	}
	for g, is := range awake {
		if is {
			g.wakeOne()
		}
	}
}

// woken wakes one of each group that wants what waits at a place.
func (p *parking) woken(at job.Place) {
	tenant, _, _ := strings.Cut(at.Claimable, "/")
	p.mu.Lock()
	defer p.mu.Unlock()
	for g := range p.of(tenant) {
		if g.wants(at) {
			g.wakeOne()
		}
	}
}

// add notes that there is a list.
func (p *parking) add(at job.Place, part int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part < len(p.lists) && !slices.Contains(p.lists[part], at) {
		p.lists = slices.Clone(p.lists) // others go over it
		p.lists[part] = append(slices.Clip(p.lists[part]), at)
	}
}

// stop ends the waits of a worker.
func (p *parking) stop(worker string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.workers[worker] {
		if !s.stopped {
			s.stopped = true
			close(s.stop)
		}
	}
}

// places are the lists that there are, as they were read lately.
func (p *parking) places(ctx context.Context, store *jobstore.Store, fresh bool) ([][]job.Place, error) {
	old := placesFor
	if fresh {
		old = placesFresh
	}
	p.reading.Lock()
	defer p.reading.Unlock()
	p.mu.Lock()
	lists, at := p.lists, p.at
	p.mu.Unlock()
	if time.Since(at) < old {
		return lists, nil
	}
	at = time.Now()
	lists, err := store.ClaimPlaces(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists, p.at = lists, at
	return lists, nil
}

// look wakes those for whom something waits.
func (d *Desk) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handTimeout)
	defer cancel()
	p := &d.parking
	lists, err := p.places(ctx, d.Store, true)
	if err != nil {
		return
	}
	wanted := make([][]job.Place, len(lists))
	p.mu.Lock()
	for part, places := range lists {
		for _, at := range places {
			tenant, _, _ := strings.Cut(at.Claimable, "/")
			for g := range p.of(tenant) {
				if g.wants(at) {
					wanted[part] = append(wanted[part], at)
					break
				}
			}
		}
	}
	p.mu.Unlock()
	found, err := d.Queue.NonEmpty(ctx, wanted)
	if err != nil {
		return
	}
	for _, places := range found {
		for _, at := range places {
			p.woken(at)
		}
	}
}

// Run wakes those that wait, until ctx ends. Where nobody does it costs nothing.
func (d *Desk) Run(ctx context.Context) error {
	for {
		select {
		case <-d.parking.asked:
			d.attend(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// attend listens and looks for as long as somebody waits.
func (d *Desk) attend(ctx context.Context) {
	listening, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		ring, cancels := d.Queue.NotifyChannel(), d.Store.CancelChannel()
		channels := []string{ring, cancels, d.stopChannel()}
		_ = jobstore.Subscribe(listening, d.Redis, channels, func(channel, text string) {
			switch channel {
			case ring:
				d.heard(text)
			case cancels:
				d.parking.ring(job.ID(text))
			default:
				d.parking.stop(text)
			}
		}, func() {
			d.look(listening)
			d.parking.ringAll()
		}) // its error is ctx's
	})
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for idle := 0; idle < attendFor; idle++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		d.parking.mu.Lock()
		waiting := d.parking.waiting
		d.parking.mu.Unlock()
		if waiting > 0 {
			idle = 0
			d.look(ctx)
		}
	}
}

// heard wakes those that want what a list has got.
func (d *Desk) heard(text string) {
	queue, _, _ := strings.Cut(text, " ")
	at, part, ok := jobstore.PlaceIn(d.Prefix, queue, d.Store.Parts())
	if !ok || at.Lane != job.LaneClaim {
		return
	}
	d.parking.add(at, part)
	d.parking.woken(at)
}
