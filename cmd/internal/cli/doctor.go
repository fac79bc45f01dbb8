package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"longshore/client"
	"longshore/config"
	"longshore/internal/httpapi"
	"longshore/internal/printable"
	"longshore/internal/version"
	"longshore/job"
)

func (p *CLI) doctorCommand() *cobra.Command {
	drop, fix, accept, record := false, false, false, ""
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the configuration, the server, Redis, the blob store and the workers",
		Long: "Check what an installation needs, and say for each thing whether it is ok, to be watched\n" +
			"(warn) or broken (fail), with the fix. The server is checked where LONGSHORE_URL names one,\n" +
			"Redis and the blob store where REDIS_URL is set, the workers either way: run it with the settings of\n" +
			"a web process. The exit code is 0 if nothing is broken, 78 if the configuration is, 69 if\n" +
			"something can't be reached, else 1.",
		Example: "  enqueue doctor\n" +
			"  heroku run enqueue doctor --format jsonl | jq 'select(.status != \"ok\")'",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case more(drop, fix, accept, record != ""):
				return Usage("--drop-format-2, --fix, --accept-loss and --record can't be combined")
			case accept:
				return p.inside(func(in Within) error { return in.AcceptLoss(cmd.Context(), p) })
			case drop:
				return p.inside(func(in Within) error { return in.DropFormat2(cmd.Context(), p) })
			case fix:
				return p.inside(func(in Within) error { return in.Fix(cmd.Context(), p) })
			case record != "":
				id, err := ParseID(record)
				if err != nil {
					return err
				}
				return p.inside(func(in Within) error { return in.Dissect(cmd.Context(), p, id) })
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), doctorTimeout)
			defer cancel()
			d := &Doctor{CLI: p}
			d.examine(ctx)
			if err := d.print(); err != nil {
				return err
			}
			return d.verdict()
		},
	}
	cmd.Flags().BoolVar(&drop, "drop-format-2", false,
		"instead of checking, forget all jobs of releases before format 3, with their results; end all their processes first")
	cmd.Flags().BoolVar(&fix, "fix", false,
		"instead of checking, rebuild indexes, times, tickets and counters from the records; programs may run")
	cmd.Flags().BoolVar(&accept, "accept-loss", false,
		"instead of checking, accept that jobs are gone that Redis has lost: they are answered 404 again, and their files go")
	cmd.Flags().StringVar(&record, "record", "",
		"instead of checking, tell all that Redis has about the job with this id")
	return cmd
}

// doctorTimeout bounds all checks together.
const doctorTimeout = time.Minute

// A finding is one line of the doctor.
type finding struct {
	Status string `json:"status"` // "ok", "warn" or "fail"
	Check  string `json:"check"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`

	code int // to exit with, of a fail
}

// A Doctor collects findings.
type Doctor struct {
	*CLI
	findings []finding
}

// OK notes what is as it should be.
func (d *Doctor) OK(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "ok", Check: check, Detail: fmt.Sprintf(format, args...)})
}

// Warn notes what is to be watched, and what may be done about it.
func (d *Doctor) Warn(check, fix, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "warn", Check: check,
		Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// Fail notes what is broken, with the fix and the code to exit with.
func (d *Doctor) Fail(code int, check, fix, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "fail", Check: check,
		Detail: fmt.Sprintf(format, args...), Fix: fix, code: code})
}

func (d *Doctor) examine(ctx context.Context) {
	s, err := d.Settings()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			d.Fail(ExitConfiguration, "configuration", "see docs/settings.md", "%s", strings.TrimSpace(line))
		}
		return
	}
	redis := s.Redis.URL.Reveal() != ""
	var in Within
	if redis { // before a line is written: another program may take it from here
		in, err = d.onRedis()
	}
	switch {
	case s.URL != "" && redis:
		d.OK("configuration", "LONGSHORE_URL and REDIS_URL are set")
	case s.URL != "":
		d.OK("configuration", "LONGSHORE_URL is set; without REDIS_URL only the server is checked")
	default:
		d.OK("configuration", "REDIS_URL is set; without LONGSHORE_URL no server is checked")
	}
	if s.URL != "" {
		d.server(ctx, s)
	}
	if redis {
		switch {
		case in != nil:
			in.Examine(ctx, d, s)
		case errors.Is(err, errWithin):
			d.Warn("redis", "run enqueue doctor on Linux or macOS",
				"Redis and the blob store are not looked at from Windows")
		default:
			d.Fail(ExitConfiguration, "redis", "take worker from the same release as enqueue", "%v", err)
		}
	}
}

