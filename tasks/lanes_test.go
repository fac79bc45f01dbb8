package tasks

import (
	"strings"
	"testing"

	"longshore/job"
)

// TestLaneFor holds that work whose memory nothing bounds goes into a child,
// and all other work of a stream doesn't.
func TestLaneFor(t *testing.T) {
	t.Parallel()
	const io, cpu = job.LaneIO, job.LaneCPU
	filter, transform := info(t, NDJSONFilterTask), info(t, TextTransform)
	for _, test := range []struct {
		info    Info
		payload string
		want    job.Lane
	}{
		{filter, `{"filter":".status >= 500 and .a.b == null"}`, io},
		{filter, `{"filter":"select(.ok)"}`, io},
		{filter, `{"filter":".a == .b"}`, cpu}, // two lists of a million
		{filter, `{"filter":".a == 1` + strings.Repeat(" or .b == 1", 100) + `"}`, cpu},
		{filter, `{"filter":".[300000000] = 1"}`, cpu},
		{filter, `{"filter":"\"x\" * 1000000000"}`, cpu},
		{filter, `{"filter":"("}`, io}, // refused anyway
		{filter, `{}`, io},
		{transform, `{"stages":[{"ndjson":{}},{"filter":".a == 1"},{"csv":{}}]}`, io},
		{transform, `{"stages":[{"lines":{}},{"replace":{"pattern":"a+","with":"b"}}]}`, cpu},
		{transform, `{"stages":[{"lines":{}},{"replace":{"old":"a+","with":"b"}}]}`, io},
		{transform, `{"stages":[{"ndjson":{}},{"map":".a"}]}`, cpu}, // it makes values of records
		{transform, `{"stages":[{"ndjson":{}},{"filter":".a == 1"},{"map":"[., .]"}]}`, cpu},
		{transform, `{"stages":[{"lines":{}},{"filter":"length > 5"}]}`, cpu},
		{published(t, transform), `{"stages":[{"ndjson":{}},{"map":"[., .]"}]}`, io},
		{info(t, MathPrimes), `{"n":1}`, cpu},
	} {
		if got := test.info.LaneFor([]byte(test.payload)); got != test.want {
			t.Errorf("%s %s: lane %s, want %s", test.info.Type, test.payload, got, test.want)
		}
	}
}

func info[P any](t *testing.T, d Definition[P]) Info {
	t.Helper()
	i, err := d.Info()
	if err != nil {
		t.Fatal(err)
	}
	return i
}
