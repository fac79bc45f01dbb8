package api

import (
	"strings"
	"testing"
	"time"
)

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"wait=20": 20 * time.Second, "respond-async, wait=5": 5 * time.Second,
		`Wait = "7"; x=1`: 7 * time.Second, "wait=0": 0,
		"return=minimal,wait=2147483647": 2147483647 * time.Second,
	} {
		if got, ok := preferredWait([]string{header}); !ok || got != want {
			t.Errorf("%q: %v, %v", header, got, ok)
		}
	}
	for _, header := range []string{"", "wait", "wait=", "wait=-1", "wait=soon", "wait=1.5", "await=3",
		"wait=99999999999999999999"} {
		if got, ok := preferredWait([]string{header}); ok {
			t.Errorf("%q: %v", header, got)
		}
	}
	if got, ok := preferredWait([]string{"respond-async", "wait=3"}); !ok || got != 3*time.Second {
		t.Errorf("two headers: %v, %v", got, ok)
	}
}

func FuzzPreferredWait(f *testing.F) {
	for _, header := range []string{"wait=20", "respond-async, wait=5", `wait="7";x=1`, "wait=-1", ",,=;"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got, ok := preferredWait([]string{header}); got < 0 || got > 0 && !ok {
			t.Errorf("%q: %v, %v", header, got, ok)
		}
	})
}

func FuzzMatches(f *testing.F) {
	for _, header := range []string{`"4"`, `W/"4"`, `"3", "4"`, `*`, `"`, `,,`} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if matches(header, `"4"`) && !strings.Contains(header, `"4"`) && !strings.Contains(header, "*") {
			t.Errorf("%q matches", header)
		}
	})
}