// server checks what can be seen over HTTP.
func (d *Doctor) server(ctx context.Context, s config.Enqueue) {
	c, err := client.New(client.Config{URL: s.URL, Token: s.Token.Reveal(), RetryFor: -1})
	if err != nil {
		d.Fail(ExitConfiguration, "server", "set LONGSHORE_URL to the root of the server",
			"LONGSHORE_URL: %v", err)
		return
	}
	theirs, err := c.Version(ctx)
	var refused *client.Error
	switch {
	case errors.As(err, &refused) && refused.Code == httpapi.Unavailable:
		d.Fail(ExitUnavailable, "server", "start web, or correct LONGSHORE_URL", "%v", err)
		return
	case err != nil:
		d.Fail(ExitOther, "server", "correct LONGSHORE_URL", "%v", err)
		return
	}
	d.OK("server", "answers at %s", s.URL)
	if theirs != version.Build() {
		d.Warn("version", "run the same version everywhere", "the server is %s, this is %s", theirs,
			version.Build())
	} else {
		d.OK("version", "%s", theirs)
	}
	switch status, err := c.Status(ctx); {
	case err != nil:
		d.Fail(ExitUnavailable, "ready", "look into the server's log, and check its REDIS_URL", "%v", err)
	case status == string(httpapi.StoreReset) && s.Redis.URL.Reveal() == "": // else it is looked at from within
		d.Fail(ExitOther, "data", FixLoss, "the server's Redis has lost jobs")
		fallthrough
	default:
		d.OK("ready", "the server reaches its Redis")
	}
	queues, err := c.Queues(ctx)
	switch {
	case errors.As(err, &refused) && refused.Code == httpapi.Unauthorized:
		d.Fail(ExitConfiguration, "access", "set LONGSHORE_TOKEN to the server's",
			"the server refuses the token")
		return
	case err != nil:
		d.Fail(codeOrOther(err), "access", "", "%v", err)
		return
	case s.Token.Reveal() == "":
		d.OK("access", "the server asks for no token")
	default:
		d.OK("access", "the server takes the token")
	}
	if s.Redis.URL.Reveal() == "" {
		d.Oldest(queues)
		pauses, err := c.Pauses(ctx)
		d.Pauses(pauses, queues, err)
		d.served(ctx, c, queues)
		list, err := c.Schedules(ctx, "")
		d.Schedules(list, err, time.Now())
		firing, err := c.Alerts(ctx)
		d.Alerts(firing, err)
		var types []string
		for _, q := range queues {
			for _, p := range q.Parked {
				if !p.Served && !slices.Contains(types, p.Type) {
					types = append(types, p.Type)
				}
			}
		}
		d.Unserved(types)
	}
}

// FixLoss says what to do about jobs that Redis has lost.
const FixLoss = "if its right data are somewhere, stop all programs and put them back (docs/operate.md); " +
	"else accept: enqueue doctor --accept-loss"

// served says which workers a server knows, and which types none of them takes.
func (d *Doctor) served(ctx context.Context, c *client.Client, queues []client.QueueInfo) {
	workers, err := c.Workers(ctx)
	if err != nil {
		d.Fail(codeOrOther(err), "workers", "", "%v", err)
		return
	}
	if workers == nil {
		return // an older server
	}
	d.NoQueue(queues, workers)
	without := d.Lanes(workers)
	if sick, err := c.WorkerDetails(ctx, true); err == nil { // who may not see them is told no more
		d.Sick(sick)
	}
	if len(without) == 0 {
		return
	}
	types, err := c.Types(ctx)
	if err != nil {
		d.Fail(codeOrOther(err), "types", "", "%v", err)
		return
	}
	var names []string
	for _, t := range types {
		if slices.Contains(without, t.Lane) {
			names = append(names, t.Type)
		}
	}
	if len(names) > 0 {
		d.Warn("types", "start a worker that serves their lane", "no worker takes types %s",
			strings.Join(names, ", "))
	}
}

func codeOrOther(err error) int {
	var refused *client.Error
	if errors.As(err, &refused) {
		return codeOf(refused)
	}
	return ExitOther
}

// waitsLong is from when on a queued job is worth a word.
const waitsLong = time.Minute

// Oldest says how long jobs wait.
func (d *Doctor) Oldest(queues []client.QueueInfo) {
	const check = "queues"
	var oldest client.QueueInfo
	var pending int64
	for _, q := range queues {
		pending += q.Pending
		if q.Pending > 0 && (oldest.Queue == "" || q.LatencyMS > oldest.LatencyMS) {
			oldest = q
		}
	}
	age := (time.Duration(oldest.LatencyMS) * time.Millisecond).Round(time.Millisecond)
	switch {
	case pending == 0:
		d.OK(check, "no job waits")
	case age >= waitsLong:
		d.Warn(check, "start more workers, or one that serves this lane",
			"%d jobs wait, the oldest for %v in %s", pending, age, oldest.Queue)
	default:
		d.OK(check, "%d jobs wait, the oldest for %v in %s", pending, age, oldest.Queue)
	}
}

