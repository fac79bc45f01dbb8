package jobstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/job"
)

// A Claim is a ticket that was taken, and what became of the start of its job.
type Claim struct {
	Ticket  job.Ticket
	Fence   string
	Sent    time.Time // when the call was sent that gained the lease
	Started Started
	// Err is nil; ErrSuspect of a job that has not been started, whose ticket waits for the caller, some
	// seconds: it starts or postpones it; job.ErrDamaged of one whose payload can't be read.
	Err error
}

// A Claimer takes tickets and starts their jobs, in one script call for many.
// A call whose outcome is not known is repeated by the next one, so no job is
// started for nobody. Only one goroutine may use it at a time.
type Claimer struct {
	// Types are those whose jobs the next call may start.
	Types []string

	store *Store
	token string // names what the last call popped

	serial int
	open   *claimCall // sent, and not answered yet
}

type claimCall struct {
	at      job.Place
	part, n int
	fences  string
	types   string
}

// servedTypes is how scripts are told types: a space before and behind each.
func servedTypes(types []string) string { return " " + strings.Join(types, " ") + " " }

// NewClaimer returns a claimer that starts jobs of these types only. Tickets of others it puts
// aside, for whoever serves them.
func (s *Store) NewClaimer(types []string) *Claimer {
	return &Claimer{store: s, token: NewFence(), Types: types}
}

// Claim takes up to n tickets that wait at a place, in a partition; more says that the queue may have
// more. After an error the next call repeats this one, whatever it asks for. Void
// tickets are thrown away and not reported.
func (c *Claimer) Claim(ctx context.Context, at job.Place, part, n int) (claims []Claim, more bool,
	err error) {
	if c.open == nil {
		c.serial++
		c.open = &claimCall{at, part, n, c.store.workerFences(n), servedTypes(c.Types)}
	}
	call, s := c.open, c.store
	args := []any{c.token, call.at.Name(), call.n, c.serial, call.fences, ms(s.lease),
		call.types}
	sent := time.Now()
	reply, err := s.take(ctx, s.scripts.take, call, args)
	if err == nil && reply == nil { // the long way: nothing was written
		reply, err = s.take(ctx, s.scripts.takeLong, call, args)
	}
	if err != nil {
		return nil, false, err
	}
	if len(reply) == 0 {
		return nil, false, errors.New("claim: script answered nothing")
	}
	claims = make([]Claim, 0, len(reply)-1)
	for _, one := range reply[1:] {
		claim := Claim{Sent: sent, Ticket: job.Ticket{Lane: call.at.Lane, Priority: call.at.Priority,
			Queue: call.at.Queue}}
		if err := s.readClaim(ctx, &claim, one); err != nil {
			return nil, false, err // of a repeat, which the next call is
		}
		claims = append(claims, claim)
	}
	c.open = nil
	s.TellForeign(ctx, integer(reply[0])/2)
	return claims, integer(reply[0])%2 == 1, nil
}

// take runs a script of a claim; nil = it leaves it to the long way.
func (s *Store) take(ctx context.Context, script *redis.Script, call *claimCall, args []any) ([]any, error) {
	reply, err := script.Run(ctx, s.rdb, []string{s.bases[call.part]}, args...).Result()
	if err != nil {
		return nil, err
	}
	list, _ := reply.([]any)
	return list, nil
}

// readClaim decodes one ticket's part: id and record; these, payload, progress and what it is after; or id,
// delivery and type of a suspect.
func (s *Store) readClaim(ctx context.Context, c *Claim, one any) error {
	var beside [3]string // what isn't in the record
	said := text(one)
	if list, ok := one.([]any); ok && len(list) >= 3 {
		said = text(list[0])
		if len(said) == 16 {
			c.Ticket.ID, c.Ticket.Delivery, c.Ticket.Type = job.FromRaw(said), integer(list[1]), text(list[2])
			c.Fence, c.Err = writeFence(s.workerFences(1)), ErrSuspect
			return nil
		}
		copy(beside[:], texts(list[1:]))
	}
	if len(said) < 16 {
		return fmt.Errorf("claim: script answered %d bytes of a record", len(said))
	}
	id := job.FromRaw(said[:16])
	st, r, err := s.decodeStarted(ctx, id, said[16:], beside)
	if err != nil && !errors.Is(err, job.ErrDamaged) {
		return err
	}
	c.Started, c.Err, c.Fence = st, err, writeFence(r.fence)
	c.Ticket.ID, c.Ticket.Delivery, c.Ticket.Type = id, r.delivery, st.Type
	return nil
}
