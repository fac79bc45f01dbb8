package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/spf13/cobra"

	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/job"
)

// fetchers is how many jobs' results are on their way at once.
const fetchers = 4

// A fetching is one run of batch fetch. Each job gets a folder of its own, which
// appears under its name only when it is whole: so a run that was killed at any byte
// goes on where it was, and a folder that is there is never asked for again.
type fetching struct {
	*CLI
	from string // a journal, its FILE, or "-"
	to   string

	mu     sync.Mutex // of what follows, and of stderr
	counts map[string]int
	bad    int
	worst  int // exit code of the gravest of them
	show   *progress
	all    int
	done   int
}

func (p *CLI) batchFetchCommand() *cobra.Command {
	f := &fetching{CLI: p, counts: map[string]int{}}
	cmd := &cobra.Command{
		Use:   "fetch FILE|JOURNAL|- -o DIR",
		Short: "Fetch what the jobs of a batch have made",
		Long: "Fetch what the jobs of a batch have made: those that the journal of FILE, or JOURNAL, has\n" +
			"noted, or with - those whose ids come from stdin. Each job gets a folder in DIR, named by\n" +
			"its input file or its id, with its outputs, or its result as result.json. What is there\n" +
			"is not fetched again: the same command, after an interrupt, a crash or kill -9, fetches\n" +
			"the rest, and later the results of jobs that have not ended yet.\n\n" +
			"The exit code is 0 if all that the jobs made is there, 3 if a job failed, 4 if one was\n" +
			"canceled or expired, 5 if one is gone, 124 if one has not ended yet.",
		Example: "  enqueue batch jobs.ndjson --wait && enqueue batch fetch jobs.ndjson -o results\n" +
			"  enqueue ls --state succeeded --limit 0 --format jsonl | jq -r .id | enqueue batch fetch - -o results",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.from = args[0]
			if f.to == "" {
				return Usage("-o names the folder to write to")
			}
			return p.with(cmd.Context(), func(at Installation) error { return f.run(cmd.Context(), at) })
		},
	}
	cmd.Flags().StringVarP(&f.to, "output", "o", "", "the folder to write to; it is made if it is not there")
	return cmd
}

// A wanted is a job and the name of its folder.
type wanted struct {
	id   job.ID
	name string
}

func (f *fetching) run(ctx context.Context, at Installation) error {
	jobs, err := f.jobs()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.to, 0o777); err != nil {
		return err
	}
	f.show = f.newProgress()
	defer f.show.close()
	f.all = len(jobs)
	open := jobs[:0]
	for _, w := range jobs {
		if isFolder(filepath.Join(f.to, w.name)) {
			f.tally("there before")
		} else {
			open = append(open, w)
		}
	}
	err = f.fetchAll(ctx, at, open)
	f.show.close()
	f.Say("%s", f.text())
	switch {
	case ctx.Err() != nil:
		f.Say("what was fetched stays; the same command fetches the rest")
		return &exit{ExitInterrupted, errors.New("interrupted while fetching")}
	case err != nil:
		return err
	case f.bad > 0:
		return &exit{f.worst, fmt.Errorf("%d of %d jobs have nothing to fetch", f.bad, f.all)}
	}
	return nil
}

// jobs are those to fetch, each once and with a name of its own.
func (f *fetching) jobs() ([]wanted, error) {
	if f.from == "-" {
		ids, err := f.idsFromStdin()
		return named(ids, nil), err
	}
	name := f.from
	if _, err := os.Stat(name + ".journal"); err == nil {
		name += ".journal"
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	book := newJournal()
	// a run may be adding to it: its last line counts when it is whole
	if _, err := book.read(file, true); err != nil {
		return nil, fmt.Errorf("journal %s: %w", printable.Text(name), err)
	}
	return named(book.jobs, book.fileJobs), nil
}

func (f *fetching) idsFromStdin() ([]placed, error) {
	var jobs []placed
	for _, word := range f.words() {
		id, err := ParseID(word)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, placed{id: id})
	}
	return jobs, nil
}

// named gives each job the name of its folder: its id, or the last part of its file's
// name; where an earlier file of the journal has that one, with the id behind it. A
// journal is only added to, so names stay what they are.
func named(jobs []placed, files []fileJob) []wanted {
	list := make([]wanted, 0, len(jobs)+len(files))
	seen, names := map[job.ID]bool{}, fileNames{system: runtime.GOOS}
	add := func(id job.ID, name string) {
		if seen[id] {
			return
		}
		if names.used(name) {
			name += "-" + string(id)
		}
		seen[id] = true
		names.use(name)
		list = append(list, wanted{id, name})
	}
	for _, p := range jobs {
		add(p.id, string(p.id))
	}
	for _, f := range files {
		add(f.id, names.plain(f.file))
	}
	return list
}

