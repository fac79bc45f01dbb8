package cli

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"longshore/client"
	"longshore/internal/httpapi"
)

var controls = httpapi.FieldsOf[client.Submission]()

// addControls makes a flag of each control that says how a job is to be run. What a
// file is called is known, and who repeats itself says so by other flags.
func addControls(f *pflag.FlagSet, s *client.Submission) {
	for i, c := range httpapi.Controls {
		if c.In&httpapi.InBody != 0 {
			f.Var(&controlFlag{s, i}, strings.ReplaceAll(c.Name, "_", "-"), usageOf(c))
		}
	}
}

func usageOf(c httpapi.Control) string {
	switch {
	case c.Enum != nil:
		return c.Doc + ": " + strings.Join(c.Enum, ", ")
	case c.Kind == httpapi.KindDuration:
		return c.Doc + ", as 90s or 2h"
	case c.Kind == httpapi.KindTime:
		return c.Doc + " (RFC 3339)"
	default:
		return c.Doc
	}
}

// controlled reports whether any of these flags was given.
func controlled(s *client.Submission) bool {
	for i, c := range httpapi.Controls {
		if _, given := controls.Text(s, i); given && c.In&httpapi.InBody != 0 {
			return true
		}
	}
	return false
}

// A controlFlag sets one control of a submission.
type controlFlag struct {
	to      *client.Submission
	control int
}

func (f *controlFlag) String() string {
	if f.to == nil { // pflag's idea of no value
		return ""
	}
	text, _ := controls.Text(f.to, f.control)
	return text
}

func (f *controlFlag) Set(text string) error {
	if err := controls.Set(f.to, f.control, text); err != nil {
		return err
	}
	if f.String() == "" || f.String()[0] == '-' {
		return errors.New("expected more than nothing")
	}
	return nil
}

func (f *controlFlag) Type() string { return string(httpapi.Controls[f.control].Kind) }
