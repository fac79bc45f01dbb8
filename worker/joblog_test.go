package worker

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A logEntry is one line as clients get it.
type logEntry struct {
	N       int64  `json:"n"`
	Attempt int    `json:"attempt"`
	Level   string `json:"level"`
	Msg     string `json:"msg"`
}

// quietLog is the log of a run that tells nobody while it lasts.
func quietLog() *runLog { return &runLog{delivery: 3, attempt: 2, busy: true} }

func entries(t *testing.T, l *runLog) (list []logEntry) {
	t.Helper()
	for _, text := range append(append([]string{}, l.first...), l.last...) {
		var e logEntry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// TestLogIsBounded holds that a run that logs without end costs some hundred KiB, and keeps its first
// and last lines.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	l := quietLog()
	const lines = 100_000
	for range lines {
		l.filled = l.filled.Add(-time.Second) // of another second each: what is too fast is another test's
		l.add(slog.LevelInfo, strings.Repeat("x", 100))
	}
	got := entries(t, l)
	if len(got) > logLines || l.firstBy+l.lastBy > logBytes || len(l.first) != logLines/2 {
		t.Errorf("%d lines, %d bytes", len(got), l.firstBy+l.lastBy)
	}
	if got[0].N != 3<<32|1 || got[0].Attempt != 2 || got[len(got)-1].N != 3<<32|lines || l.written != lines {
		t.Errorf("first %+v, last %+v", got[0], got[len(got)-1])
	}
	if l.pendBy > 32<<10 {
		t.Errorf("%d bytes wait to be told", l.pendBy)
	}
	l = quietLog()
	for range 50_000 { // at once
		l.add(slog.LevelInfo, "y")
	}
	if n := len(entries(t, l)); n < logRate/2 || n > logLines || l.written != 50_000 {
		t.Errorf("of 50,000 at once %d are kept", n)
	}
}

// TestLogLines has lines as programs write them: progress bars, no UTF-8, far too long, marks that steer
// terminals.
func TestLogLines(t *testing.T) {
	t.Parallel()
	l := quietLog()
	bar := strings.Builder{}
	for range 10_000 {
		bar.WriteString("\r 17 %")
	}
	l.add(slog.LevelInfo, bar.String()+"\rdone\nnext\n")
	l.add(slog.LevelWarn, "bad \xff byte, \x1b[31m red, \u202e back")
	l.add(slog.LevelError, strings.Repeat("z", 100<<10))
	got := entries(t, l)
	if len(got) != 4 || got[0].Msg != "done" || got[1].Msg != "next" || got[2].Level != "warn" ||
		len(got[3].Msg) > logLine+8 {
		t.Fatalf("%d lines: %.300v", len(got), got)
	}
	if strings.ContainsAny(got[2].Msg, "\x1b\u202e") || !strings.Contains(got[2].Msg, "byte") {
		t.Errorf("%q", got[2].Msg)
	}
}