// fetchAll asks how the jobs are, many at a time, and has the results of those that
// have succeeded fetched, some at a time. An error ends it, after what is under way.
func (f *fetching) fetchAll(ctx context.Context, at Installation, jobs []wanted) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	type ready struct {
		wanted
		snap job.Snapshot
	}
	todo := make(chan ready)
	var first error
	var workers sync.WaitGroup
	for range fetchers {
		workers.Go(func() {
			for r := range todo {
				err := f.fetch(ctx, at, r.snap, r.name)
				f.mu.Lock()
				if err != nil && first == nil {
					first = err
					stop(err)
				}
				f.mu.Unlock()
			}
		})
	}
	err := func() error {
		for len(jobs) > 0 {
			n := min(httpapi.MaxIDs, len(jobs))
			snaps, err := f.look(ctx, at, jobs[:n])
			if err != nil {
				return err
			}
			for _, w := range jobs[:n] {
				snap, there := snaps[w.id]
				if !f.judge(w, snap, there) {
					continue
				}
				select {
				case todo <- ready{w, snap}:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			jobs = jobs[n:]
		}
		return nil
	}()
	close(todo)
	workers.Wait()
	if first != nil {
		return first
	}
	return err
}

// look returns the jobs as they are now, without those that are gone.
func (f *fetching) look(ctx context.Context, at Installation,
	jobs []wanted) (map[job.ID]job.Snapshot, error) {
	revs := make([]job.Rev, len(jobs))
	for i, w := range jobs {
		revs[i] = job.Rev{ID: w.id}
	}
	found, _, err := at.Poll(ctx, revs, 0)
	if err != nil {
		return nil, err
	}
	snaps := map[job.ID]job.Snapshot{}
	for _, snap := range found {
		snaps[snap.ID] = snap
	}
	return snaps, nil
}

// judge reports whether a job has something to fetch, and says why not.
func (f *fetching) judge(w wanted, snap job.Snapshot, there bool) bool {
	var why error
	code := ExitNotFound
	switch {
	case !there:
		why = fmt.Errorf("job %s is gone", w.id)
		f.tally("gone")
	case !snap.Done:
		why, code = errors.New(printable.Sprintf("job %s has not ended: it is %s", w.id, snap.State)),
			ExitWaitRanOut
		f.tally("not ended")
	case snap.State != job.Succeeded:
		var e *exit
		if why = ended(snap); errors.As(why, &e) {
			code = e.code
		}
		f.tally(string(snap.State))
	default:
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.worst == 0 || gravity(code) < gravity(f.worst) {
		f.worst = code
	}
	if f.bad++; f.bad <= maxComplaints {
		text := why.Error()
		if w.name != string(w.id) {
			text = printable.Text(w.name) + ": " + text
		}
		f.show.println(text)
	}
	return false
}

// gravity orders exit codes: a failed job is worse than one that is only not done.
func gravity(code int) int {
	for i, c := range []int{ExitFailed, ExitStopped, ExitNotFound, ExitWaitRanOut} {
		if c == code {
			return i
		}
	}
	return -1
}

// fetch writes what a job made into its folder. Until all is there the folder has
// another name, and what an earlier run left there is thrown away.
func (f *fetching) fetch(ctx context.Context, at Installation, snap job.Snapshot, name string) error {
	place := filepath.Join(f.to, name)
	part := filepath.Join(f.to, ".longshore-"+string(snap.ID))
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.Mkdir(part, 0o777); err != nil {
		return err
	}
	err := eachOutput(&fileNames{system: runtime.GOOS}, snap.Outputs, func(name, local string) error {
		in, _, err := at.Open(ctx, snap.ID, name)
		if err != nil {
			return err
		}
		defer in.Close()
		return writeFile(filepath.Join(part, local), in)
	})
	if err == nil {
		err = os.Rename(part, place)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("fetch from job %s: %w", snap.ID, err), os.RemoveAll(part))
	}
	f.tally("fetched")
	return nil
}

func (f *fetching) tally(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[what]++
	f.done++
	if f.show.bars != nil {
		f.show.draw(int64(f.done), int64(f.all), f.text())
	}
}

// text is "30 jobs: 11 fetched, 1 failed".
func (f *fetching) text() string {
	text, sep := fmt.Sprintf("%d jobs", f.all), ": "
	for _, what := range []string{"fetched", "there before", "not ended", "failed", "canceled", "expired",
		"gone"} {
		if n := f.counts[what]; n > 0 {
			text += fmt.Sprintf("%s%d %s", sep, n, what)
			sep = ", "
		}
	}
	return text
}
