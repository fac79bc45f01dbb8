package jobstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"longshore/internal/loop"
	"longshore/job"
)

// Causes with which a Keeper cancels a run or an upload.
var (
	// ErrCanceled says that the job is to stop because a client wants it.
	ErrCanceled = errors.New("job was canceled")
	// ErrCutOff says that the lease could not be renewed: another worker may
	// start the job any moment.
	ErrCutOff = errors.New("lease could not be renewed")
)

// A Keeper keeps the leases of one process: it renews all of them, and carries
// their progress, in one round trip. It tells a run when it is canceled, lost
// or cut off.
type Keeper struct {
	store *Store
	log   *slog.Logger

	mu    sync.Mutex
	holds map[*Hold]struct{}
	wake  chan struct{} // notified: beat now
}

// The Keeper's times. A lease is renewed four times before it ends; progress
// is pushed at most five times a second.
const (
	beatEvery  = 200 * time.Millisecond
	renewShare = 4           // renewed after lease/4
	killBefore = time.Second // a cut-off run is killed this long before its lease ends
)

// NewKeeper returns a keeper; Run makes it work.
func NewKeeper(s *Store, log *slog.Logger) *Keeper {
	return &Keeper{store: s, log: log, holds: map[*Hold]struct{}{}, wake: make(chan struct{}, 1)}
}

// A Hold is one lease that is kept.
type Hold struct {
	ID    job.ID
	Fence string
	// Progress is asked before each beat and answers nil when there is no news.
	Progress func() *job.Progress
	// Stop is called, once at most, with ErrCanceled, ErrLost or ErrCutOff.
	Stop func(cause error)
	// KillWhenCut asks for ErrCutOff; without it the run goes on while cut off
	// and the fence decides.
	KillWhenCut bool
	// Renewed is called after each renewal with the time at which the run must
	// be stopped without another one. It must not block. nil = not wanted.
	Renewed func(killAt time.Time)
	// For is the lease's length, of an upload in pieces; 0 = the store's.
	For time.Duration
	// Sent is when the call that gained the lease was sent.
	Sent time.Time

	keeper  *Keeper
	cut     *time.Timer // the kill clock; nil without KillWhenCut
	stop    sync.Once
	renewed time.Time // send time of the last good renewal; guarded by keeper.mu
	asked   bool      // it may be canceled; guarded by keeper.mu
}

// Keep begins to keep a lease, until Drop.
func (k *Keeper) Keep(h *Hold) {
	// A notification may have come for it between the call that gained the lease and
	// this one: the next beat asks.
	h.keeper, h.renewed, h.asked = k, h.Sent, true
	if h.KillWhenCut {
		h.cut = time.AfterFunc(time.Until(k.killAt(h.Sent)), func() { h.end(ErrCutOff) })
	}
	k.mu.Lock()
	k.holds[h] = struct{}{}
	k.mu.Unlock()
}

// CutAfter is how long after its last good renewal was sent a run must be
// stopped that forbids overlap.
func (k *Keeper) CutAfter() time.Duration { return k.store.lease - killBefore }

// killAt is when a run must be stopped whose last good renewal was sent then.
func (k *Keeper) killAt(sent time.Time) time.Time { return sent.Add(k.CutAfter()) }

func (h *Hold) end(cause error) { h.stop.Do(func() { h.Stop(cause) }) }

// Drop ends keeping it.
func (h *Hold) Drop() {
	if h.cut != nil {
		h.cut.Stop()
	}
	h.keeper.mu.Lock()
	delete(h.keeper.holds, h)
	h.keeper.mu.Unlock()
}

// Notify makes the keeper look at once whether a job that it holds was
// canceled. It is to be called for each message on the cancel channel, and
// with "" after each connect.
func (k *Keeper) Notify(id job.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for h := range k.holds {
		if h.ID == id || id == "" {
			h.asked = true
			k.signal()
		}
	}
}

func (k *Keeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run beats until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	loop.Loop{Every: beatEvery, Wake: k.wake, Failed: func(err error) {
		k.log.WarnContext(ctx, "leases can't be renewed, still trying", "error", err)
	}}.Run(ctx, func(ctx context.Context) (bool, error) { return false, k.beat(ctx) })
	return nil
}

// beat sends what is due: renewals, news, and questions after a doorbell.
func (k *Keeper) beat(ctx context.Context) error {
	sent := time.Now()
	var holds []*Hold
	var beats []Beat
	k.mu.Lock()
	for h := range k.holds {
		renew := h.asked || sent.Sub(h.renewed) >= k.store.lease/renewShare
		var news *job.Progress
		if h.Progress != nil {
			news = h.Progress()
		}
		if renew || news != nil {
			holds = append(holds, h)
			// A renewal costs the script one command: progress renews as well.
			beats = append(beats, Beat{ID: h.ID, Fence: h.Fence, Renew: true, For: h.For, Progress: news})
			h.asked = false // a doorbell from now on may be for news that the reply doesn't have
		}
	}
	k.mu.Unlock()
	if len(beats) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	replies, err := k.store.Beats(ctx, beats)
	for i, h := range holds {
		switch {
		case replies == nil || replies[i].Unanswered:
			k.mu.Lock()
			h.asked = true
			k.mu.Unlock()
		case replies[i].Err != nil:
			h.end(ErrLost)
		case replies[i].Cancel:
			h.end(ErrCanceled)
		default:
			k.mu.Lock()
			h.renewed = sent
			if _, kept := k.holds[h]; kept && h.cut != nil {
				h.cut.Reset(time.Until(k.killAt(sent)))
				if h.Renewed != nil {
					h.Renewed(k.killAt(sent))
				}
			}
			k.mu.Unlock()
		}
	}
	return err
}
