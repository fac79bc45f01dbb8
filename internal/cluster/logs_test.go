package cluster

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestLines holds what lines become: with a name before them, cut where they are long,
// the last one whole though it has no end.
func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newPrinter(&out)
	a, b := p.source("web.1"), p.source("worker.1")
	fmt.Fprintf(a, "one\ntw")
	fmt.Fprintf(a, "o\r\n")
	fmt.Fprintf(b, "%s\nlast", strings.Repeat("x", maxLine+1))
	a.end()
	b.end()
	p.close()
	want := "web.1    | one\nweb.1    | two\nworker.1 | " + strings.Repeat("x", maxLine) +
		" … cut\nworker.1 | last\n"
	// it may print before it knows the longer name
	if got := out.String(); got != want && !strings.HasPrefix(got, "web.1 |") {
		t.Errorf("%.300q", got)
	}
}

// TestLinesKept holds that what nobody takes is bounded, the newest stays, and the rest
// is counted.
func TestLinesKept(t *testing.T) {
	t.Parallel()
	b := &lineBuffer{prefix: "a.1", wake: make(chan struct{}, 1)}
	const lines = 100_000
	for i := range lines {
		fmt.Fprintf(b, "line %d\n", i)
	}
	kept, dropped, done := b.take()
	size := 0
	for _, line := range kept {
		size += len(line)
	}
	if size > maxKept || size < maxKept-100 || len(kept)+dropped != lines || done {
		t.Errorf("%d bytes in %d lines kept, %d dropped, done %t", size, len(kept), dropped, done)
	}
	if last := string(kept[len(kept)-1]); last != "line 99999\n" {
		t.Errorf("the last line is %q", last)
	}
	var dump bytes.Buffer
	b.divertTo(&limited{w: &dump, left: 5})
	fmt.Fprint(b, "goroutine 1")
	fmt.Fprint(b, "goroutine 2")
	if dump.String() != "gorou" {
		t.Errorf("the dump is %q", dump.String())
	}
}

func TestParseCount(t *testing.T) {
	t.Parallel()
	if c, err := ParseCount("worker-2=04"); err != nil || c != (Count{Type: "worker-2", N: 4}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"", "web", "web=", "=1", "web=-1", "web=1.5", "web=100",
		"web=99999999999999999999", "we b=1"} {
		if c, err := ParseCount(text); err == nil {
			t.Errorf("%q is %+v", text, c)
		}
	}
}

// TestRecipe holds what a process finds in its environment.
func TestRecipe(t *testing.T) {
	t.Parallel()
	c := &Config{Procfile: "/app/Procfile", Port: 5000,
		Environ: []string{"A=ours", "NOTIFY_SOCKET=/run/systemd", "LISTEN_PID=7", "METRICS_ADDR=0.0.0.0:9000",
			"PATH=/usr/bin:/bin"}}
	d, err := c.parsed("web: sh -c $A\nworker: B=own sh $B $PORT\n",
		map[string]string{"A": "file", "C": "file", "WATCHDOG_PID": "1"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.recipe(d, "worker", 3, "NOTIFY_SOCKET=/x")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.env,
		" "); got !=
		"A=ours B=own C=file METRICS_ADDR=0.0.0.0:9102 NOTIFY_SOCKET=/x PATH=/usr/bin:/bin PORT=5102 WATCHDOG_USEC=15000000" {
		t.Error(got)
	}
	if got := strings.Join(r.args[1:], "|"); got != "5102" || r.socket {
		// $B is told to the program, not to its own line, as in a shell
		t.Errorf("%s, socket %t", got, r.socket)
	}
}

// TestMode holds that a cluster and a shim are told apart.
func TestMode(t *testing.T) {
	t.Parallel()
	if _, done := Mode([]string{"web=1"}, strings.NewReader(""), io.Discard); done {
		t.Error("a cluster is taken for something else")
	}
	if code, done := Mode([]string{shimMode, "/none"}, strings.NewReader(""),
		io.Discard); code != exitCantStart || !done {
		t.Errorf("a shim of nothing: %d, %t", code, done)
	}
}
