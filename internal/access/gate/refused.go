package gate

import (
	"context"
	"sync"

	"longshore/internal/access"
)

// maxRefusals bounds what is gathered in a minute; beyond it all count as one.
const maxRefusals = 1000

// Refusals are those of a minute, folded: a flood of them is a few lines.
type refusals struct {
	mu sync.Mutex
	of map[access.Entry]*access.Entry // by what is told apart
}

// Refused notes who was refused, and what he wanted.
func (g *Gate) Refused(e access.Entry) {
	r := &g.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := access.Entry{Actor: e.Actor, Kind: e.Kind, Tenant: e.Tenant, Address: e.Address, Action: e.Action}
	if r.of == nil {
		r.of = map[access.Entry]*access.Entry{}
	}
	if r.of[kind] == nil && len(r.of) >= maxRefusals {
		kind = access.Entry{Actor: "others", Tenant: access.Installation, Action: e.Action}
	}
	if r.of[kind] == nil {
		if len(r.of) >= 2*maxRefusals {
			return
		}
		first := kind
		first.Time = e.Time
		r.of[kind] = &first
	}
	r.of[kind].Count++
}

// noteRefused writes them down.
func (g *Gate) noteRefused(ctx context.Context) {
	r := &g.refusals
	r.mu.Lock()
	of := r.of
	r.of = nil
	r.mu.Unlock()
	entries := make([]access.Entry, 0, len(of))
	for _, e := range of {
		entries = append(entries, *e)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := g.Store.Refused(ctx, entries); err != nil {
		g.Log.WarnContext(ctx, "refusals are missing in the audit log", "count", len(entries), "error", err)
	}
}
