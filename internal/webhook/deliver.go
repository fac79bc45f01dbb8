package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/job"
)

// Records is what a Deliverer needs of the job store.
type Records interface {
	ClaimCallbacks(ctx context.Context, limit int, lease time.Duration) ([]jobstore.CallbackClaim, error)
	SettleCallbacks(ctx context.Context, settlements []jobstore.CallbackSettlement) error
	Get(ctx context.Context, id job.ID) (job.Snapshot, error)
}

// Poster makes one attempt. *Sender implements it.
type Poster interface {
	Post(ctx context.Context, id, to string, body []byte) Result
}

// The numbers of a process's deliveries.
const (
	lookEvery   = 250 * time.Millisecond // between looks for what is due
	claimLease  = 40 * time.Second       // then a claim is void
	startBefore = 15 * time.Second       // a claim older than this is given back, not begun
	maxHeld     = 256                    // claims of a process at once
	unreadable  = time.Minute            // a record that this version can't read is looked at again after this
)

// A Deliverer delivers the callbacks that are due. Each worker process runs one.
type Deliverer struct {
	Records Records
	Sender  Poster
	Log     *slog.Logger
	// Grace is what attempts under way get when Run's context ends; those that
	// take longer are given back. An attempt takes 15 s at most.
	Grace time.Duration

	wake chan struct{}
	wg   sync.WaitGroup // of attempts

	mu    sync.Mutex
	lines lines
}

// NewDeliverer returns a deliverer; Run makes it work.
func NewDeliverer(r Records, s Poster, log *slog.Logger, grace time.Duration) *Deliverer {
	return &Deliverer{Records: r, Sender: s, Log: log, Grace: grace, wake: make(chan struct{}, 1), lines: lines{}}
}

// Ring says that a callback is due, so that it need not wait for the next look.
func (d *Deliverer) Ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, and returns when nothing is held any more.
func (d *Deliverer) Run(ctx context.Context) error {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	loop.Loop{Every: lookEvery, Wake: d.wake, Failed: func(err error) {
		d.Log.WarnContext(ctx, "callbacks can't be claimed, still trying", "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return d.claim(ctx, attempts) })
	d.drain(attempts, cut)
	return nil
}

// drain gives back what was not begun and lets end what was, within the grace.
func (d *Deliverer) drain(ctx context.Context, cut func()) {
	d.mu.Lock()
	waiting := d.lines.clear()
	d.mu.Unlock()
	d.release(ctx, waiting)
	patience := time.AfterFunc(d.Grace, cut)
	defer patience.Stop()
	d.wg.Wait()
}

// claim takes what is due and begins it, as far as there is room. More is true
// if it took all that it asked for: there may be more.
func (d *Deliverer) claim(ctx, attempts context.Context) (more bool, err error) {
	d.mu.Lock()
	room := maxHeld - d.lines.held()
	d.mu.Unlock()
	if room <= 0 {
		return false, nil
	}
	now := time.Now()
	claims, err := d.Records.ClaimCallbacks(ctx, room, claimLease)
	var crowded []jobstore.CallbackSettlement
	d.mu.Lock()
	for _, c := range claims {
		t := task{c, now}
		switch name := hostOf(c.URL); d.lines.join(name, t) {
		case begin:
			d.wg.Go(func() { d.serve(attempts, name, t) })
		case crowd:
			crowded = append(crowded, released(c, jittered(d.lines.delay(name))))
		}
	}
	d.mu.Unlock()
	d.release(ctx, crowded)
	return err == nil && len(claims) == room, err
}

// serve delivers one callback after the other as long as its host has a line.
func (d *Deliverer) serve(ctx context.Context, name string, t task) {
	for ok := true; ok; {
		began := time.Now()
		settlement := d.attempt(ctx, t)
		d.settle(ctx, t, settlement)
		d.mu.Lock()
		t, ok = d.lines.next(name, time.Since(began))
		d.mu.Unlock()
		d.Ring() // there is room
	}
}

// attempt makes one attempt. A settlement without an outcome says that nothing
// can be said: the claim is left to its lease.
func (d *Deliverer) attempt(ctx context.Context, t task) (s jobstore.CallbackSettlement) {
	log := d.Log.With("job_id", t.claim.ID, "host", hostOf(t.claim.URL), "attempt", t.claim.Attempts+1)
	if ctx.Err() != nil || time.Since(t.at) > startBefore {
		return released(t.claim, 0)
	}
	snap, err := d.Records.Get(ctx, t.claim.ID)
	switch {
	case errors.Is(err, job.ErrNotFound):
		return s // removed by hand, and its callback with it
	case errors.Is(err, job.ErrDamaged):
		return released(t.claim, unreadable) // another version of us may read it
	case err != nil:
		log.DebugContext(ctx, "callback waits for its record", "error", err)
		return s
	}
	body, err := httpapi.Encode(httpapi.Show(snap))
	if err != nil {
		log.ErrorContext(ctx, "callback has no body", "error", err)
		return released(t.claim, unreadable)
	}
	r := d.Sender.Post(ctx, string(snap.ID), t.claim.URL, body)
	if ctx.Err() != nil && r.Status == 0 {
		return released(t.claim, 0) // cut by us
	}
	s = settle(t.claim, r)
	switch s.Outcome {
	case jobstore.CallbackDelivered:
		log.DebugContext(ctx, "callback delivered", "status", r.Status)
	case jobstore.CallbackFailed:
		log.WarnContext(ctx, "callback given up", "status", r.Status, "code", r.Code, "error", r.Err)
	default:
		log.InfoContext(ctx, "callback not taken, to be tried again", "status", r.Status, "code", r.Code, "after", s.Delay, "error", r.Err)
	}
	return s
}

// settle records the outcome, asking until it is answered or the claim is over:
// then another worker delivers it once more.
func (d *Deliverer) settle(ctx context.Context, t task, s jobstore.CallbackSettlement) {
	if s.Outcome == "" {
		return
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := d.Records.SettleCallbacks(context.WithoutCancel(ctx), []jobstore.CallbackSettlement{s})
		if err == nil {
			return
		}
		if ctx.Err() != nil || time.Since(t.at) > claimLease {
			d.Log.WarnContext(ctx, "outcome of a callback not recorded, it will be sent again", "job_id", t.claim.ID, "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// release gives claims back that were not begun. Where that fails their lease does it.
func (d *Deliverer) release(ctx context.Context, list []jobstore.CallbackSettlement) {
	if len(list) == 0 {
		return
	}
	if err := d.Records.SettleCallbacks(context.WithoutCancel(ctx), list); err != nil {
		d.Log.DebugContext(ctx, "callbacks are left to their lease", "count", len(list), "error", err)
	}
}

func released(c jobstore.CallbackClaim, delay time.Duration) jobstore.CallbackSettlement {
	return jobstore.CallbackSettlement{Claim: c, Outcome: jobstore.CallbackRelease, Delay: delay}
}

// hostOf is the receiver's host with its port, as the URL names it.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return hostName(u.Hostname()) + ":" + u.Port()
}
