package gate

import (
	"context"
	"sync"
	"time"

	"longshore/internal/access"
)

// takeAhead is how much of a rate is taken at a time: a web may be ahead by it.
const takeAhead = 100 * time.Millisecond

// rateTimeout bounds a call for a rate: behind it others of the key wait.
const rateTimeout = 500 * time.Millisecond

// ofPages marks the bucket of all pages by a maker's tokens.
const ofPages = "/pages"

// A bucket is what this process has taken of a key's rate.
type bucket struct {
	mu      sync.Mutex
	have    int
	left    int       // that others may take
	reset   time.Time // when all is made up for
	refused time.Time // until then there is nothing
	blind   time.Time // until then Redis isn't asked, for it didn't answer
}

// Spend counts one request. Where Redis doesn't answer, it passes: what the request needs
// of Redis isn't there either.
func (g *Gate) Spend(ctx context.Context, who *access.Principal) access.Quota {
	if (who.Rate == access.Rate{}) {
		return access.Quota{}
	}
	id := who.ID
	if who.Grant != nil {
		// What pages do counts for who made their tokens, and apart from what he does himself: who looks at
		// a page mustn't keep him out.
		id = access.MakerID(who.Grant.Maker) + ofPages
	}
	g.mu.Lock()
	b := g.buckets[id]
	if b == nil {
		b = &bucket{}
		g.buckets[id] = b
	}
	g.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	q := access.Quota{Rate: who.Rate}
	if b.have == 0 && now.Before(b.refused) {
		q.Wait, q.Reset = b.refused.Sub(now), b.reset.Sub(now)
		return q
	}
	if now.Before(b.blind) {
		return q
	}
	if b.have == 0 {
		want := max(1, min(int(takeAhead/who.Rate.Gap()), who.Rate.Burst))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rateTimeout)
		defer cancel()
		spent, err := g.Store.Spend(ctx, id, who.Rate, want)
		if err != nil {
			b.blind = time.Now().Add(time.Second)
			return q
		}
		b.have, b.left, b.reset = spent.Taken, spent.Left, now.Add(spent.Reset)
		if spent.Taken == 0 {
			b.refused = now.Add(spent.Wait)
			q.Wait, q.Reset = max(spent.Wait, time.Millisecond), spent.Reset
			return q
		}
	}
	b.have--
	q.Left, q.Reset = b.have+b.left, max(0, b.reset.Sub(now))
	return q
}