// Pauses tells what is held back: a pause that was forgotten looks like an idle system.
// A server that tells of none may say so of queues.
func (d *Doctor) Pauses(all []client.Pause, queues []client.QueueInfo, err error) {
	if err != nil {
		d.Warn("pauses", "", "they can't be seen: %v", err)
		for _, q := range queues {
			if q.Paused {
				d.Warn("queues", "enqueue resume "+q.Queue, "%s is paused", q.Queue)
			}
		}
	}
	for _, p := range all {
		name := cmp.Or(p.Type, p.Queue)
		said := cmp.Or(p.By, "nobody that is known")
		if p.Why != "" {
			said += ": " + p.Why
		}
		d.Warn("pauses", "enqueue resume "+name, "%s is %s, by %s", name, p.State, said)
	}
	if err == nil && len(all) == 0 {
		d.OK("pauses", "nothing is paused")
	}
}

// Unserved says of types with jobs that wait and no worker that takes them.
func (d *Doctor) Unserved(types []string) {
	if len(types) > 0 {
		d.Warn("types", "start a worker that has their handlers and serves their lane",
			"jobs wait, and no worker takes their types: %s", strings.Join(types, ", "))
	}
}

// NoQueue says which queues have jobs that wait, and no worker that serves them.
func (d *Doctor) NoQueue(queues []client.QueueInfo, workers []client.WorkerInfo) {
	said := map[string]bool{}
	for _, q := range queues {
		name := job.QueueOf(q.Name)
		if q.Pending == 0 || said[name] || len(workers) == 0 || servesQueue(workers, q.Name) {
			continue
		}
		said[name] = true
		d.Warn("queues", "start a worker with "+name+" among its QUEUES, or with none, which serves all",
			"jobs wait in queue %s, which no worker serves", name)
	}
}

// servesQueue tells that one of some workers serves a queue.
func servesQueue(workers []client.WorkerInfo, name string) bool {
	return slices.ContainsFunc(workers, func(w client.WorkerInfo) bool {
		return job.SharesServe(w.Queues, name)
	})
}

// Sick tells what is wrong with workers.
func (d *Doctor) Sick(workers []client.WorkerDetail) {
	for _, w := range workers {
		d.Warn("workers", "see docs/memory.md and docs/event-loop.md", "%s, process %d: %s", w.Host, w.PID,
			strings.Join(w.Bad, "; "))
	}
}

// Lanes tells of each worker and returns the lanes that none serves.
func (d *Doctor) Lanes(workers []client.WorkerInfo) (without []job.Lane) {
	if len(workers) == 0 {
		d.Warn("workers", "start a worker", "none is alive: jobs are taken and wait")
		return job.Lanes
	}
	served := map[job.Lane]int{}
	for _, w := range workers {
		var lanes []string
		for _, lane := range job.Lanes {
			if w.Slots[lane] > 0 {
				if w.State != httpapi.WorkerDraining {
					served[lane] += w.Slots[lane]
				}
				lanes = append(lanes, fmt.Sprintf("%s × %d", lane, w.Slots[lane]))
			}
		}
		if w.State == httpapi.WorkerDraining {
			lanes = append(lanes, "draining: it takes nothing more")
		}
		d.OK("workers", "%s, process %d: %s", w.Host, w.PID, strings.Join(lanes, ", "))
	}
	for _, lane := range job.Lanes {
		if served[lane] == 0 {
			d.Warn("workers", "start a worker whose WORKER_LANES has "+string(lane),
				"no worker serves lane %s", lane)
			without = append(without, lane)
		}
	}
	return without
}

func (d *Doctor) print() error {
	switch d.format {
	case "json":
		return d.PrintJSON(d.findings)
	case "jsonl":
		return printLines(d.CLI, d.findings)
	}
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, f := range d.findings {
		printable.Fprintf(t, "%s\t%s\t%s\n", f.Status, f.Check, f.Detail)
		if f.Fix != "" {
			printable.Fprintf(t, "\t\t→ %s\n", f.Fix)
		}
	}
	_ = t.Flush() // a Buffer takes everything
	return d.write(b.Bytes())
}

// verdict is the error of the gravest finding: the configuration's, then what
// can't be reached, then the rest.
func (d *Doctor) verdict() error {
	failed, code := 0, 0
	for _, f := range d.findings {
		if f.Status == "fail" {
			failed++
			code = max(code, f.code) // 78, 69, 1
		}
	}
	if failed == 0 {
		return nil
	}
	return &exit{cmp.Or(code, ExitOther), fmt.Errorf("%d of %d checks failed", failed, len(d.findings))}
}

// more reports whether more than one is so.
func more(all ...bool) bool {
	n := 0
	for _, one := range all {
		if one {
			n++
		}
	}
	return n > 1
}
