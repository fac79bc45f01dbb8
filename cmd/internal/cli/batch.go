package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"longshore/internal/httpapi"
	"longshore/internal/printable"
)

// A batch is one run of the command.
type batch struct {
	*CLI
	files   []string   // or one source of lines
	each    submission // for --type: what each file's job has in common
	wait    bool
	limit   duration
	journal string
	without bool // no journal

	book  *journal
	total tally
}

func (p *CLI) batchCommand() *cobra.Command {
	b := &batch{CLI: p}
	cmd := &cobra.Command{
		Use:   "batch FILE|- | batch --type TYPE FILE…",
		Short: "Submit many jobs: a line of JSON each, or a file each",
		Long: "Submit many jobs. Without --type, FILE (- is stdin) has a job on each line, as JSON:\n\n" +
			"  {\"type\":\"math.primes\",\"payload\":{\"n\":100},\"priority\":\"low\"}\n\n" +
			"with the fields of POST /v1/jobs, and, if wanted, an id or an idempotency_key. Types\n" +
			"that work on a file take another job's output, as \"input\":{\"job\":ID}; else, for\n" +
			"them, --type makes a job of each FILE.\n\n" +
			"A line that is refused hinders no other. What was taken is noted in a journal, FILE.journal\n" +
			"unless --journal names another, so that the same command, run again after an interrupt, a\n" +
			"crash or kill -9, submits the rest, and no line becomes two jobs as long as the jobs are\n" +
			"retained. Stdin and --type keep a journal only with --journal. To submit a FILE once more,\n" +
			"remove its journal.\n\n" +
			"In text the ids go to stdout, one a line, unless that is a terminal; with --format jsonl\n" +
			"the answer to each line, and with --wait the job that ended. A run that goes on writes\n" +
			"those of earlier runs first, so that a file there is whole after every run.\n\n" +
			"enqueue batch fetch gets what the jobs of a journal have made.",
		Example: "  enqueue batch jobs.ndjson\n" +
			"  make-jobs | enqueue batch - --journal jobs.journal > ids\n" +
			"  enqueue batch --type log.analyze --set top=5 --wait logs/*.gz\n" +
			"  enqueue batch --type file.compress --journal j logs/*.log && enqueue batch fetch j -o results",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b.files = args
			return b.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&b.each.typ, "type", "", "make a job of this type of each FILE")
	b.each.flags(f)
	f.BoolVar(&b.wait, "wait", false, "wait for the end of all jobs")
	f.Var(&b.limit, "for", "with --wait: how long; without it until all have ended")
	f.StringVar(&b.journal, "journal", "", "the file that notes what was taken")
	f.BoolVar(&b.without, "no-journal", false, "keep no journal: a second run submits all again")
	p.completeType(cmd, "type")
	cmd.AddCommand(p.batchFetchCommand())
	return cmd
}

func (b *batch) check() error {
	if b.each.typ == "" {
		if len(b.files) > 1 {
			return Usage("one FILE of lines at a time; for a job of each file add --type")
		}
		if b.each.given() {
			return Usage(
				"with a FILE of lines each line says what its job is: --set, --payload and the like need --type")
		}
	}
	if b.limit != 0 && !b.wait {
		return Usage("--for is how long --wait waits; add --wait")
	}
	if b.without && b.journal != "" {
		return Usage("--journal and --no-journal can't be combined")
	}
	if b.journal == "" && !b.without && b.each.typ == "" && b.files[0] != "-" {
		b.journal = b.files[0] + ".journal"
	}
	return b.each.parse()
}

func (b *batch) run(ctx context.Context) (err error) {
	if err := b.check(); err != nil {
		return err
	}
	var in io.ReadCloser
	var size int64
	if b.each.typ == "" { // before the journal, which a missing file should not get
		if in, size, err = b.open(b.files[0]); err != nil {
			return err
		}
		defer in.Close()
	}
	return b.with(ctx, func(at Installation) error { return b.work(ctx, at, in, size) })
}

func (b *batch) work(ctx context.Context, to Installation, in io.Reader, size int64) (err error) {
	if b.book, err = openJournal(b.journal, b.wait || b.writesIDs() || b.format == "jsonl"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.book.close()) }()
	if err := b.tellEarlier(); err != nil {
		return err
	}

	show := b.newProgress()
	defer show.close()
	b.total.begin(b, show, size)
	if b.each.typ != "" {
		err = b.sendFiles(ctx, to)
	} else {
		err = b.sendLines(ctx, to, in)
	}
	show.close()
	b.total.summary()
	if err != nil {
		return b.unfinished(ctx, err)
	}
	if b.wait {
		if err := b.waitForAll(ctx, to); err != nil {
			return err
		}
	}
	if n := b.total.refused; n > 0 {
		return fmt.Errorf("%d of %d jobs were refused", n, n+b.total.taken)
	}
	return nil
}

// unfinished says how to go on after an error.
func (b *batch) unfinished(ctx context.Context, err error) error {
	hint := "what was submitted is safe"
	if b.journal != "" {
		hint += "; the same command submits the rest"
	}
	b.Say("%s", hint)
	if ctx.Err() != nil {
		return &exit{ExitInterrupted, errors.New("interrupted")}
	}
	return err
}

