package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// A submission is what the command line of submit asks for.
type submission struct {
	typ     string
	file    string // "" = none, "-" = stdin
	sets    []string
	payload string
	wait    bool
	limit   duration
	output  string
	from    string            // "JOB" or "JOB/OUTPUT"
	asked   client.Submission // what its flags say

	// of the above, parsed
	fields url.Values
}

func (p *CLI) submitCommand() *cobra.Command {
	var s submission
	cmd := &cobra.Command{
		Use:   "submit TYPE [FILE|-]",
		Short: "Submit a job, with a file if its type takes one",
		Long: "Submit a job, with a file if its type takes one (- is stdin), and print its id.\n" +
			"With --wait, follow it to its end and print it; the exit code says how it ended.",
		Example: "  enqueue submit log.analyze access.log --set top=5 --wait\n" +
			"  zcat big.gz | enqueue submit file.compress - --set format=zstd -o big.zst\n" +
			"  enqueue submit math.primes --set n=1000000",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.typ = args[0]
			if len(args) == 2 {
				s.file = args[1]
			}
			return p.submit(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	s.flags(f)
	f.StringVar(&s.asked.IdempotencyKey, "idempotency-key", "",
		"with the same key a second submit returns the first job")
	f.BoolVar(&s.wait, "wait", false, "follow the job to its end")
	f.Var(&s.limit, "for", "with --wait: how long; without it until the job ends")
	f.StringVarP(&s.output, "output", "o", "",
		"wait, and write the job's output (or result) to this file, or all outputs into this folder")
	cmd.ValidArgsFunction = p.completeSubmit
	return cmd
}

// flags are those that say what a job is to do, and how.
func (s *submission) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.sets, "set", nil, "one field of the payload, as name=value; again for more")
	f.StringVar(&s.payload, "payload", "", "the whole payload, as JSON")
	f.StringVar(&s.from, "input-from", "",
		"the input is an output of this job, as JOB or JOB/OUTPUT, by reference")
	addControls(f, &s.asked)
}

// given reports whether any of these flags was.
func (s *submission) given() bool {
	return s.sets != nil || s.payload != "" || controlled(&s.asked)
}

// submit submits the job, and waits and fetches if asked to.
func (p *CLI) submit(ctx context.Context, s submission) error {
	if err := s.parse(); err != nil {
		return err
	}
	if s.output == "-" && p.format != "text" {
		return Usage("with -o - stdout is the file's, so --format must be text")
	}
	if err := checkPlace(s.output); err != nil { // not after hours of work
		return err
	}
	in, size, err := p.open(s.file)
	if err != nil {
		return err
	}
	defer in.Close()
	return p.with(ctx, func(at Installation) error {
		snap, err := p.upload(ctx, at, s, in, size)
		switch {
		case err != nil:
			return err
		case !s.wait:
			return p.printID(snap)
		}
		// What the job made goes to the file, so text about it would be in the way.
		quiet := s.output != "" && p.format == "text"
		if snap, err = p.follow(ctx, at, snap.ID, time.Duration(s.limit), quiet); err != nil {
			return err
		}
		if err := ended(snap); err != nil {
			return err
		}
		if s.output == "" {
			return nil
		}
		return p.save(ctx, at, snap, "", s.output)
	})
}

// parse checks what cobra could not.
func (s *submission) parse() error {
	if s.payload != "" {
		if len(s.sets) > 0 {
			return Usage("--set and --payload can't be combined")
		}
		if !json.Valid([]byte(s.payload)) {
			return Usage("--payload is not JSON")
		}
	}
	for _, set := range s.sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok || name == "" {
			return Usage("--set must look like name=value")
		}
		if s.fields == nil {
			s.fields = url.Values{}
		}
		s.fields.Add(name, value)
	}
	if s.from != "" {
		if s.file != "" {
			return Usage("--input-from and a file can't be combined")
		}
		id, output, _ := strings.Cut(s.from, "/")
		if _, err := job.ParseID(id); err != nil {
			return Usage("--input-from must look like JOB or JOB/OUTPUT, with a job's id")
		}
		s.asked.InputJob, s.asked.InputOutput = job.ID(id), output
	}
	s.wait = s.wait || s.output != ""
	if s.limit != 0 && !s.wait {
		return Usage("--for is how long --wait waits; add --wait")
	}
	return nil
}

// open opens the input. Without one it returns nothing to read and size 0.
func (p *CLI) open(file string) (in io.ReadCloser, size int64, err error) {
	switch file {
	case "":
		return io.NopCloser(strings.NewReader("")), 0, nil
	case "-":
		if f, ok := p.in.(*os.File); ok {
			return f, -1, nil
		}
		return io.NopCloser(p.in), -1, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		f.Close()
		return nil, 0, fmt.Errorf("%s is a folder", file)
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}

// upload submits, showing how much of the file has been sent.
func (p *CLI) upload(ctx context.Context, at Installation, s submission, in io.Reader,
	size int64) (job.Snapshot, error) {
	request := s.request()
	if s.asked.InputJob != "" && s.fields != nil { // they can't go in the query of a request without a body
		payload, err := fieldsBySchema(ctx, at, s.typ, s.fields)
		if err != nil {
			return job.Snapshot{}, fmt.Errorf("submit %s: %w", s.typ, err)
		}
		request.Payload, request.Fields = json.RawMessage(payload), nil
	}
	if s.file == "" {
		return at.Submit(ctx, request)
	}
	if s.file != "-" {
		request.Filename = filepath.Base(s.file)
	}
	show := p.newProgress()
	defer show.close()
	return sendInput(ctx, at, request, in, size, show)
}

// fieldsBySchema builds a payload of texts, by the schema that the installation has.
func fieldsBySchema(ctx context.Context, at Installation, typ string, fields url.Values) ([]byte, error) {
	types, err := at.Types(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		if t.Type != typ {
			continue
		}
		var schema struct {
			Properties map[string]httpapi.FieldKind `json:"properties"`
		}
		if err := json.Unmarshal(t.Schema, &schema); err != nil {
			return nil, fmt.Errorf("its schema: %w", err)
		}
		payload, wrong := httpapi.PayloadOf(fields, func(name string) (httpapi.FieldKind, bool) {
			kind, ok := schema.Properties[name]
			return kind, ok
		})
		if wrong != nil {
			return nil, httpapi.NotValid(wrong...)
		}
		return payload, nil
	}
	return nil, errors.New("unknown job type")
}

// request is the submission as the client takes it.
func (s *submission) request() client.Submission {
	request := s.asked
	request.Type, request.Fields = s.typ, s.fields
	if s.payload != "" {
		request.Payload = json.RawMessage(s.payload)
	}
	return request
}
