package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/internal/loop"
	"longshore/internal/receiver"
	"longshore/internal/tracing"
	"longshore/job"
)

// Records is what a Deliverer needs of the job store.
type Records interface {
	ClaimCallbacks(ctx context.Context, limit int, lease time.Duration) ([]jobstore.CallbackClaim, error)
	HoldCallbacks(ctx context.Context, claims []jobstore.CallbackClaim, lease time.Duration) error
	SettleCallbacks(ctx context.Context, settlements []jobstore.CallbackSettlement) error
	Get(ctx context.Context, id job.ID) (job.Snapshot, error)
}

// Poster makes one attempt. *Sender implements it.
type Poster interface {
	// Find returns the addresses that an attempt would connect to. A result with a
	// code says that there will be no attempt.
	Find(ctx context.Context, to string) ([]netip.Addr, Result)
	// Post sends to one of those addresses.
	Post(ctx context.Context, id, to string, at []netip.Addr, body []byte) Result
}

// The numbers of a process's deliveries.
const (
	lookEvery   = 250 * time.Millisecond // between looks for what is due
	claimFirst  = 5 * time.Second        // a claim whose caller may have got no answer is void then
	claimLease  = 40 * time.Second       // … and one that is known and kept, then
	startBefore = 15 * time.Second       // a claim older than this is given back, not begun
	maxClaim    = 256                    // claims of one call
	// a record that this version can't read is looked at again after this
	unreadable = time.Minute
)

// A Deliverer delivers the callbacks that are due. Each worker process runs one.
type Deliverer struct {
	Records Records
	Sender  Poster
	Log     *slog.Logger
	// Grace is what attempts under way get when Run's context ends; those that
	// take longer are given back. An attempt takes 15 s at most.
	Grace time.Duration
	// Traces makes spans of the attempts; nil makes none.
	Traces *tracing.Tracer

	wake chan struct{}
	wg   sync.WaitGroup // of attempts

	mu    sync.Mutex
	lines lines
}

// NewDeliverer returns a deliverer; Run makes it work.
func NewDeliverer(r Records, s Poster, log *slog.Logger, grace time.Duration) *Deliverer {
	return &Deliverer{Records: r, Sender: s, Log: log, Grace: grace, wake: make(chan struct{}, 1),
		lines: newLines()}
}

// Notify says that a callback is due, so that it need not wait for the next look.
func (d *Deliverer) Notify() {
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
	d.release(ctx, time.Now(), waiting)
	patience := time.AfterFunc(d.Grace, cut)
	defer patience.Stop()
	d.wg.Wait()
}

// claim takes what is due and begins it, as far as there is room. More is true
// if it took all that it asked for: there may be more.
func (d *Deliverer) claim(ctx, attempts context.Context) (more bool, err error) {
	now := time.Now()
	claims, err := d.Records.ClaimCallbacks(ctx, maxClaim, claimFirst)
	var kept []jobstore.CallbackClaim
	var crowded []jobstore.CallbackSettlement
	d.mu.Lock()
	for _, c := range claims {
		t := &task{claim: c, at: now, to: hostOf(c.URL)}
		fate, away := d.lines.join(t)
		if fate == crowd {
			crowded = append(crowded, released(c, jittered(away)))
			continue
		}
		kept = append(kept, c)
		if fate == begin {
			d.wg.Go(func() { d.serve(attempts, t) })
		}
	}
	d.mu.Unlock()
	d.wg.Go(func() { d.hold(attempts, now, kept) })
	d.release(ctx, now, crowded)
	return err == nil && len(claims) == maxClaim, err
}

// serve makes one attempt, and then lets those begin that waited for it.
func (d *Deliverer) serve(ctx context.Context, t *task) {
	began := time.Now()
	d.settle(ctx, t, d.attempt(ctx, t))
	d.mu.Lock()
	begun, crowded := d.lines.next(t, max(1, time.Since(began)))
	for _, n := range begun {
		d.wg.Go(func() { d.serve(ctx, n) })
	}
	d.mu.Unlock()
	d.release(ctx, time.Now(), crowded)
	d.Notify() // there is room
}