// answered takes in what became of some jobs: into the journal, onto stdout,
// into the count. sum is that of the input up to the last of them.
func (b *batch) answered(answers []httpapi.BatchAnswer, sum prefix) error {
	lines := make([]acked, 0, len(answers))
	for _, a := range answers {
		if a.Code == "" {
			lines = append(lines, acked{a.Line, a.ID})
		}
	}
	if err := b.book.note(lines, sum); err != nil {
		return err
	}
	return b.tell(answers)
}

// tell writes answers out and counts them.
func (b *batch) tell(answers []httpapi.BatchAnswer) error {
	var text []byte
	for _, a := range answers {
		if e := a.Refused(); e != nil {
			b.total.refuse(b.place(a.Line), e)
		} else {
			b.total.take(a)
			if b.wait {
				b.book.jobs = append(b.book.jobs, placed{a.ID, a.Line})
			}
		}
		text = b.appendAnswer(text, a)
	}
	b.total.show()
	if len(text) == 0 {
		return nil
	}
	return b.write(text)
}

// appendAnswer appends what stdout gets of an answer.
func (b *batch) appendAnswer(text []byte, a httpapi.BatchAnswer) []byte {
	switch {
	case b.format == "jsonl" && b.each.typ == "":
		return a.AppendJSON(text)
	case b.format == "jsonl":
		line, err := json.Marshal(fileAnswer{b.files[a.Line-1], a})
		if err != nil {
			panic(err) // texts and numbers
		}
		return append(append(text, line...), '\n')
	case a.Code == "" && b.writesIDs():
		return append(append(text, a.ID...), '\n')
	}
	return text
}

// writesIDs reports whether ids go to stdout; on a terminal they would be in the way.
func (b *batch) writesIDs() bool { return b.format == "text" && !isTerminal(b.raw) }

// tellEarlier writes what earlier runs were answered for lines, so that stdout has all
// of the batch, although the shell has cut its file. Those of files come in their turn.
func (b *batch) tellEarlier() error {
	if b.each.typ != "" {
		return nil
	}
	for rest := b.book.jobs; len(rest) > 0; {
		n := min(len(rest), noteEvery)
		var text []byte
		for _, p := range rest[:n] {
			text = b.appendAnswer(text, httpapi.BatchAnswer{Line: p.at, ID: p.id})
		}
		if len(text) > 0 {
			if err := b.write(text); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	if !b.wait {
		b.book.jobs = nil
	}
	return nil
}

// place names what a job was made of, by its line or the number of its file.
func (b *batch) place(at int64) string {
	switch {
	case b.each.typ != "":
		return b.files[at-1]
	case b.files[0] == "-":
		return fmt.Sprintf("line %d", at)
	default:
		return fmt.Sprintf("%s line %d", b.files[0], at)
	}
}

// A tally counts what happens and shows it on stderr.
type tally struct {
	b       *batch
	bar     *progress
	size    int64 // of the input in bytes, or in files; < 1 = unknown
	begun   time.Time
	printed time.Time
	done    counter // bytes of what was answered, or files
	taken   int64
	created int64
	refused int64
	before  int64 // by an earlier run
}

func (t *tally) begin(b *batch, bar *progress, size int64) {
	t.b, t.bar, t.size, t.begun, t.printed = b, bar, size, time.Now(), time.Now()
}

func (t *tally) take(a httpapi.BatchAnswer) {
	t.taken++
	if a.Created {
		t.created++
	}
}

// maxComplaints is how many refusals are told one by one.
const maxComplaints = 20

func (t *tally) refuse(name string, e *httpapi.Error) {
	if t.refused++; t.refused <= maxComplaints {
		t.bar.println(printable.Text(name) + ": " + e.Error())
	} else if t.refused == maxComplaints+1 {
		t.bar.println("… more are only counted here; --format jsonl has them all")
	}
}

// show draws the bar, or writes a line now and then.
func (t *tally) show() {
	now := time.Now()
	if t.bar.bars == nil && now.Sub(t.printed) < linesEvery || now.Sub(t.printed) < drawEvery {
		return
	}
	t.printed = now
	passed := now.Sub(t.begun).Seconds()
	note := fmt.Sprintf("%d submitted, %.0f/s", t.taken, float64(t.taken)/passed)
	done := t.done.Load()
	if t.size > 0 && done > 0 && done <= t.size {
		left := time.Duration(passed * float64(t.size-done) / float64(done) * float64(time.Second))
		note += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	if t.bar.bars == nil {
		t.b.Say("%s", note)
		return
	}
	t.bar.draw(done, max(t.size, 1), note)
}

const drawEvery = 100 * time.Millisecond

func (t *tally) summary() {
	passed := time.Since(t.begun)
	text := fmt.Sprintf("%d submitted in %v", t.taken, passed.Round(time.Millisecond))
	if t.taken > 0 {
		text += fmt.Sprintf(" (%.0f/s)", float64(t.taken)/passed.Seconds())
	}
	if known := t.taken - t.created; known > 0 {
		text += fmt.Sprintf(", %d of them known already", known)
	}
	if t.before > 0 {
		text += fmt.Sprintf(", %d before", t.before)
	}
	if t.refused > 0 {
		text += fmt.Sprintf(", %d refused", t.refused)
	}
	t.b.Say("%s", text)
	if t.before > 0 && t.taken+t.refused == 0 {
		t.b.Say("all of it was submitted before; to submit it again remove %s", t.b.journal)
	}
	if t.b.format == "json" {
		_ = t.b.PrintJSON(map[string]int64{"submitted": t.taken, "created": t.created, "before": t.before,
			"refused": t.refused})
	}
}
