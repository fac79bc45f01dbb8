package jobstore

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// laterSaid begins a message on the channel of workers that tells in how many ms the next token of a rate is
// due that a job waits for. Processes that don't know it take it for a queue that they don't serve.
const laterSaid = "later "

// A Pacer gives tokens of rates to those that wait for them, when they are due. Each worker runs one: without
// workers nothing starts anyway. Sweeps do the same, four times a second, if messages get lost. Where nobody
// waits for a token it does nothing.
type Pacer struct {
	store *Store
	log   *slog.Logger
	heard chan time.Duration
}

// paceRest is between two calls of a process, however many tokens are due.
const paceRest = 5 * time.Millisecond

// NewPacer returns a pacer; Run makes it work.
func NewPacer(s *Store, log *slog.Logger) *Pacer {
	return &Pacer{store: s, log: log, heard: make(chan time.Duration, 1)}
}

// Notify is to be called for each message on the channel of workers, and with "" after each connect. It
// doesn't block.
func (p *Pacer) Notify(text string) {
	ms, ok := strings.CutPrefix(text, laterSaid)
	if !ok && text != "" {
		return
	}
	n, _ := strconv.ParseInt(ms, 10, 64)
	due := time.Duration(n) * time.Millisecond
	select {
	case p.heard <- due:
		return
	default:
	}
	select { // Run hasn't heard of the one before: the sooner counts
	case before := <-p.heard:
		due = min(due, before)
	default:
	}
	select {
	case p.heard <- due:
	default:
	}
}

// Run gives tokens until ctx ends.
func (p *Pacer) Run(ctx context.Context) error {
	timer := time.NewTimer(0) // who waits already was told of before
	defer timer.Stop()
	var due time.Time // of the timer; zero = it doesn't run
	set := func(in time.Duration) {
		due = time.Now().Add(in)
		timer.Reset(in)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case in := <-p.heard:
			if at := time.Now().Add(max(in, 0)); due.IsZero() || at.Before(due) {
				set(time.Until(at))
			}
			continue
		case <-timer.C:
		}
		due = time.Time{}
		next, err := p.store.pace(ctx)
		if err != nil {
			if ctx.Err() == nil {
				p.log.DebugContext(ctx, "tokens of rates are not given here; sweeps give them", "error", err)
				set(time.Second)
			}
			continue
		}
		if next >= 0 {
			set(max(next, paceRest))
		}
	}
}

// pace gives tokens that are due, and tells in how long the next one is; -1 = nobody waits for one.
func (s *Store) pace(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	next := time.Duration(-1)
	for _, base := range s.bases {
		ms, err := s.scripts.pace.Run(ctx, s.rdb, []string{base}).Int64()
		if err != nil {
			return next, err
		}
		if in := time.Duration(ms) * time.Millisecond; ms >= 0 && (next < 0 || in < next) {
			next = in
		}
	}
	return next, nil
}
