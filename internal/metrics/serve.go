package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	openAgain = 5 * time.Second
	scrapeMax = 10 * time.Second
)

// Serve answers GET /metrics at an address until ctx ends. While that is in use, as that
// of a process which this one replaces, it says so once and tries on.
func (s *Set) Serve(ctx context.Context, address string, log *slog.Logger) {
	var l net.Listener
	for warned := false; l == nil; {
		var err error
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err == nil {
			break
		}
		if !warned && ctx.Err() == nil {
			log.WarnContext(ctx, "metrics are not served, and it is tried again", "address", address, "error", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(openAgain):
		}
	}
	log.InfoContext(ctx, "metrics are served", "address", "http://"+l.Addr().String()+"/metrics")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		text, kind, err := s.Text(r.Context(), r.Header.Get("Accept"))
		if err != nil {
			http.Error(w, "the metrics can't be gathered", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Write(text)
	})
	srv := &http.Server{Handler: mux, ReadTimeout: scrapeMax, WriteTimeout: scrapeMax,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(),
			slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // a scrape that is cut is made again
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.WarnContext(ctx, "metrics are served no more", "error", err)
	}
}
