package isolate

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkRun is what isolation costs: work that does nothing, on a warm child,
// with its folder made and removed.
func BenchmarkRun(b *testing.B) {
	p := open(b, Config{Child: Child{Memory: 512 << 20}})
	mustSay(b, p, "echo")
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			body := append([]byte("echo "), make([]byte, size)...)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				folder, err := p.Folder()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Run(b.Context(), Work{Body: body, Folder: folder}); err != nil {
					b.Fatal(err)
				}
				if err := p.RemoveFolder(folder); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
		})
	}
}

// BenchmarkStart is what a fresh child costs.
func BenchmarkStart(b *testing.B) {
	p := open(b, Config{})
	var asleep []int64
	for b.Loop() {
		c, err := p.newChild(b.Context(), p.config.Child)
		if err != nil {
			b.Fatal(err)
		}
		asleep = append(asleep, c.asleep)
		c.end()
	}
	slices.Sort(asleep)
	b.ReportMetric(float64(asleep[len(asleep)/2])/(1<<20), "resident-MiB")
}
