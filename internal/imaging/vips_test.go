//go:build unix

package imaging

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/image/draw"

	"longshore/internal/sandbox"
	"longshore/internal/tooltest"
)

// fakeVips is a shell script in the program's place.
func fakeVips(t *testing.T, script string) *Vips {
	t.Helper()
	program := filepath.Join(t.TempDir(), "vipsthumbnail")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Vips{program}
}

func open(t *testing.T, v *Vips, file []byte) (*Session, Header) {
	t.Helper()
	h, err := ReadHeader(file, manyPixels)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.Open(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is left: %v", err)
		}
	})
	return s, h
}

// The command line has our words and numbers only, the environment nothing
// that it need not have.
func TestVipsCommand(t *testing.T) {
	t.Setenv("REDIS_URL", "redis://:hunter2@127.0.0.1")
	v := fakeVips(t, `echo "$@" >asked; env >>asked; echo "no such luck" >&2; exit 1`)
	s, h := open(t, v, encodeJPEG(t, scene(100, 60)))
	for box, want := range map[Box]string{
		{50, 0,
			Contain}: "input --vips-concurrency=2 --output=output.jpg[Q=77,strip,background=255] --size=50x30!",
		{10, 20,
			Fill}: "input --vips-concurrency=2 --output=output.jpg[Q=77,strip,background=255] --size=10x20!",
		{10, 20,
			Cover}: "input --vips-concurrency=2 --output=output.jpg[Q=77,strip,background=255] --size=10x20 --smartcrop=centre",
	} {
		frame, err := h.Frame(box, false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := s.Render(t.Context(), &out, frame, JPEG, 77); !errors.Is(err, ErrVips) ||
			!strings.Contains(err.Error(), "no such luck") || out.Len() > 0 {
			t.Errorf("%v: %v, %d bytes", box, err, out.Len())
		}
		text, err := os.ReadFile(filepath.Join(s.folder, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		if line, env, _ := strings.Cut(string(text), "\n"); line != want || strings.Contains(env, "hunter2") {
			t.Errorf("asked\n%s, want\n%s; with the environment\n%s", line, want, env)
		}
	}
}

// Colours with a sound profile of their own space are turned into sRGB, unless
// they are that already.
func TestVipsProfile(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"cmyk": withSegment(cmykJPEG(t), 0xe2, []byte("ICC_PROFILE\x00\x01\x01abc")),
		"profile": withSegment(encodeJPEG(t, scene(16, 8)), 0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"),
			profileOf(displayP3, 2.2)...)),
		"sRGB": withSegment(encodeJPEG(t, scene(16, 8)), 0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"),
			profileOf(plainRGB, 0)...)),
		"doubt": withSegment(encodeJPEG(t, scene(16, 8)), 0xe2, []byte("ICC_PROFILE\x00\x01\x01abc")),
		"plain": encodeJPEG(t, scene(16, 8)),
	} {
		s, _ := open(t, fakeVips(t, `echo "$@" >&2`), file)
		err := s.Render(t.Context(), io.Discard, Frame{Width: 8, Height: 4, W: 16, H: 8}, JPEG, 80)
		if err == nil || strings.Contains(err.Error(), "--export-profile=srgb") != (name == "profile") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The program makes of each kind of file what this package does.
func TestVipsLikeGo(t *testing.T) {
	t.Parallel()
	v := FindVips()
	if v == nil {
		tooltest.Missing(t, "vipsthumbnail on PATH")
	}
	src := scene(300, 200)
	gray, gray16 := image.NewGray(src.Rect), image.NewGray16(src.Rect)
	deep, clear := image.NewNRGBA64(src.Rect), image.NewNRGBA(src.Rect)
	web := image.NewPaletted(src.Rect, palette())
	for _, to := range []draw.Image{gray, gray16, deep, clear, web} {
		draw.Draw(to, src.Rect, src, image.Point{}, draw.Src)
	}
	for i := range 300 * 200 {
		clear.Pix[4*i+3] = uint8(i % 300 * 250 / 300)
	}
	turned := append([]byte("Exif\x00\x00"), exif(binary.LittleEndian, Rotate90)...)
	for name, file := range map[string][]byte{
		"gray": encodePNG(t, gray), "gray16": encodePNG(t, gray16), "deep": encodePNG(t, deep),
		"alpha": encodePNG(t, clear), "palette": encodePNG(t, web), "gray jpeg": encodeJPEG(t, gray),
		"jpeg": encodeJPEG(t, src), "turned": withSegment(encodeJPEG(t, src), 0xe1, turned),
		"turned png": withChunk(encodePNG(t, src), "eXIf", turned[6:]), "webp": webpSample(t, "lossy"),
		"webp, alpha": webpSample(t, "lossy, alpha"), "webp, lossless": webpSample(t, "lossless, alpha"),
		"webp, animation": webpSample(t, "animation"),
	} {
		s, h := open(t, v, file)
		for _, box := range []Box{{Width: 60}, {50, 50, Cover}, {33, 77, Fill}, {400, 300, Cover}} {
			frame, err := h.Frame(box, true)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := s.Render(t.Context(), &out, frame, PNG, 0); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := png.Decode(&out)
			if err != nil {
				t.Fatal(err)
			}
			want, limit := render(t, file, box), 2.5
			if h.Format == WebP {
				limit = 5 // it has hard edges, and is scaled while it is read
			}
			if mean, most := difference(t, got, want); mean > limit {
				t.Errorf("%s in %v: differs by %.2f on average and %d at most", name, box, mean, most)
			}
		}
	}
}

// A program that says it is done, but isn't, is found out.
func TestVipsDoubts(t *testing.T) {
	t.Parallel()
	photo := encodeJPEG(t, scene(100, 60))
	for name, script := range map[string]string{
		"no output":     "exit 0",
		"empty output":  ": >output.jpg",
		"other size":    "cp input output.jpg",
		"killed":        "kill -9 $$",
		"talks forever": "yes warning | head -c 1000000 >&2; cp input output.jpg",
	} {
		s, h := open(t, fakeVips(t, script), photo)
		frame, err := h.Frame(Box{Width: 50}, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Render(t.Context(), io.Discard, frame, JPEG, 80); !errors.Is(err, ErrVips) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// On cancel the program is killed with all that it started.
func TestVipsCancel(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the program has no process group of its own here")
	}
	// It says who it and its child are by a pipe that closes when both are dead.
	s, h := open(t, fakeVips(t, "exec 3>pipe\nsleep 100 &\necho $$ >&3\nsleep 100"),
		encodeJPEG(t, scene(100, 60)))
	pipe := filepath.Join(s.folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	frame, err := h.Frame(Box{Width: 50}, false)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Render(ctx, io.Discard, frame, JPEG, 80) }()
	r, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid := make([]byte, 20)
	n, err := r.Read(pid)
	if _, bad := strconv.Atoi(strings.TrimSpace(string(pid[:n]))); err != nil || bad != nil {
		t.Fatal(err, bad)
	}
	cancel(cause)
	if err := <-ended; !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// Wide colours become sRGB's, and no format's output has a profile.
func TestVipsWideColours(t *testing.T) {
	t.Parallel()
	v := FindVips()
	if v == nil {
		tooltest.Missing(t, "vipsthumbnail on PATH")
	}
	profile := profileOf(displayP3, 2.2)
	red := image.NewRGBA(image.Rect(0, 0, 32, 32))
	draw.Draw(red, red.Rect, image.NewUniform(color.RGBA{200, 60, 60, 255}), image.Point{}, draw.Src)
	for name, file := range map[string][]byte{
		"jpeg": withSegment(encodeJPEG(t, red), 0xe2, append([]byte("ICC_PROFILE\x00\x01\x01"), profile...)),
		"png":  withChunk(encodePNG(t, red), "iCCP", pngProfile(profile)[8:len(pngProfile(profile))-4]),
	} {
		s, h := open(t, v, file)
		frame, err := h.Frame(Box{Width: 16}, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []Format{JPEG, PNG, WebP} {
			var out bytes.Buffer
			if err := s.Render(t.Context(), &out, frame, format, 95); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			again, err := ReadHeader(out.Bytes(), manyPixels)
			if err != nil || again.parts.profiled {
				t.Errorf("%s to %s: profile %v, %v", name, format, again.parts.profiled, err)
			}
			c := color.RGBAModel.Convert(render(t, out.Bytes(), Box{Width: 16}).At(8, 8)).(color.RGBA)
			if c.R < 208 || c.G > 56 || c.B > 58 {
				t.Errorf("%s to %s: %v is not turned into sRGB", name, format, c)
			}
		}
	}
}

// Another program in vipsthumbnail's place, as one taken over by an image would
// be, comes by nothing that the worker has. Without the sandbox it comes by all.
func TestVipsHostile(t *testing.T) {
	t.Parallel()
	if lacks := sandbox.Missing(); lacks != "" {
		t.Skip("this system has no " + lacks)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "new")
	attempts := map[string]string{
		"passwd": "cat /etc/passwd", "environ": "cat /proc/$PPID/environ", "outside": "echo x >" + outside,
		"signal": "kill -CONT $PPID", "tcp": "bash -c 'echo >/dev/tcp/127.0.0.1/" + port + "'",
		"list": "ls " + filepath.Dir(outside),
	}
	var script strings.Builder
	for name, attempt := range attempts {
		fmt.Fprintf(&script, "if (%s) >/dev/null 2>&1; then echo %s >>came-off; fi\n", attempt, name)
	}
	v := fakeVips(t, "echo began >came-off\n"+script.String()+"exit 1")
	s, h := open(t, v, encodeJPEG(t, scene(100, 60)))
	frame, err := h.Frame(Box{Width: 50}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Render(t.Context(), io.Discard, frame, JPEG, 80); !errors.Is(err, ErrVips) {
		t.Fatal(err)
	}
	came, err := os.ReadFile(filepath.Join(s.folder, "came-off"))
	if err != nil || string(came) != "began\n" {
		t.Errorf("it came by %q, %v", came, err)
	}
	free := exec.CommandContext(t.Context(), v.program)
	free.Dir = t.TempDir()
	_ = free.Run() // it always says that it failed
	if came, _ := os.ReadFile(filepath.Join(free.Dir, "came-off")); bytes.Count(came, []byte("\n")) != 1+
		len(attempts) {
		t.Errorf("without the sandbox it came by %q only", came)
	}
}
