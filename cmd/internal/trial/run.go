package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"longshore/handlers"
	"longshore/internal/functions"
	"longshore/internal/functions/host"
	"longshore/internal/httpapi"
	"longshore/internal/isolate"
	"longshore/internal/printable"
	"longshore/job"
)

// What a worker has where nothing is set.
const (
	localMemory    = 512 << 20
	maxLocalOutput = 10 << 30
	localGrace     = 2 * time.Second
)

// local runs a function here, as a worker would.
func (p *cli) local(_ *functions.Function, log func(functions.Line)) *host.Local {
	return &host.Local{Log: log, Host: functions.Host{Slots: map[job.Lane]int{job.LaneCPU: 1, job.LaneIO: 1},
		Memory:    localMemory,
		MaxOutput: maxLocalOutput, KillGrace: localGrace, Getenv: p.getenv,
		Log: slog.New(slog.DiscardHandler)}}
}

func (p *cli) run() *cobra.Command {
	var payload, input, out string
	timeout := ""
	cmd := &cobra.Command{
		Use:   "run DIR",
		Short: "Run a function here, as a worker would",
		Long: "Run a function here, in the sandbox, as a worker would, without Redis. Its log and progress go to\n" +
			"stderr, its result to stdout, its outputs into the folder --out.",
		Example: "  enqueue functions run functions/hello.world --payload '{\"name\":\"Ada\"}'\n" +
			"  enqueue functions run functions/thumbnail.make --input photo.jpg --out thumbs",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, faults, err := p.load(args[0])
			if err != nil {
				return err
			}
			if len(faults) > 0 || len(found) != 1 {
				for _, f := range faults {
					p.say("%s", f.Error())
				}
				return fmt.Errorf("%s is not one function", args[0])
			}
			l := p.local(found[0], func(line functions.Line) {
				p.say("%-5s %s", line.Level.String(), line.Text)
			})
			if l.Payload, err = readPayload(payload); err != nil {
				return err
			}
			l.Input, l.Out = input, out
			if timeout != "" {
				if l.Timeout, err = httpapi.ParseDuration(timeout); err != nil || l.Timeout <= 0 {
					return usage("--timeout: expected a time, as 30s")
				}
			}
			l.Progress = func(c handlers.Counts) { p.say("      %s", countsText(c)) }
			o, err := l.Run(cmd.Context(), found[0])
			if err != nil {
				return err
			}
			return p.printOutcome(cmd.Context(), found[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&payload, "payload", "{}", "the payload, as JSON, or @file")
	f.StringVar(&input, "input", "", "the input, a file")
	f.StringVar(&out, "out", "out", "folder for outputs; it is made if there are some")
	f.StringVar(&timeout, "timeout", "", "of the attempt; default: the type's")
	return cmd
}

func readPayload(text string) ([]byte, error) {
	if name, isFile := strings.CutPrefix(text, "@"); isFile {
		return os.ReadFile(name)
	}
	return []byte(text), nil
}

func countsText(c handlers.Counts) string {
	var parts []string
	if c.Total > 0 && c.Done > 0 {
		parts = append(parts, fmt.Sprintf("%.0f %%", 100*float64(c.Done)/float64(c.Total)))
	} else if c.In > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes read", c.In))
	}
	if c.Out > 0 {
		parts = append(parts, fmt.Sprintf("%d bytes written", c.Out))
	}
	if c.Note != "" {
		parts = append(parts, c.Note)
	}
	return strings.Join(parts, ", ")
}

// A localRun is what a function came to, as JSON.
type localRun struct {
	State   job.State       `json:"state"`
	Code    job.Code        `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	RetryIn string          `json:"retry_in,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Outputs []localFile     `json:"outputs,omitempty"`
	Submit  int             `json:"submit,omitempty"` // jobs that it would have submitted
	Usage   job.Usage       `json:"usage"`
}

type localFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Path string `json:"path"`
}

func (p *cli) printOutcome(ctx context.Context, f *functions.Function, o host.LocalOutcome) error {
	r := judge(ctx, o)
	for _, out := range o.Outputs {
		r.Outputs = append(r.Outputs, localFile{out.Name, out.Size, out.Blob})
	}
	if p.format != "text" {
		if err := p.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, out := range r.Outputs {
			p.say("output %s, %d bytes: %s", out.Name, out.Size, out.Path)
		}
		if r.Submit > 0 {
			p.say("%d jobs would have been submitted", r.Submit)
		}
		p.say("%s after %v, %d MiB at most", string(r.State), o.Wall.Round(time.Millisecond),
			r.Usage.PeakRSSBytes>>20)
		if r.Result != nil {
			if err := p.write([]byte(printable.Text(string(r.Result)) + "\n")); err != nil {
				return err
			}
		}
	}
	switch r.State {
	case job.Succeeded:
		return nil
	case job.Scheduled:
		return &exit{4, fmt.Errorf("%s would be run again in %s", f.Type, r.RetryIn)}
	case job.Canceled:
		return &exit{130, errors.New("interrupted")}
	}
	return &exit{3,
		errors.New(printable.Sprintf("%s %s: %s: %s", f.Type, string(r.State), string(r.Code), r.Message))}
}

// judge says what a worker would record.
func judge(ctx context.Context, o host.LocalOutcome) localRun {
	r := localRun{State: job.Retrying, Code: job.HandlerError, Usage: o.Usage}
	r.Usage.WallMS = o.Wall.Milliseconds()
	var failure *handlers.Failure
	var later *handlers.Postponement
	var death *isolate.Death
	switch {
	case o.Err == nil:
		r.State, r.Code, r.Result, r.Submit = job.Succeeded, "", o.Result, len(o.Submit)
		return r
	case ctx.Err() != nil:
		r.State, r.Code = job.Canceled, ""
	case o.TimedOut():
		r.Code = job.Timeout
	case errors.As(o.Err, &later):
		r.State, r.Code, r.RetryIn = job.Scheduled, "", later.Delay.String()
	case errors.As(o.Err, &failure):
		r.Code = failure.Code
		if failure.Final {
			r.State = job.Failed
		}
	case errors.As(o.Err, &death):
		r.Code = functions.CodeOf(death)
	}
	r.Message = o.Err.Error()
	return r
}
