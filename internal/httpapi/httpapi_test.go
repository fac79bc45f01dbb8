package httpapi

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/job"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1500ms": 1500 * time.Millisecond, "25s": 25 * time.Second, "2h": 2 * time.Hour,
		"1h30m": 90 * time.Minute, "0": 0, "25": 25 * time.Second, "0.5": 500 * time.Millisecond,
		".5s": 500 * time.Millisecond, "-3s": -3 * time.Second, "+3": 3 * time.Second,
		"99999999999999999999": math.MaxInt64, "-99999999999h": math.MinInt64, "99999999999h": math.MaxInt64,
		"9223372036.9": math.MaxInt64,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "soon", "1d", "1s ", " 1s", "1 s", "0x10", "1e3", "Inf", "NaN",
		"1s2", "--1s", "1_000", ".", ".s", "٣s", strings.Repeat("9", 65)} {
		if got, err := ParseDuration(text); !errors.Is(err, ErrDuration) {
			t.Errorf("%q: %v, %v; want ErrDuration", text, got, err)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "25s": 25 * time.Second, "90s": 90 * time.Second, "1500ms": 1500 * time.Millisecond,
		"2h": 2 * time.Hour, "1us": time.Microsecond, "1ns": 1, "-3s": -3 * time.Second,
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestRevs(t *testing.T) {
	t.Parallel()
	a, b := job.NewID(time.Now()), job.NewID(time.Now())
	got, err := ParseRevs(string(a) + ".3," + string(b) + "," + string(a) + ".9")
	want := []job.Rev{{ID: a, Rev: 3}, {ID: b}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	hundred := strings.Repeat(string(a)+".1,", MaxIDs-1) + string(a)
	if _, err := ParseRevs(hundred); err != nil {
		t.Errorf("%d ids: %v", MaxIDs, err)
	}
	for _, text := range []string{"", ",", string(a) + ",", string(a) + ".", string(a) + ".-1",
		string(a) + ".1.2", "x.1", hundred + "," + string(a), string(a) + ".99999999999999999999"} {
		if _, err := ParseRevs(text); !errors.Is(err, ErrRevs) {
			t.Errorf("%.80q: %v", text, err)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	id := job.NewID(time.Now())
	self := "/v1/jobs/" + string(id)
	for want, got := range map[string]string{
		self: JobPath(id), self + "/cancel": CancelPath(id), self + "/retry": RetryPath(id),
		self + "/result": ResultPath(id), self + "/outputs/a%2F..%2Fb%20%C3%BC": OutputPath(id, "a/../b ü"),
		"/v1/jobs/log.analyze": SubmitPath("log.analyze"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"25s", "1500ms", "2h", "3", "-1h30m", "1.5h", "99999999999999999999h",
		"0.0000000001ns", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			if !errors.Is(err, ErrDuration) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := ParseDuration(FormatDuration(d))
		if err != nil || again != d {
			t.Errorf("%q is %v, written %s, read %v, %v", text, d, FormatDuration(d), again, err)
		}
		// What the standard library reads means the same here.
		if std, err := time.ParseDuration(text); err == nil && std != d && text != "0" {
			t.Errorf("%q is %v, want %v", text, d, std)
		}
	})
}

func FuzzParseRevs(f *testing.F) {
	id := string(job.NewID(time.Now()))
	for _, text := range []string{id, id + ".3", id + ".3," + id + ".0", id + ".-1", ",", id + "..", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		revs, err := ParseRevs(text)
		if err != nil {
			return
		}
		if len(revs) == 0 || len(revs) > MaxIDs {
			t.Fatalf("%q: %d jobs", text, len(revs))
		}
		again, err := ParseRevs(FormatRevs(revs))
		if diff := cmp.Diff(revs, again); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	})
}
