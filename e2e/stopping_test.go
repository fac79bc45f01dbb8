//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestWebStopsWithWaiters tells a web process to end while clients wait in all
// ways: each is told where its job is, and none is cut off.
func TestWebStopsWithWaiters(t *testing.T) {
	t.Parallel()
	const polls, streams, sockets = 200, 50, 50
	in := install(t)
	web, url := in.web(t)
	snap := submit(t, clientOf(t, url), client.Submission{Type: "math.primes",
		Payload: map[string]int{"n": 10}, RunAt: time.Now().Add(time.Hour)})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var begun, ended sync.WaitGroup
	start := func(n int, what string, one func(ctx context.Context, url string, snap job.Snapshot,
		told func()) error) {
		for range n {
			begun.Add(1)
			ended.Go(func() {
				told := sync.OnceFunc(begun.Done)
				defer told()
				if err := one(ctx, url, snap, told); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
	}
	start(polls, "long-poll", pollToTheStop)
	start(streams, "stream", streamToTheStop)
	start(sockets, "socket", socketToTheStop)
	begun.Wait()
	web.waitedOn(t, url, polls+streams+sockets)
	asked := time.Now()
	web.signal(syscall.SIGTERM)
	ended.Wait()
	t.Logf("all were answered after %v", time.Since(asked))
	if code := web.end(t, 60*time.Second); code != 0 {
		t.Errorf("web exits with %d", code)
	}
	if took := time.Since(asked); took > 20*time.Second {
		t.Errorf("web took %v to stop", took)
	}
	if said := web.said(`"level":"ERROR"`); len(said) > 0 {
		t.Errorf("web logged errors: %v", said[0])
	}
}

func pollToTheStop(ctx context.Context, url string, snap job.Snapshot, told func()) error {
	told()
	for {
		resp, err := getWith(ctx, fmt.Sprintf("%s%s?wait=25s&after=%d", url, httpapi.JobPath(snap.ID), snap.Rev))
		if err != nil {
			return err
		}
		var got job.Snapshot
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || got.Rev != snap.Rev || got.State != snap.State {
			return fmt.Errorf("%s: %+v", resp.Status, got)
		}
		if resp.Close { // else its 25 s were over, and web does not stop yet
			return nil
		}
	}
}

// streamToTheStop wants the state, and a proper end that says when to come back.
func streamToTheStop(ctx context.Context, url string, snap job.Snapshot, told func()) error {
	resp, err := getWith(ctx, url+httpapi.EventsPath(snap.ID))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	for line := ""; !strings.HasPrefix(line, "data: "); {
		if line, err = in.ReadString('\n'); err != nil {
			return err
		}
	}
	told()
	rest, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("cut off: %w", err)
	}
	if text := strings.TrimSpace(string(rest)); !strings.HasPrefix(text, "retry: ") ||
		strings.Contains(text, "\n") {
		return fmt.Errorf("ends with %q", rest)
	}
	return nil
}

func socketToTheStop(ctx context.Context, url string, snap job.Snapshot, told func()) error {
	conn, _, err := websocket.Dial(ctx, url+httpapi.PathSocket, nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText,
		fmt.Appendf(nil, `{"type":"subscribe","jobs":[{"id":%q}]}`, snap.ID)); err != nil {
		return err
	}
	if _, text, err := conn.Read(ctx); err != nil || !strings.Contains(string(text), `"type":"state"`) {
		return fmt.Errorf("%s, %w", text, err)
	}
	told()
	if _, text, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		return fmt.Errorf("ends with %s, %w", text, err)
	}
	return nil
}
