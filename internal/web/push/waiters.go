package push

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"longshore/internal/hub"
	"longshore/internal/web/edge"
	"longshore/job"
)

// Waiters are the long-polls, streams and sockets that wait at a time.
type Waiters struct {
	limiter *edge.Limiter
	hub     Hub
	maxWait time.Duration
}

// NewWaiters returns a place to wait for so many, and so many of one address; 0 = no
// limit. A long-poll may wait for maxWait; 0 = 25 s.
func NewWaiters(h Hub, maxWait time.Duration, max, perAddress int) *Waiters {
	return &Waiters{edge.NewLimiter(max, perAddress), h, cmp.Or(maxWait, 25*time.Second)}
}

// Enter cuts a wish to wait down to what we give: nothing where too many wait
// already. Who is given something leaves after it.
func (w *Waiters) Enter(a *edge.Answer, wish time.Duration) time.Duration {
	granted := min(wish, w.maxWait)
	if granted <= 0 || !w.admit(a) {
		return 0
	}
	return granted
}

// Leave ends the wait of the request of this answer.
func (w *Waiters) Leave(a *edge.Answer) { w.leave(a.Client) }

// Wait waits for jobs until one has moved, the time is over, the client has
// left or is let in no more, or the server stops. It takes up to a tenth off the time, so that
// waiters who came together don't come back together. No time is one look.
func (w *Waiters) Wait(ctx context.Context, a *edge.Answer, d time.Duration,
	wants ...hub.Want) ([]job.Rev, error) {
	see(a, wants)
	if d <= 0 {
		return w.hub.Look(ctx, wants...)
	}
	moved, err := w.hub.Wait(ctx, a.Who, d-rand.N(d/10+1), wants...)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // nobody is there to be answered
	}
	if ended := a.Ended(); ended != nil {
		return nil, ended
	}
	return moved, err
}

// see has the waiter find what he may see, and nothing else.
func see(a *edge.Answer, wants []hub.Want) {
	by := a.View()
	for i := range wants {
		if !by.All() {
			wants[i].By = &by
		}
	}
}

// Waiting is how many wait now.
func (w *Waiters) Waiting() int { return w.limiter.In() }

// Empty returns when all have left; for the end of the server.
func (w *Waiters) Empty(ctx context.Context) error { return w.limiter.Wait(ctx) }

// admit lets the request of this answer wait. Beyond the caps it says in
// Retry-After when to come back; the times differ, so that those who are turned
// away don't come back together.
func (w *Waiters) admit(a *edge.Answer) bool {
	if w.limiter.Enter(a.Client) {
		return true
	}
	a.Header().Set("Retry-After", strconv.Itoa(2+rand.IntN(4)))
	return false
}

func (w *Waiters) enter(client netip.Addr) bool { return w.limiter.Enter(client) }
func (w *Waiters) leave(client netip.Addr)      { w.limiter.Leave(client) }
