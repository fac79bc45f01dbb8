package main

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

func (p *cli) doctorCommand() *cobra.Command {
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
				return usage("--drop-format-2, --fix, --accept-loss and --record can't be combined")
			case accept:
				return p.acceptLoss(cmd.Context())
			case drop:
				return p.dropFormat2(cmd.Context())
			case fix:
				return p.fix(cmd.Context())
			case record != "":
				return p.dissect(cmd.Context(), record)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), doctorTimeout)
			defer cancel()
			d := &doctor{cli: p}
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

// A doctor collects findings.
type doctor struct {
	*cli
	findings []finding
}

func (d *doctor) ok(check, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "ok", Check: check, Detail: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check, fix, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "warn", Check: check,
		Detail: fmt.Sprintf(format, args...), Fix: fix})
}

func (d *doctor) fail(code int, check, fix, format string, args ...any) {
	d.findings = append(d.findings, finding{Status: "fail", Check: check,
		Detail: fmt.Sprintf(format, args...), Fix: fix, code: code})
}

func (d *doctor) examine(ctx context.Context) {
	s, err := d.settings()
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			d.fail(exitConfiguration, "configuration", "see docs/settings.md", "%s", strings.TrimSpace(line))
		}
		return
	}
	redis := s.Redis.URL.Reveal() != ""
	switch {
	case s.URL != "" && redis:
		d.ok("configuration", "LONGSHORE_URL and REDIS_URL are set")
	case s.URL != "":
		d.ok("configuration", "LONGSHORE_URL is set; without REDIS_URL only the server is checked")
	default:
		d.ok("configuration", "REDIS_URL is set; without LONGSHORE_URL no server is checked")
	}
	if s.URL != "" {
		d.server(ctx, s)
	}
	if redis {
		d.installation(ctx, s)
	}
}

// server checks what can be seen over HTTP.
func (d *doctor) server(ctx context.Context, s config.Enqueue) {
	c, err := client.New(client.Config{URL: s.URL, Token: s.Token.Reveal(), RetryFor: -1})
	if err != nil {
		d.fail(exitConfiguration, "server", "set LONGSHORE_URL to the root of the server",
			"LONGSHORE_URL: %v", err)
		return
	}
	theirs, err := c.Version(ctx)
	var refused *client.Error
	switch {
	case errors.As(err, &refused) && refused.Code == httpapi.Unavailable:
		d.fail(exitUnavailable, "server", "start web, or correct LONGSHORE_URL", "%v", err)
		return
	case err != nil:
		d.fail(exitOther, "server", "correct LONGSHORE_URL", "%v", err)
		return
	}
	d.ok("server", "answers at %s", s.URL)
	if theirs != version.Build() {
		d.warn("version", "run the same version everywhere", "the server is %s, this is %s", theirs,
			version.Build())
	} else {
		d.ok("version", "%s", theirs)
	}
	switch status, err := c.Status(ctx); {
	case err != nil:
		d.fail(exitUnavailable, "ready", "look into the server's log, and check its REDIS_URL", "%v", err)
	case status == string(httpapi.StoreReset) && s.Redis.URL.Reveal() == "": // else it is looked at from within
		d.fail(exitOther, "data", fixLoss, "the server's Redis has lost jobs")
		fallthrough
	default:
		d.ok("ready", "the server reaches its Redis")
	}
	queues, err := c.Queues(ctx)
	switch {
	case errors.As(err, &refused) && refused.Code == httpapi.Unauthorized:
		d.fail(exitConfiguration, "access", "set LONGSHORE_TOKEN to the server's",
			"the server refuses the token")
		return
	case err != nil:
		d.fail(codeOrOther(err), "access", "", "%v", err)
		return
	case s.Token.Reveal() == "":
		d.ok("access", "the server asks for no token")
	default:
		d.ok("access", "the server takes the token")
	}
	if s.Redis.URL.Reveal() == "" {
		d.oldest(queues)
		pauses, err := c.Pauses(ctx)
		d.pauses(pauses, queues, err)
		d.served(ctx, c, queues)
		list, err := c.Schedules(ctx, "")
		d.schedules(list, err, time.Now())
		firing, err := c.Alerts(ctx)
		d.alerts(firing, err)
		var types []string
		for _, q := range queues {
			for _, p := range q.Parked {
				if !p.Served && !slices.Contains(types, p.Type) {
					types = append(types, p.Type)
				}
			}
		}
		d.unserved(types)
	}
}

const fixLoss = "if its right data are somewhere, stop all programs and put them back (docs/operate.md); " +
	"else accept: enqueue doctor --accept-loss"