// attempt makes one attempt. A settlement without an outcome says that there is
// nothing to settle.
func (d *Deliverer) attempt(ctx context.Context, t *task) (s jobstore.CallbackSettlement) {
	log := d.Log.With("job_id", t.claim.ID, "host", t.to, "attempt", t.claim.Attempts+1)
	var snap job.Snapshot
	err := d.ask(ctx, t.at, startBefore, func() (err error) {
		snap, err = d.Records.Get(ctx, t.claim.ID)
		return err
	})
	switch {
	case errors.Is(err, job.ErrNotFound):
		return s // removed by hand, and its callback with it
	case errors.Is(err, job.ErrDamaged):
		return released(t.claim, unreadable) // another version of us may read it
	case err != nil || ctx.Err() != nil || time.Since(t.at) > startBefore:
		log.DebugContext(ctx, "callback was not begun in time", "error", err)
		return released(t.claim, 0)
	}
	body, err := httpapi.Encode(httpapi.Show(snap))
	if err != nil {
		log.ErrorContext(ctx, "callback has no body", "error", err)
		return released(t.claim, unreadable)
	}
	began := time.Now()
	at, r := d.Sender.Find(ctx, t.claim.URL)
	if r.Code == "" {
		d.mu.Lock()
		ok, away := d.lines.found(t, at)
		d.mu.Unlock()
		if !ok {
			return released(t.claim, jittered(away))
		}
		span := d.Traces.Callback(snap.Traceparent, tracing.Job{ID: string(snap.ID), Type: snap.Type,
			Attempt: t.claim.Attempts + 1})
		r = d.Sender.Post(span.Into(ctx), string(snap.ID), t.claim.URL, at, body)
		span.End(string(r.Code))
	}
	if ctx.Err() != nil && r.Status == 0 {
		return released(t.claim, 0) // cut by us
	}
	d.mu.Lock()
	d.lines.judge(t, r.Status != 0, time.Since(began))
	d.mu.Unlock()
	s = settle(t.claim, r)
	switch s.Outcome {
	case jobstore.CallbackDelivered:
		log.DebugContext(ctx, "callback delivered", "status", r.Status)
	case jobstore.CallbackFailed:
		log.WarnContext(ctx, "callback given up", "status", r.Status, "code", r.Code, "error", r.Err)
	default:
		log.InfoContext(ctx, "callback not taken, to be tried again", "status", r.Status, "code", r.Code,
			"after", s.Delay, "error", r.Err)
	}
	return s
}

// ask calls f until it is answered, or until so long after since.
func (d *Deliverer) ask(ctx context.Context, since time.Time, patience time.Duration, f func() error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := f()
		if err == nil || errors.Is(err, job.ErrNotFound) || errors.Is(err, job.ErrDamaged) ||
			ctx.Err() != nil || time.Since(since)+pause > patience {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// settle records the outcome, asking until it is answered or the claim is over:
// then another worker delivers it once more.
func (d *Deliverer) settle(ctx context.Context, t *task, s jobstore.CallbackSettlement) {
	if s.Outcome == "" {
		return
	}
	err := d.ask(ctx, t.at, claimLease, func() error {
		return d.Records.SettleCallbacks(context.WithoutCancel(ctx), []jobstore.CallbackSettlement{s})
	})
	if err != nil {
		d.Log.WarnContext(ctx, "outcome of a callback not recorded, it will be sent again", "job_id",
			t.claim.ID, "error", err)
	}
}

// hold keeps claims for as long as an attempt may take. Where that fails their first,
// short lease ends, and they may be sent twice.
func (d *Deliverer) hold(ctx context.Context, claimed time.Time, claims []jobstore.CallbackClaim) {
	if len(claims) == 0 {
		return
	}
	err := d.ask(ctx, claimed, claimFirst, func() error {
		return d.Records.HoldCallbacks(ctx, claims, claimLease)
	})
	if err != nil {
		d.Log.DebugContext(ctx, "callbacks may be sent twice", "count", len(claims), "error", err)
	}
}

// release gives claims back that were not begun. Where that fails their lease does it.
func (d *Deliverer) release(ctx context.Context, claimed time.Time, list []jobstore.CallbackSettlement) {
	if len(list) == 0 {
		return
	}
	err := d.ask(ctx, claimed, claimFirst, func() error {
		return d.Records.SettleCallbacks(context.WithoutCancel(ctx), list)
	})
	if err != nil {
		d.Log.DebugContext(ctx, "callbacks are left to their lease", "count", len(list), "error", err)
	}
}

func released(c jobstore.CallbackClaim, delay time.Duration) jobstore.CallbackSettlement {
	return jobstore.CallbackSettlement{Claim: c, Outcome: jobstore.CallbackRelease, Delay: delay}
}

// hostOf is the receiver: the URL's host, as it is looked up, and its port.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ":"
	}
	return receiver.Host(u.Hostname()) + ":" + receiver.Port(u)
}
