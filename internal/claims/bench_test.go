package claims_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/blob/memory"
	"longshore/internal/claims"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/internal/queue"
	"longshore/job"
)

// BenchmarkClaims hands jobs out to programs, sixteen a claim, which end them at once.
func BenchmarkClaims(b *testing.B) {
	const programs, each = 4, 16
	ctx, rdb, prefix := b.Context(), redistest.Client(b), redistest.Prefix(b)
	store := jobstore.New(rdb, jobstore.Config{Prefix: prefix})
	tickets, err := queue.New(rdb, queue.Config{Prefix: prefix, Partitions: store.Parts()})
	if err != nil {
		b.Fatal(err)
	}
	desk := claims.New(claims.Config{Redis: rdb, Prefix: prefix, Store: store, Queue: tickets,
		Blobs:  memory.New(),
		Paused: func(context.Context) (map[string]bool, error) { return nil, nil },
		Log:    slog.New(slog.DiscardHandler)})
	var wg sync.WaitGroup
	for n := range b.N {
		wg.Go(func() {
			_, err := store.Create(ctx, jobstore.NewJob{ID: job.NewID(time.Now()), Type: "photos.caption",
				Lane: job.LaneClaim, Priority: job.Default, Timeout: time.Minute, MaxAttempts: 3,
				Retention: time.Hour})
			if err != nil {
				b.Error(n, err)
			}
		})
		if n%1000 == 999 {
			wg.Wait()
		}
	}
	wg.Wait()
	who := claims.Who{View: access.Everything}
	var left, keys atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	for p := range programs {
		wg.Go(func() {
			for left.Load() > 0 {
				got, err := desk.Claim(ctx, claims.Request{Who: who, Types: []string{"photos.*"},
					Name: fmt.Sprint(p), Hand: claims.Hand{Key: fmt.Sprint(keys.Add(1)), Try: 1, N: each}})
				if err != nil {
					b.Error(err)
					return
				}
				ends := make([]answer.FinishJob, len(got))
				for i, one := range got {
					ends[i] = answer.FinishJob{ID: one.ID, Claim: one.Claim, Result: json.RawMessage("1")}
				}
				for _, told := range desk.Finish(ctx, who, ends) {
					if told.State != job.Succeeded {
						b.Errorf("%+v", told.Problem)
					}
				}
				left.Add(-int64(len(got)))
			}
		})
	}
	wg.Wait()
}
