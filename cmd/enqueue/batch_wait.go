package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// pollWait is how long one look at jobs waits: below what routers cut.
const pollWait = 20 * time.Second

// waitForAll waits until all jobs of the batch have ended, those of earlier
// runs too, a window of them at a time.
func (b *batch) waitForAll(ctx context.Context, c *client.Client) error {
	limited := ctx
	if b.limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, time.Duration(b.limit), errWaitRanOut)
		defer cancel()
	}
	w := &ends{batch: b, states: map[job.State]int{}, show: b.newProgress()}
	defer w.show.close()
	err := w.wait(limited, c)
	w.show.close()
	fmt.Fprintln(b.err, w.text())
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(b.err, "detached; the jobs go on")
		return &exit{exitInterrupted, errors.New("interrupted while waiting")}
	case err != nil && limited.Err() != nil:
		return errWaitRanOut
	case err != nil:
		return err
	case w.states[job.Failed] > 0:
		return &exit{exitFailed, fmt.Errorf("%d of %d jobs failed", w.states[job.Failed], w.all)}
	case w.states[job.Canceled]+w.states[job.Expired] > 0:
		return &exit{exitStopped, fmt.Errorf("%d of %d jobs were canceled or expired", w.states[job.Canceled]+w.states[job.Expired], w.all)}
	}
	return nil
}

// ends counts how jobs end.
type ends struct {
	*batch
	show   *progress
	states map[job.State]int
	bad    int // did not succeed
	gone   int // their retention is over
	all    int
	done   int
	told   time.Time
}

func (w *ends) wait(ctx context.Context, c *client.Client) error {
	rest := w.ids()
	w.all = len(rest)
	var window []job.ID
	for len(window)+len(rest) > 0 {
		n := min(httpapi.MaxIDs-len(window), len(rest))
		window, rest = append(window, rest[:n]...), rest[n:]
		asked := time.Now()
		ended, missing, err := c.PollDone(ctx, window, pollWait)
		if err != nil {
			return err
		}
		left := map[job.ID]bool{}
		for _, snap := range ended {
			left[snap.ID] = true
			if err := w.ended(snap); err != nil {
				return err
			}
		}
		for _, id := range missing {
			left[id] = true
			w.gone++
		}
		kept := window[:0]
		for _, id := range window {
			if !left[id] {
				kept = append(kept, id)
			}
		}
		window = kept
		w.done = w.all - len(window) - len(rest)
		w.tell()
		if len(left) == 0 && time.Since(asked) < time.Second { // a server that does not wait
			select {
			case <-time.After(time.Second / 2):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (w *ends) ended(snap job.Snapshot) error {
	w.states[snap.State]++
	if err := ended(snap); err != nil {
		if w.bad++; w.bad <= maxComplaints {
			w.show.println(err.Error())
		}
	}
	if w.format == "jsonl" {
		return w.printJSON(snap)
	}
	return nil
}

func (w *ends) tell() {
	now := time.Now()
	switch {
	case w.show.bars != nil:
		w.show.draw(int64(w.done), int64(w.all), w.text())
	case now.Sub(w.told) >= linesEvery:
		w.told = now
		fmt.Fprintln(w.err, w.text())
	}
}

// text is "12 of 30 ended: 11 succeeded, 1 failed".
func (w *ends) text() string {
	var parts []string
	for _, s := range []job.State{job.Succeeded, job.Failed, job.Canceled, job.Expired} {
		if n := w.states[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if w.gone > 0 {
		parts = append(parts, fmt.Sprintf("%d gone", w.gone))
	}
	text := fmt.Sprintf("%d of %d jobs ended", w.done, w.all)
	if parts != nil {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}
