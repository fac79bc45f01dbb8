package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/job"
)

func (p *CLI) watchCommand() *cobra.Command {
	var limit duration
	cmd := &cobra.Command{
		Use:   "watch ID… | watch -",
		Short: "Watch jobs live until all have ended",
		Long: "Watch up to 100 jobs live until all have ended: on a terminal a bar each, else a line for\n" +
			"each change, on stderr. Then they are listed on stdout; with --format jsonl each change is\n" +
			"a line there instead. With - the ids come from stdin. The exit code says how the jobs\n" +
			"ended: 0 all succeeded, 3 one failed, 4 one was canceled or expired, 124 when --for ran\n" +
			"out first. An interrupt leaves the jobs alone.",
		Example: "  enqueue watch 01a20967-50f3-73e0-89b5-4af387a3557a\n" +
			"  enqueue ls --state running --format jsonl | jq -r .id | enqueue watch -",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []job.ID
			var err error
			piped := len(args) == 1 && args[0] == "-"
			if !piped {
				if ids, err = watched(args); err != nil {
					return err
				}
			}
			return p.with(cmd.Context(), func(at Installation) error {
				if piped { // not before: what is to read it may be another program
					if ids, err = watched(p.words()); err != nil {
						return err
					}
				}
				return p.watch(cmd.Context(), at, ids, time.Duration(limit))
			})
		},
	}
	cmd.Flags().Var(&limit, "for", "how long to watch; without it until all have ended")
	return cmd
}

// words are those of stdin.
func (p *CLI) words() (words []string) {
	scan := bufio.NewScanner(p.in)
	scan.Split(bufio.ScanWords)
	for scan.Scan() {
		word := scan.Text()
		if words == nil {
			word = string(unmarked([]byte(word)))
		}
		words = append(words, word)
	}
	return words
}

func watched(args []string) ([]job.ID, error) {
	var ids []job.ID
	seen := map[job.ID]bool{}
	for _, arg := range args {
		id, err := job.ParseID(arg)
		if err != nil {
			return nil, Usage("%q is no job id: %w", arg, err)
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || len(ids) > httpapi.MaxIDs {
		return nil, Usage("expected 1 to %d ids", httpapi.MaxIDs)
	}
	return ids, nil
}

// A view is what is known of the watched jobs, and how it is shown.
type view struct {
	*CLI
	ids     []job.ID
	snaps   map[job.ID]job.Snapshot
	gone    []job.ID
	lost    error                // store_reset, of one that is gone
	bars    map[job.ID]*watchBar // nil without a terminal
	all     *mpb.Progress
	printed map[job.ID]printed
}

// printed is what was said last of a job, where there is no terminal.
type printed struct {
	state job.State
	at    time.Time
}

// A watchBar is the bar of one job.
type watchBar struct {
	*mpb.Bar
	note atomic.Pointer[string]
}

func (p *CLI) watch(ctx context.Context, at Installation, ids []job.ID, limit time.Duration) error {
	limited := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, limit, errWaitRanOut)
		defer cancel()
	}
	v := &view{CLI: p, ids: ids, snaps: map[job.ID]job.Snapshot{}, printed: map[job.ID]printed{}}
	if isTerminal(p.screen) {
		v.draw()
	}
	err := v.follow(limited, at)
	v.close()
	if p.format != "jsonl" {
		if err := v.print(); err != nil {
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		p.Say("detached; the jobs go on")
		return &exit{ExitInterrupted, errors.New("interrupted while watching")}
	case err != nil && limited.Err() != nil:
		return errWaitRanOut
	case err != nil:
		return err
	}
	return v.verdict()
}

func (v *view) follow(ctx context.Context, at Installation) error {
	wait := time.Duration(0) // the first look does not wait
	for {
		var open []job.Rev
		for _, id := range v.ids {
			if snap, known := v.snaps[id]; !known || !snap.Done {
				open = append(open, job.Rev{ID: id, Rev: snap.Rev})
			}
		}
		if len(open) == 0 {
			return nil
		}
		asked := time.Now()
		moved, missing, err := at.Poll(ctx, open, wait)
		if err != nil {
			return err
		}
		for _, snap := range moved {
			v.snaps[snap.ID] = snap
			if err := v.show(snap); err != nil {
				return err
			}
		}
		for _, id := range missing {
			v.snaps[id] = job.Snapshot{ID: id, Done: true}
			v.gone = append(v.gone, id)
			var refused *client.Error
			if _, err := at.Get(ctx, id); errors.As(err, &refused) && refused.Code == httpapi.StoreReset {
				v.lost = err
			}
		}
		// a server that does not wait
		if wait > 0 && len(moved)+len(missing) == 0 && time.Since(asked) < time.Second {
			select {
			case <-time.After(time.Second / 2):
			case <-ctx.Done():
			}
		}
		wait = pollWait
	}
}

// draw makes a bar for each job.
func (v *view) draw() {
	v.bars = map[job.ID]*watchBar{}
	v.all = mpb.New(mpb.WithOutput(v.screen), mpb.WithWidth(30), mpb.WithRefreshRate(100*time.Millisecond))
	for _, id := range v.ids {
		b := &watchBar{}
		b.note.Store(new(string))
		b.Bar = v.all.AddBar(1001, mpb.PrependDecorators(decor.Name(string(id)+" ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + *b.note.Load() })))
		v.bars[id] = b
	}
}

func (v *view) close() {
	if v.all == nil {
		return
	}
	for _, b := range v.bars {
		b.Abort(true)
	}
	v.all.Wait()
}

// show shows a change.
func (v *view) show(snap job.Snapshot) error {
	text := snap.Type + "  " + stateOf(snap)
	if more := remark(snap); more != "" {
		text += "  " + more
	}
	text = printable.Text(text) // bars write to the terminal by themselves
	if b := v.bars[snap.ID]; b != nil {
		b.note.Store(&text)
		switch {
		case snap.Done:
			b.SetCurrent(1000)
		case snap.Overall != nil:
			b.SetCurrent(int64(*snap.Overall * 1000))
		}
	} else if now, last := time.Now(), v.printed[snap.ID]; snap.State != last.state ||
		now.Sub(last.at) >= linesEvery {
		v.printed[snap.ID] = printed{snap.State, now}
		v.Say("%s  %s", snap.ID, text)
	}
	if v.format == "jsonl" {
		return v.PrintJSON(snap)
	}
	return nil
}

// print lists the jobs as they were seen last.
func (v *view) print() error {
	jobs := make([]job.Snapshot, 0, len(v.ids))
	for _, id := range v.ids {
		if snap, known := v.snaps[id]; known && snap.State != "" {
			jobs = append(jobs, snap)
		}
	}
	if v.format == "json" {
		return v.PrintJSON(jobs)
	}
	var b bytes.Buffer
	table(&b, jobs)
	return v.write(b.Bytes())
}

// verdict is the error of jobs that did not all succeed.
func (v *view) verdict() error {
	if v.lost != nil {
		return v.lost
	}
	if len(v.gone) > 0 {
		names := make([]string, len(v.gone))
		for i, id := range v.gone {
			names[i] = string(id)
		}
		return &exit{ExitNotFound, fmt.Errorf("not there, or their retention is over: %s",
			strings.Join(names, " "))}
	}
	var worst error
	for _, id := range v.ids {
		err := ended(v.snaps[id])
		var e *exit
		if worst == nil || errors.As(err, &e) && e.code == ExitFailed {
			worst = err
		}
		if e != nil && e.code == ExitFailed {
			break
		}
	}
	return worst
}
