package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"longshore/internal/chaos/history"
	"longshore/job"
)

// Types of the worker of chaos runs.
const (
	// Nap waits for some milliseconds and returns a word.
	Nap = "chaos.nap"
	// Alone is Nap in a child process; two runs of one job must never overlap.
	Alone = "chaos.alone"
)

// A NapPayload is what Nap and Alone take.
type NapPayload struct {
	MS   int    `json:"ms"`
	Word string `json:"word"`
}

// A flow is one client with one job.
type flow struct {
	load   *Load
	n      int
	key    string
	random *rand.Rand
	way    string // json, file, tus
	typ    string
	body   []byte // of the request, or the file
	want   string
	chosen job.ID // Longshore-Job in the place of a key
	hook   bool
	cancel time.Duration // after the acknowledgement; 0 = not
	follow string        // poll, sse, socket, get
	over   atomic.Bool

	mu  sync.Mutex
	ids []job.ID // that were acknowledged: one, unless its job was lost, or worse
}

// newFlow draws what a client does; the same seed and number draw the same.
func newFlow(l *Load, n int) *flow {
	r := rand.New(rand.NewPCG(l.config.Seed, uint64(n)+1000))
	f := &flow{load: l, n: n, key: l.key(n), random: r, follow: pick(r, "poll", "poll", "sse", "socket",
		"get")}
	if r.IntN(4) == 0 {
		f.chosen = job.NewID(time.Now())
	}
	if r.IntN(7) == 0 {
		f.hook = true
	}
	if r.IntN(16) == 0 {
		f.cancel = time.Millisecond + time.Duration(r.IntN(3000))*time.Millisecond
	}
	switch kind := r.IntN(100); {
	case kind < 58:
		f.nap(Nap, napTime(r))
	case kind < 64:
		f.nap(Alone, 500+r.IntN(4000))
	case kind < 70:
		f.way, f.typ = "json", "math.primes"
		f.body = f.document(map[string]int{"n": 1_000_000 + r.IntN(100_000_000)})
	default:
		f.way, f.typ, f.body = "file", "file.checksum", make([]byte, 100+r.IntN(40_000))
		if kind >= 88 {
			f.way, f.body = "tus", make([]byte, 1000+r.IntN(100_000))
		}
		for i := range f.body {
			f.body[i] = byte(r.Uint32())
		}
		sum := sha256.Sum256(f.body)
		f.want = hex.EncodeToString(sum[:])
	}
	return f
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// napTime is short for most and longer than a lease for some.
func napTime(r *rand.Rand) int {
	switch r.IntN(10) {
	case 0:
		return 9_000 + r.IntN(6_000)
	case 1, 2, 3:
		return 1_000 + r.IntN(4_000)
	}
	return r.IntN(800)
}

func (f *flow) nap(typ string, ms int) {
	f.way, f.typ, f.want = "json", typ, fmt.Sprintf("word-%d-%d", f.load.config.Seed, f.n)
	f.body = f.document(NapPayload{ms, f.want})
}

// document is the JSON of a submission.
func (f *flow) document(payload any) []byte {
	d := map[string]any{"type": f.typ, "payload": payload}
	if f.hook {
		d["callback_url"] = f.load.hooks.url()
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return text
}

func (f *flow) acknowledged() job.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ids) == 0 {
		return ""
	}
	return f.ids[0]
}

// took notes which job the server has told.
func (f *flow) took(id job.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.ids, id) {
		f.ids = append(f.ids, id)
	}
}

// run is the client's whole life.
func (f *flow) run(ctx context.Context) {
	f.load.log.Add(history.Event{Kind: history.Submit, Key: f.key, Way: f.way, Type: f.typ})
	id, ok := job.ID(""), false
	if f.way == "tus" {
		id, ok = f.upload(ctx)
	} else {
		id, ok = f.submit(ctx)
	}
	if !ok {
		return
	}
	f.took(id)
	var also sync.WaitGroup
	defer also.Wait()
	if f.n%20 == 7 && f.way != "tus" { // as who has lost the answer
		f.repeat(ctx)
	}
	if f.cancel > 0 {
		r := rand.New(rand.NewPCG(f.load.config.Seed, uint64(f.n)+5_000_000))
		also.Go(func() { f.canceled(ctx, r) })
	}
	f.toTheEnd(ctx, id)
}

// repeat submits once more under the same key.
func (f *flow) repeat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if id, ok := f.submit(ctx); ok {
		f.took(id)
	}
}

// digest tells two ends apart: all of a job that must never change any more.
func digest(s *job.Snapshot) string {
	if !s.Done {
		return ""
	}
	h := sha256.New()
	var result bytes.Buffer // as JSON, however it was written
	if json.Compact(&result, s.Result) != nil {
		result.Write(s.Result)
	}
	fmt.Fprintf(h, "%s\n%s\n", s.State, result.Bytes())
	for _, o := range s.Outputs {
		fmt.Fprintf(h, "%s %d %s\n", o.Name, o.Size, o.SHA256)
	}
	if s.Error != nil {
		fmt.Fprintf(h, "%s %s\n", s.Error.Code, s.Error.Message)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Seen is the event of a snapshot that came by some way.
func Seen(s *job.Snapshot, way string) history.Event {
	return history.Event{Kind: history.Seen, Job: string(s.ID), Way: way, Rev: s.Rev, State: string(s.State),
		Done: s.Done, Attempt: s.Attempt, Digest: digest(s)}
}
