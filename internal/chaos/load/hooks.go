package load

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"longshore/internal/chaos/history"
	"longshore/job"
)

// hooks receives callbacks. It refuses some, and cuts some off, as receivers do.
type hooks struct {
	server   *http.Server
	listener net.Listener
	ended    chan error

	mu     sync.Mutex
	random *rand.Rand
}

func newHooks(log *history.Log, seed uint64) (*hooks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hooks{listener: l, ended: make(chan error, 1), random: rand.New(rand.NewPCG(seed, 3))}
	h.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			var s job.Snapshot
			if err != nil || json.Unmarshal(body, &s) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			h.mu.Lock()
			luck := h.random.IntN(20)
			h.mu.Unlock()
			switch luck {
			case 0:
				w.WriteHeader(http.StatusInternalServerError)
				return
			case 1:
				panic(http.ErrAbortHandler)
			}
			e := Seen(&s, "callback")
			e.Kind = history.Callback
			log.Add(e)
		})}
	go func() { h.ended <- h.server.Serve(l) }()
	return h, nil
}

func (h *hooks) url() string { return "http://" + h.listener.Addr().String() + "/hook" }

func (h *hooks) close() error {
	err := h.server.Close()
	if ended := <-h.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
