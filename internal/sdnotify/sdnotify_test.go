package sdnotify

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWords sends words from end to end.
func TestWords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	r, err := Receive(path)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Words(func(word string) { heard <- word })
	}()
	n := New(path, 30*time.Millisecond)
	n.Say(Starting, Ready)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Beat(ctx, func() ([]string, bool) { return []string{Busy(3)}, true })
	}()
	var got []string
	for range 6 {
		got = append(got, <-heard)
	}
	if want := []string{Starting, Ready, Watchdog, "X_BUSY=3", Watchdog, "X_BUSY=3"}; !slices.Equal(got,
		want) {
		t.Errorf("heard %q, want %q", got, want)
	}
	stop()
	<-ended
	r.Close()
	<-done
	n.Say(Stopping) // to nobody
	again, err := Receive(path)
	if err != nil {
		t.Fatalf("the socket is left behind: %v", err)
	}
	again.Close()
}

func TestNobody(t *testing.T) {
	t.Parallel()
	n := New("", time.Second)
	n.Say(Ready)
	n.Beat(t.Context(), nil)
	if l, err := Listener(0, 0); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	if l, err := Listener(1, 1); l != nil || err != nil {
		t.Errorf("the socket of another process: %v, %v", l, err)
	}
	for _, word := range []string{"X_BUSY=", "X_BUSY=-1", "X_BUSY=x", "READY=1"} {
		if n, ok := ReadBusy(word); ok {
			t.Errorf("%s is %d", word, n)
		}
	}
}
