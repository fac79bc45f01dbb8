package main

import (
	"bytes"
	"strings"
	"testing"

	"longshore/job"
)

// TestDemoTexts shows jobs whose texts are a stranger's: files may be named on the
// command line, and a job says what it found in them.
func TestDemoTexts(t *testing.T) {
	t.Parallel()
	const hostile = "x\x1b]0;t\a\r\nFAKE\u009b31m\u202e"
	snaps := []job.Snapshot{
		{Type: hostile, State: job.State(hostile), Error: &job.Error{Code: hostile, Message: hostile}},
		{Type: hostile, State: job.Succeeded, Result: []byte(`"` + strings.Repeat("ü", 200) + `"`),
			Outputs: []job.Output{{Name: hostile}}},
	}
	var out bytes.Buffer
	table(&out, []piece{{title: hostile}, {title: hostile}}, snaps)
	if strings.ContainsAny(out.String(), "\x1b\a\r\u009b\u202e") || strings.Count(out.String(), "\n") != 3 ||
		!strings.Contains(out.String(), `\u001b]0;t`) {
		t.Errorf("%q", out.String())
	}
}
