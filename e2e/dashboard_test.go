//go:build linux

package e2e

import (
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"longshore/internal/tooltest"
)

// TestDashboard drives the dashboard in Chromium: an empty installation, a form with a mistake, a
// picture that is dropped, paused and resumed to its preview, a cancel, a failure and its retry,
// filters over reload and back, a group of failures retried, a pause, a drain, a server that is
// killed and started meanwhile; then axe looks at each page, light and dark, wide and as narrow as
// a phone. No request leaves the origin, and the page's policy is never offended.
func TestDashboard(t *testing.T) {
	t.Parallel()
	chromium := tooltest.Path(t, "chromium")
	dir := tsFolder(t)
	in := install(t)
	web, url := in.web(t)
	var end struct {
		Trouble, Foreign []string
		Canceled         int
		Looked           map[string]int
	}
	script(t, dir, map[string]func(){
		"worker": func() { in.worker(t, "CPU_CONCURRENCY=2") },
		"kill": func() {
			web.signal(syscall.SIGKILL)
			<-web.done
		},
		"start": func() { in.web(t, "PORT="+url[strings.LastIndex(url, ":")+1:]) },
	}, &end, "dashboard.mjs", chromium, url, noisyPicture(t))
	for _, text := range append(end.Trouble, end.Foreign...) {
		t.Error(text)
	}
	if end.Canceled != 1 || end.Looked["light"] != 10 || end.Looked["dark"] != 10 {
		t.Errorf("%+v", end)
	}
}

// noisyPicture is a PNG of some megabytes, since noise packs badly.
func noisyPicture(t *testing.T) string {
	t.Helper()
	m, rng := image.NewNRGBA(image.Rect(0, 0, 640, 640)), rand.New(rand.NewPCG(1, 2))
	for y := range 640 {
		for x := range 640 {
			m.Set(x, y, color.NRGBA{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32()), 255})
		}
	}
	name := filepath.Join(t.TempDir(), "in.png")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}
