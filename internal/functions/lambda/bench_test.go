package lambda

import (
	"testing"
)

// BenchmarkEcho is a job that gives its event back, in a process that is warm: one after
// the other, and as many at once as there are cores.
func BenchmarkEcho(b *testing.B) {
	for _, l := range languages {
		b.Run(l.name, func(b *testing.B) {
			folder := b.TempDir()
			x := setup(b, l.make(b, folder), folder)
			job := func() {
				if out, _ := x.do(b.Context(), `{"do":"echo","text":"hello"}`); out.Err != nil {
					b.Error(out.Err)
				}
			}
			job() // starts it
			b.Run("one", func(b *testing.B) {
				for b.Loop() {
					job()
				}
			})
			b.Run("cores", func(b *testing.B) {
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						job()
					}
				})
			})
		})
	}
}
