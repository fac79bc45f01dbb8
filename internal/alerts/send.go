package alerts

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
	"time"

	"longshore/internal/loop"
	"longshore/internal/webhook"
)

// Poster makes one attempt. *webhook.Sender implements it.
type Poster interface {
	Find(ctx context.Context, to string) ([]netip.Addr, webhook.Result)
	Post(ctx context.Context, id, to string, at []netip.Addr, body []byte) webhook.Result
}

const (
	// sendEvery is how often somebody looks whether there is something to send that he was not told of.
	sendEvery = 5 * time.Second
	// knownEvery is how often a process says which receivers it has.
	knownEvery = time.Minute
	// beginBefore is how old a claim may be when an attempt begins, which takes 20 s at most.
	beginBefore = 15 * time.Second
	// sendGrace is what attempts get that are under way at the end.
	sendGrace = 3 * time.Second
)

// A sender sends what its receivers are owed: one message at a time to each, so that one that hangs delays
// no other, and nothing else.
type sender struct {
	store store
	c     Config
	token string // of this process's claims
	wake  chan struct{}
	named time.Time // when it said which receivers it has

	wg   sync.WaitGroup
	mu   sync.Mutex
	busy map[string]bool // receivers that something is sent to
}

func newSender(s store, c Config) *sender {
	return &sender{store: s, c: c, token: rand.Text(), wake: make(chan struct{}, 1), busy: map[string]bool{}}
}

// kick says that there is something to send.
func (s *sender) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sender) run(ctx context.Context) {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	loop.Loop{Every: sendEvery, Wake: s.wake, Failed: func(err error) {
		s.c.Log.WarnContext(ctx, "alerts can't be sent, still trying", "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, s.begin(ctx, attempts) })
	patience := time.AfterFunc(sendGrace, cut)
	defer patience.Stop()
	s.wg.Wait()
}

// begin claims what there is to do, and begins it.
func (s *sender) begin(ctx, attempts context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sendEvery)
	defer cancel()
	if time.Since(s.named) >= knownEvery {
		if err := s.store.know(ctx, s.c.Receivers); err != nil {
			return err
		}
		s.named = time.Now()
	}
	var idle []string
	byName := map[string]Receiver{}
	s.mu.Lock()
	for _, r := range s.c.Receivers {
		if !s.busy[r.name] {
			idle = append(idle, r.name)
			byName[r.name] = r
		}
	}
	s.mu.Unlock()
	if len(idle) == 0 {
		return nil
	}
	at := time.Now()
	claims, err := s.store.claim(ctx, s.token, idle)
	for name, notes := range claims {
		s.mu.Lock()
		s.busy[name] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(attempts, byName[name], notes, at)
			s.mu.Lock()
			delete(s.busy, name)
			s.mu.Unlock()
		})
	}
	return err
}

// serve sends what one receiver is owed. A message waits for those of the same alert that came before it: the
// end is never told before the start.
func (s *sender) serve(ctx context.Context, to Receiver, notes []owed, claimed time.Time) {
	earlier := map[string]bool{}
	for _, o := range notes {
		if !o.due || earlier[o.Body.Alert] {
			earlier[o.Body.Alert] = true
			continue
		}
		if ctx.Err() != nil || time.Since(claimed) > beginBefore {
			break
		}
		is, cut := s.attempt(ctx, to, o)
		if cut {
			break // it may have arrived: whoever sends it again does it by the same id
		}
		if is.again {
			earlier[o.Body.Alert] = true
		}
		at := time.Now()
		mine, err := s.settle(ctx, o, is)
		if err != nil || !mine {
			s.c.Log.DebugContext(ctx, "an alert may be sent twice", "host", to.host, "error", err)
			return
		}
		claimed = at
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := s.store.release(ctx, s.token, to.name); err != nil {
		s.c.Log.DebugContext(ctx, "a receiver of alerts is left to the end of its claim", "error", err)
	}
	if len(earlier) < len(notes) {
		s.kick() // more may have come
	}
}

// attempt sends one message. cut says that we ended it ourselves.
func (s *sender) attempt(ctx context.Context, to Receiver, o owed) (is outcome, cut bool) {
	log := s.c.Log.With("host", to.host, "alert", o.Body.Alert, "state", o.Body.State, "attempt", o.tries+1)
	body, err := to.body(o.Body)
	if err != nil || o.ID == "" {
		return outcome{code: "unreadable"}, false // a hand has spoiled it
	}
	post := s.c.Signed
	if to.slack {
		post = s.c.Plain
	}
	at, r := post.Find(ctx, to.url)
	if r.Code == "" {
		r = post.Post(ctx, o.ID, to.url, at, body)
	}
	if ctx.Err() != nil && r.Status == 0 {
		return is, true
	}
	is = outcome{status: r.Status, code: string(r.Code)}
	if is.delay, is.again = webhook.Again(o.tries+1, r); o.Once {
		is.again = false
	}
	switch {
	case is.again:
		log.InfoContext(ctx, "alert not taken, to be sent again", "status", r.Status, "code", r.Code, "after",
			is.delay, "error", r.Err)
	case is.code != "":
		log.WarnContext(ctx, "alert given up", "status", r.Status, "code", r.Code, "error", r.Err)
	default:
		log.DebugContext(ctx, "alert sent", "status", r.Status)
	}
	return is, false
}

// settle asks until it is answered, or until the claim is over.
func (s *sender) settle(ctx context.Context, o owed, is outcome) (mine bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginBefore)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if mine, err = s.store.settle(ctx, s.token, o, is); err == nil || ctx.Err() != nil {
			return mine, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
