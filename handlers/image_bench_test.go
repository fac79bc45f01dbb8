package handlers_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
)

// photo12MP is a made-up photo of 4000×3000 pixels with some grain, as a JPEG
// of about 5 MB with half the resolution in colour, like a camera's.
var photo12MP = sync.OnceValue(func() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewYCbCr(image.Rect(0, 0, 4000, 3000), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		x, y := i%img.YStride, i/img.YStride
		img.Y[i] = uint8(60 + x/40 + y/60 + 20*(x/125%2^y/125%2) + int(random.Uint32()%24))
	}
	for i := range img.Cb {
		x, y := i%img.CStride, i/img.CStride
		img.Cb[i], img.Cr[i] = uint8(70+x/20), uint8(80+y/20)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// BenchmarkImageResize makes 800 pixels out of 12 million: in Go alone, by
// vipsthumbnail, and vipsthumbnail by itself as a whole process.
func BenchmarkImageResize(b *testing.B) {
	photo := photo12MP()
	resize := func(payload string) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(photo)))
			runtime.GC()
			peak := watchMemory(b)
			entry, _ := handlers.BuiltIn().Lookup("image.resize")
			for b.Loop() {
				run, _ := handlerstest.NewRun("image.resize", photo)
				if _, err := entry.Run(b.Context(), run, []byte(payload)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(peak()/1e6, "peak-MB")
		}
	}
	const one, four = `{"width":800}`,
		`{"sizes":[{"width":1600},{"width":800},{"width":400},{"width":200,"height":200,"fit":"cover"}]}`
	b.Run("go", func(b *testing.B) {
		b.Setenv("PATH", b.TempDir())
		b.Run("one size", resize(one))
		b.Run("four sizes", resize(four))
		b.Run("png", resize(`{"width":800,"format":"png"}`))
	})
	program, err := exec.LookPath("vipsthumbnail")
	if err != nil {
		b.Log("no vipsthumbnail on the PATH")
		return
	}
	b.Run("vips", func(b *testing.B) {
		b.Run("one size", resize(one))
		b.Run("four sizes", resize(four))
	})
	b.Run("vipsthumbnail itself", func(b *testing.B) {
		folder := b.TempDir()
		writeFile(b, filepath.Join(folder, "photo.jpg"), photo)
		b.SetBytes(int64(len(photo)))
		for b.Loop() {
			cmd := exec.CommandContext(b.Context(), program, "photo.jpg", "--size=800x",
				"--output=small.jpg[Q=80,strip]")
			cmd.Dir = folder
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
}

// watchMemory samples what the Go runtime holds of memory, until the function
// it returns is called, which tells the highest value in bytes.
func watchMemory(b *testing.B) (peak func() float64) {
	b.Helper()
	stop, highest := make(chan struct{}), make(chan float64)
	go func() {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"},
			{Name: "/memory/classes/heap/released:bytes"}}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		most := 0.0
		for {
			metrics.Read(samples)
			most = max(most, float64(samples[0].Value.Uint64()-samples[1].Value.Uint64()))
			select {
			case <-tick.C:
			case <-stop:
				highest <- most
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-highest }
}