// served says which workers a server knows, and which types none of them takes.
func (d *doctor) served(ctx context.Context, c *client.Client, queues []client.QueueInfo) {
	workers, err := c.Workers(ctx)
	if err != nil {
		d.fail(codeOrOther(err), "workers", "", "%v", err)
		return
	}
	if workers == nil {
		return // an older server
	}
	d.noQueue(queues, workers)
	without := d.lanes(workers)
	if sick, err := c.WorkerDetails(ctx, true); err == nil { // who may not see them is told no more
		d.sick(sick)
	}
	if len(without) == 0 {
		return
	}
	types, err := c.Types(ctx)
	if err != nil {
		d.fail(codeOrOther(err), "types", "", "%v", err)
		return
	}
	var names []string
	for _, t := range types {
		if slices.Contains(without, t.Lane) {
			names = append(names, t.Type)
		}
	}
	if len(names) > 0 {
		d.warn("types", "start a worker that serves their lane", "no worker takes types %s",
			strings.Join(names, ", "))
	}
}

func codeOrOther(err error) int {
	var refused *client.Error
	if errors.As(err, &refused) {
		return codeOf(refused)
	}
	return exitOther
}

// waitsLong is from when on a queued job is worth a word.
const waitsLong = time.Minute

// oldest says how long jobs wait.
func (d *doctor) oldest(queues []client.QueueInfo) {
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
		d.ok(check, "no job waits")
	case age >= waitsLong:
		d.warn(check, "start more workers, or one that serves this lane",
			"%d jobs wait, the oldest for %v in %s", pending, age, oldest.Queue)
	default:
		d.ok(check, "%d jobs wait, the oldest for %v in %s", pending, age, oldest.Queue)
	}
}

// pauses tells what is held back: a pause that was forgotten looks like an idle system.
// A server that tells of none may say so of queues.
func (d *doctor) pauses(all []client.Pause, queues []client.QueueInfo, err error) {
	if err != nil {
		d.warn("pauses", "", "they can't be seen: %v", err)
		for _, q := range queues {
			if q.Paused {
				d.warn("queues", "enqueue resume "+q.Queue, "%s is paused", q.Queue)
			}
		}
	}
	for _, p := range all {
		name := cmp.Or(p.Type, p.Queue)
		said := cmp.Or(p.By, "nobody that is known")
		if p.Why != "" {
			said += ": " + p.Why
		}
		d.warn("pauses", "enqueue resume "+name, "%s is %s, by %s", name, p.State, said)
	}
	if err == nil && len(all) == 0 {
		d.ok("pauses", "nothing is paused")
	}
}

// unserved says of types with jobs that wait and no worker that takes them.
func (d *doctor) unserved(types []string) {
	if len(types) > 0 {
		d.warn("types", "start a worker that has their handlers and serves their lane",
			"jobs wait, and no worker takes their types: %s", strings.Join(types, ", "))
	}
}

// noQueue says which queues have jobs that wait, and no worker that serves them.
func (d *doctor) noQueue(queues []client.QueueInfo, workers []client.WorkerInfo) {
	said := map[string]bool{}
	for _, q := range queues {
		name := job.QueueOf(q.Name)
		if q.Pending == 0 || said[name] || len(workers) == 0 || servesQueue(workers, q.Name) {
			continue
		}
		said[name] = true
		d.warn("queues", "start a worker with "+name+" among its QUEUES, or with none, which serves all",
			"jobs wait in queue %s, which no worker serves", name)
	}
}

// servesQueue tells that one of some workers serves a queue.
func servesQueue(workers []client.WorkerInfo, name string) bool {
	return slices.ContainsFunc(workers, func(w client.WorkerInfo) bool {
		return job.SharesServe(w.Queues, name)
	})
}

// sick tells what is wrong with workers.
func (d *doctor) sick(workers []client.WorkerDetail) {
	for _, w := range workers {
		d.warn("workers", "see docs/memory.md and docs/event-loop.md", "%s, process %d: %s", w.Host, w.PID,
			strings.Join(w.Bad, "; "))
	}
}

// lanes tells of each worker and returns the lanes that none serves.
func (d *doctor) lanes(workers []client.WorkerInfo) (without []job.Lane) {
	if len(workers) == 0 {
		d.warn("workers", "start a worker", "none is alive: jobs are taken and wait")
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
		d.ok("workers", "%s, process %d: %s", w.Host, w.PID, strings.Join(lanes, ", "))
	}
	for _, lane := range job.Lanes {
		if served[lane] == 0 {
			d.warn("workers", "start a worker whose WORKER_LANES has "+string(lane),
				"no worker serves lane %s", lane)
			without = append(without, lane)
		}
	}
	return without
}

func (d *doctor) print() error {
	switch d.format {
	case "json":
		return d.printJSON(d.findings)
	case "jsonl":
		return printLines(d.cli, d.findings)
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
func (d *doctor) verdict() error {
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
	return &exit{cmp.Or(code, exitOther), fmt.Errorf("%d of %d checks failed", failed, len(d.findings))}
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
