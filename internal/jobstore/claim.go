package jobstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"longshore/internal/batch"
	"longshore/job"
)

// A Claim is a ticket that was taken, and what became of the start of its job.
type Claim struct {
	Ticket  job.Ticket // Type is filled in if Err is nil or ErrUnserved
	Fence   string
	Sent    time.Time // when the call was sent that gained the lease
	Started Started
	// Err is nil, or as Start has it, or ErrUnserved.
	Err error
}

// A Claimer takes tickets and starts their jobs, in one script call for many.
// A call whose outcome is not known is repeated by the next one, so no job is
// started for nobody. Only one goroutine may use it at a time.
type Claimer struct {
	store *Store
	key   string // what the last call popped
	types string

	serial int
	open   *claimCall // sent, and not answered yet
}

type claimCall struct {
	lane     job.Lane
	priority job.Priority
	n        int
	park     bool
	fences   string
}

// NewClaimer returns a claimer that starts jobs of these types only.
func (s *Store) NewClaimer(types []string) *Claimer {
	return &Claimer{store: s, key: s.prefix + ":claim:" + NewFence(), types: ServedTypes(types)}
}

// ServedTypes is how scripts are told types: a space before and behind each.
func ServedTypes(types []string) string { return " " + strings.Join(types, " ") + " " }

// Fused reports whether the queue's tickets are created, claimed and finished
// with their records. Only then may a Claimer be used.
func (s *Store) Fused() bool { return s.scripts.take != nil }

// Claim takes up to n tickets of a queue; more says that the queue may have
// more. With park those of other types are put aside for whoever serves them,
// else they are returned with ErrUnserved. After an error the next call repeats
// this one, whatever it asks for. Stale tickets are thrown away and not reported.
func (c *Claimer) Claim(ctx context.Context, lane job.Lane, priority job.Priority, n int, park bool) (claims []Claim, more bool, err error) {
	if c.open == nil {
		c.serial++
		c.open = &claimCall{lane, priority, n, park, newFences(n)}
	}
	call := c.open
	sent := time.Now()
	reply, err := c.store.scripts.take.Run(ctx, c.store.rdb, []string{c.key}, queueName(call.lane, call.priority), call.n, c.serial,
		call.fences, ms(c.store.lease), c.types, flag(call.park)).Slice()
	if err != nil {
		return nil, false, err
	}
	c.open = nil
	const parts = 5 // of the reply, a ticket
	if len(reply)%parts != 1 {
		return nil, false, fmt.Errorf("claim: script answered %d values", len(reply))
	}
	claims = make([]Claim, 0, len(reply)/parts)
	for i := 1; i < len(reply); i += parts {
		claim := Claim{Fence: call.fences[i/parts*fenceSize : (i/parts+1)*fenceSize], Sent: sent}
		claim.Ticket = job.Ticket{Lane: call.lane, Priority: call.priority}
		claim.read(text(reply[i]), text(reply[i+1]), text(reply[i+2]), text(reply[i+3]), text(reply[i+4]))
		if !errors.Is(claim.Err, ErrStale) && !errors.Is(claim.Err, job.ErrNotFound) {
			claims = append(claims, claim)
		}
	}
	return claims, integer(reply[0]) == 1, nil
}

// read decodes one ticket's part: its name and what script start_one answered.
func (c *Claim) read(name, head, moving, spec, past string) {
	c.Ticket.ID, c.Ticket.Delivery, c.Err = job.ParseTicketName(name)
	switch {
	case c.Err != nil:
		c.Err = fmt.Errorf("%w: %w", ErrStale, c.Err) // and it was thrown away
	case moving == "":
		c.Err = status(c.Ticket.ID, []any{head})
	case spec == "" && (head == "suspect" || head == "unserved"):
		c.Err, c.Ticket.Type = status(c.Ticket.ID, []any{head}), moving
	default:
		c.Started, c.Err = decodeStarted(c.Ticket.ID, head, moving, spec, past)
		c.Ticket.Type = c.Started.Type
	}
}

// StartMany is Start for many tickets, where they can't be claimed together
// with their jobs. Outcomes are in the order of tickets.
func (s *Store) StartMany(ctx context.Context, tickets []job.Ticket, types []string) []Claim {
	calls, claims := make([]*batch.Call, len(tickets)), make([]Claim, len(tickets))
	sent, served, lease := time.Now(), ServedTypes(types), ms(s.lease)
	for i, t := range tickets {
		claims[i] = Claim{Ticket: t, Fence: NewFence(), Sent: sent}
		calls[i] = &batch.Call{Key: s.key(t.ID), Args: []any{strconv.FormatInt(t.Delivery, 10), claims[i].Fence, lease, "0", served}}
	}
	_ = batch.RunAll(ctx, s.rdb, s.scripts.start, groupSize, calls) // each call has its own error
	for i, c := range calls {
		claim := &claims[i]
		if claim.Err = c.Err; claim.Err != nil {
			continue
		}
		if claim.Err = status(claim.Ticket.ID, c.Reply); claim.Err != nil {
			if len(c.Reply) > 1 {
				claim.Ticket.Type = text(c.Reply[1])
			}
			continue
		}
		claim.Started, claim.Err = decodeStarted(claim.Ticket.ID, text(c.Reply[1]), text(c.Reply[2]), text(c.Reply[3]), text(c.Reply[4]))
		claim.Ticket.Type = claim.Started.Type
	}
	return claims
}
