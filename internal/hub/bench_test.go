package hub

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"longshore/job"
)

// park blocks n goroutines in Wait and returns when all have registered.
func park(h *Hub, f *records, n int, woken func(n int)) *sync.WaitGroup {
	var looked, all sync.WaitGroup
	looked.Add(n)
	f.set(func() { f.onLook = func(jobs int) { looked.Add(-jobs) } })
	for i := range n {
		all.Go(func() {
			h.Wait(context.Background(), nil, time.Hour, Want{ID: id(i), Done: true})
			woken(i)
		})
	}
	looked.Wait()
	f.set(func() { f.onLook = nil })
	return &all
}

// BenchmarkParked10k says what 10,000 waiters hold, goroutines included.
func BenchmarkParked10k(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		f := newRecords()
		for i := range n {
			f.revs[id(i)] = job.Rev{ID: id(i), Rev: 1}
		}
		h := New(f, slog.New(slog.DiscardHandler))
		f.event = h.event
		before := memory()
		all := park(h, f, n, func(int) {})
		b.ReportMetric(float64(memory()-before)/n, "B/waiter")
		for i := range n {
			f.put(id(i), 2, true)
		}
		all.Wait()
	}
}

// BenchmarkWake measures from a published change to the return of Wait, with
// 10,000 other waiters.
func BenchmarkWake(b *testing.B) {
	const n = 10_000
	f := newRecords()
	for i := range n {
		f.revs[id(i)] = job.Rev{ID: id(i), Rev: 1}
	}
	h := New(f, slog.New(slog.DiscardHandler))
	f.event = h.event
	all := park(h, f, n, func(int) {})
	late := make([]time.Duration, 0, 1<<16)
	woken := make(chan time.Time)
	one := id(n)
	for rev := int64(1); b.Loop(); rev++ {
		f.set(func() { f.revs[one] = job.Rev{ID: one, Rev: rev} })
		looked := make(chan struct{})
		f.set(func() { f.onLook = func(int) { close(looked) } })
		go func() {
			h.Wait(context.Background(), nil, time.Hour, Want{ID: one, After: rev})
			woken <- time.Now()
		}()
		<-looked
		f.set(func() { f.onLook = nil })
		runtime.Gosched()
		begun := time.Now()
		f.put(one, rev+1, false)
		late = append(late, (<-woken).Sub(begun))
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(late[len(late)*99/100].Nanoseconds()), "p99-ns")
	for i := range n {
		f.put(id(i), 2, true)
	}
	all.Wait()
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
