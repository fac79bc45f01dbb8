package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/job"
)

// pollWait is how long one look at jobs waits: below what routers cut.
const pollWait = 20 * time.Second

// waitForAll waits until all jobs of the batch have ended, those of earlier
// runs too, a window of them at a time.
func (b *batch) waitForAll(ctx context.Context, at Installation) error {
	limited := ctx
	if b.limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, time.Duration(b.limit), errWaitRanOut)
		defer cancel()
	}
	w := &ends{batch: b, states: map[job.State]int{}, show: b.newProgress()}
	defer w.show.close()
	err := w.wait(limited, at)
	w.show.close()
	b.Say("%s", w.text())
	switch {
	case ctx.Err() != nil:
		b.Say("detached; the jobs go on")
		return &exit{ExitInterrupted, errors.New("interrupted while waiting")}
	case err != nil && limited.Err() != nil:
		return errWaitRanOut
	case err != nil:
		return err
	case w.states[job.Failed] > 0:
		return &exit{ExitFailed, fmt.Errorf("%d of %d jobs failed", w.states[job.Failed], w.all)}
	case w.states[job.Canceled]+w.states[job.Expired] > 0:
		return &exit{ExitStopped, fmt.Errorf("%d of %d jobs were canceled or expired", w.states[job.Canceled]+
			w.states[job.Expired], w.all)}
	}
	return nil
}

// ends counts how jobs end.
type ends struct {
	*batch
	show    *progress
	states  map[job.State]int
	bad     int // did not succeed
	gone    int // their retention is over
	all     int
	done    int
	printed time.Time
	open    map[job.ID]int64 // those that are waited for, by their places
}

func (w *ends) wait(ctx context.Context, at Installation) error {
	rest := w.book.jobs
	w.all = len(rest)
	var window []job.ID
	w.open = map[job.ID]int64{}
	for len(window)+len(rest) > 0 {
		for len(window) < httpapi.MaxIDs && len(rest) > 0 {
			if _, twice := w.open[rest[0].id]; twice { // two lines with one key
				w.all--
			} else {
				window = append(window, rest[0].id)
				w.open[rest[0].id] = rest[0].at
			}
			rest = rest[1:]
		}
		asked := time.Now()
		ended, missing, err := at.PollDone(ctx, window, pollWait)
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
			if left[id] {
				delete(w.open, id)
			} else {
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

// An endedJob is a job with what it was made of.
type endedJob struct {
	job.Snapshot
	Line int64  `json:"line,omitempty"`
	File string `json:"file,omitempty"`
}

func (w *ends) ended(snap job.Snapshot) error {
	at := w.open[snap.ID]
	w.states[snap.State]++
	if err := ended(snap); err != nil {
		if w.bad++; w.bad <= maxComplaints {
			w.show.println(printable.Text(w.place(at)) + ": " + err.Error())
		} else if w.bad == maxComplaints+1 {
			w.show.println("… more are only counted here; --format jsonl has them all")
		}
	}
	if w.format != "jsonl" {
		return nil
	}
	line := endedJob{Snapshot: snap, Line: at}
	if w.each.typ != "" {
		line = endedJob{Snapshot: snap, File: w.files[at-1]}
	}
	return w.PrintJSON(line)
}

func (w *ends) tell() {
	now := time.Now()
	switch {
	case w.show.bars != nil:
		w.show.draw(int64(w.done), int64(w.all), w.text())
	case now.Sub(w.printed) >= linesEvery:
		w.printed = now
		w.Say("%s", w.text())
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
