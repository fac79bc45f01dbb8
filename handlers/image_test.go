package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers/handlerstest"
	"longshore/internal/tooltest"
	"longshore/job"
)

// bothWays runs a test in Go alone and with vipsthumbnail, if that is there,
// and sees to it that no temporary file is left. Such tests are not parallel:
// they set the PATH.
func bothWays(t *testing.T, test func(t *testing.T, vips bool)) {
	t.Helper()
	_, err := exec.LookPath("vipsthumbnail")
	for _, vips := range []bool{false, true} {
		t.Run(map[bool]string{false: "go", true: "vips"}[vips], func(t *testing.T) {
			if !vips {
				t.Setenv("PATH", t.TempDir())
			} else if err != nil {
				tooltest.Missing(t, "vipsthumbnail on PATH")
			}
			folder := t.TempDir()
			t.Setenv("TMPDIR", folder)
			test(t, vips)
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("left in the folder for temporary files: %v, %v", left, err)
			}
		})
	}
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o700); err != nil {
		t.Fatal(err)
	}
}

// picture is a smooth picture whose corners all differ, as a JPEG.
func picture(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 255 / width), uint8(y * 255 / height),
				uint8(128 + 90*math.Sin(float64(x+y)/40)), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func decode(t testing.TB, data []byte) (image.Image, string) {
	t.Helper()
	img, format, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img, format
}

// Each size is exact, in the result as in the file; names are the sizes.
func TestImageSizes(t *testing.T) {
	input := picture(t, 400, 200)
	tests := []struct {
		payload string
		names   []string
	}{
		{`{"width":100}`, []string{"100x50.jpg"}},
		{`{"height":100,"format":"png"}`, []string{"200x100.png"}},
		{`{"width":90,"height":90}`, []string{"90x45.jpg"}},
		{`{"width":90,"height":90,"fit":"cover"}`, []string{"90x90.jpg"}},
		{`{"width":33,"height":77,"fit":"fill","quality":30}`, []string{"33x77.jpg"}},
		{`{"width":1000}`, []string{"400x200.jpg"}},
		{`{"width":500,"height":500,"fit":"cover"}`, []string{"200x200.jpg"}},
		{`{"width":500,"height":500,"fit":"cover","enlarge":true}`, []string{"500x500.jpg"}},
		{`{"width":1,"height":1,"fit":"cover"}`, []string{"1x1.jpg"}},
		{
			`{"sizes":[{"width":50},{"height":25},{"width":30,"height":30,"fit":"contain"},{"width":30,"height":30}],"fit":"cover"}`,
			[]string{"50x25.jpg", "50x25-2.jpg", "30x15.jpg", "30x30.jpg"}},
	}
	bothWays(t, func(t *testing.T, _ bool) {
		for _, test := range tests {
			result, outputs := succeed(t, "image.resize", test.payload, input)
			var names []string
			for _, entry := range result["images"].([]any) {
				made := entry.(map[string]any)
				name := made["name"].(string)
				names = append(names, name)
				img, format := decode(t, outputs[name])
				got := map[string]any{"name": name, "format": format, "bytes": float64(len(outputs[name])),
					"width": float64(img.Bounds().Dx()), "height": float64(img.Bounds().Dy())}
				if diff := cmp.Diff(made, got); diff != "" {
					t.Errorf("%s: said, is\n%s", test.payload, diff)
				}
				if !strings.HasPrefix(name, fmt.Sprintf("%vx%v", got["width"], got["height"])) {
					t.Errorf("%s: %s has %v×%v pixels", test.payload, name, got["width"], got["height"])
				}
			}
			if diff := cmp.Diff(test.names, names); diff != "" || len(outputs) != len(names) {
				t.Errorf("%s: %d outputs\n%s", test.payload, len(outputs), diff)
			}
		}
	})
}

// The eight photos show the same, each stored in another orientation, but for
// their number in the middle. Each result is compared with what the plainest
// code makes of the first, pixel by pixel.
func TestImagePhotos(t *testing.T) {
	folder := filepath.Join("..", "..", "shared", "data", "exif")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no photos: %v", err)
	}
	first, err := os.ReadFile(filepath.Join(folder, "landscape_1.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	photo, _ := decode(t, first)
	want := averaged(photo, 6) // 1800×1200 to 300×200
	cut := image.NewRGBA(image.Rect(0, 0, 200, 200))
	draw.Draw(cut, cut.Rect, want, image.Pt(50, 0), draw.Src)
	bothWays(t, func(t *testing.T, _ bool) {
		for i := 1; i <= 8; i++ {
			name := fmt.Sprintf("landscape_%d.jpg", i)
			input, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			_, outputs := succeed(t, "image.resize",
				`{"sizes":[{"width":300},{"width":200,"height":200,"fit":"cover"}],"quality":95}`, input)
			for output, want := range map[string]image.Image{"300x200.jpg": want, "200x200.jpg": cut} {
				if outputs[output] == nil {
					t.Fatalf("%s: no %s", name, output)
				}
				got, _ := decode(t, outputs[output])
				mean, worst := difference(t, withoutMiddle(got), withoutMiddle(want))
				if mean > 3 || worst > 7 {
					t.Errorf("%s to %s: differs by %.2f on average, %.2f in the worst block", name, output,
						mean, worst)
				}
			}
			if bytes.Contains(outputs["300x200.jpg"], []byte("Exif")) {
				t.Errorf("%s: metadata is left", name)
			}
		}
	})
}

func withoutMiddle(img image.Image) image.Image {
	bare := image.NewRGBA(img.Bounds())
	draw.Draw(bare, bare.Rect, img, img.Bounds().Min, draw.Src)
	middle := bare.Rect.Max.Div(2)
	draw.Draw(bare, image.Rectangle{middle, middle}.Inset(-24), image.Black, image.Point{}, draw.Src)
	return bare
}

// averaged makes a picture k times smaller by averaging blocks.
func averaged(img image.Image, k int) *image.RGBA {
	size := img.Bounds().Size().Div(k)
	small := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			var sum [3]uint32
			for i := range k * k {
				r, g, b, _ := img.At(x*k+i%k, y*k+i/k).RGBA()
				sum[0], sum[1], sum[2] = sum[0]+r>>8, sum[1]+g>>8, sum[2]+b>>8
			}
			n := uint32(k * k)
			small.SetRGBA(x, y, color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), 255})
		}
	}
	return small
}

// difference compares two pictures pixel by pixel: the mean difference of a
// sample, and the mean in the worst block of 20×20 pixels.
func difference(t testing.TB, a, b image.Image) (mean, worst float64) {
	t.Helper()
	const block = 20
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("sizes %v and %v", a.Bounds().Size(), b.Bounds().Size())
	}
	size := a.Bounds().Size()
	left, right := image.NewRGBA(image.Rectangle{Max: size}), image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(left, left.Rect, a, a.Bounds().Min, draw.Src)
	draw.Draw(right, right.Rect, b, b.Bounds().Min, draw.Src)
	across := size.X/block + 1
	blocks := make([]float64, across*(size.Y/block+1))
	for i := range left.Pix {
		d := math.Abs(float64(left.Pix[i]) - float64(right.Pix[i]))
		mean += d / float64(len(left.Pix))
		x, y := i%left.Stride/4, i/left.Stride
		blocks[y/block*across+x/block] += d / (4 * block * block)
	}
	return mean, slices.Max(blocks)
}

func TestImageBroken(t *testing.T) {
	whole := picture(t, 200, 100)
	photo := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	var packed bytes.Buffer
	if err := png.Encode(&packed, photo); err != nil {
		t.Fatal(err)
	}
	garbled := bytes.Clone(packed.Bytes())
	garbled[len(garbled)/2] ^= 0x55
	noise := append(bytes.Clone(whole[:2]), bytes.Repeat([]byte{0xff, 0xd9, 7, 0}, 500)...)
	huge := bytes.Clone(whole)
	copy(huge[bytes.Index(huge, []byte{0xff, 0xc0})+5:], "\xff\xff\xff\xff")
	hugeGIF := []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00;")
	tests := []struct {
		name    string
		payload string
		input   []byte
		code    job.Code
	}{
		{"empty", `{"width":50}`, nil, job.CorruptInput},
		{"cut in the header", `{"width":50}`, whole[:100], job.CorruptInput},
		{"cut in the middle", `{"width":50}`, whole[:len(whole)/2], job.CorruptInput},
		{"png cut", `{"width":50}`, packed.Bytes()[:packed.Len()-30], job.CorruptInput},
		{"png with a wrong byte", `{"width":50}`, garbled, job.CorruptInput},
		{"garbage behind the magic", `{"width":50}`, noise, job.CorruptInput},
		{"garbage", `{"width":50}`, bytes.Repeat([]byte{1, 2, 3, 0x9c}, 100), job.CorruptInput},
		{"text", `{"width":50}`, []byte("not an image at all, whatever its name"), job.TypeMismatch},
		{"pdf", `{"width":50}`, []byte("%PDF-1.7\n..."), job.TypeMismatch},
		{"jpeg of 65535×65535", `{"width":50}`, huge, job.ImageTooLarge},
		{"gif of 65535×65535", `{"width":50}`, hugeGIF, job.ImageTooLarge},
		{"over max_pixels", `{"width":50,"max_pixels":19999}`, whole, job.ImageTooLarge},
		{"result over max_pixels", `{"width":16000,"enlarge":true}`, whole, job.ImageTooLarge},
	}
	bothWays(t, func(t *testing.T, _ bool) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				fail(t, "image.resize", test.payload, test.input, test.code)
			})
		}
	})
}

// What is transparent is white in a JPEG and stays transparent in a PNG.
func TestImageAlpha(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 80, 40))
	for i := range 80 * 40 {
		if i%80 < 40 {
			img.SetNRGBA(i%80, i/80, color.NRGBA{200, 0, 0, 255})
		}
	}
	var input bytes.Buffer
	if err := png.Encode(&input, img); err != nil {
		t.Fatal(err)
	}
	bothWays(t, func(t *testing.T, _ bool) {
		for format, clear := range map[string]color.RGBA{"jpeg": {255, 255, 255, 255}, "png": {}} {
			result, outputs := succeed(t, "image.resize", `{"width":40,"format":"`+format+`"}`, input.Bytes())
			name := result["images"].([]any)[0].(map[string]any)["name"].(string)
			got, _ := decode(t, outputs[name])
			for x, want := range map[int]color.RGBA{5: {200, 0, 0, 255}, 35: clear} {
				c := color.RGBAModel.Convert(got.At(x, 10)).(color.RGBA)
				for _, d := range []int{int(c.R) - int(want.R), int(c.G) - int(want.G),
					int(c.B) - int(want.B), int(c.A) - int(want.A)} {
					if d < -6 || d > 6 {
						t.Errorf("%s at %d: %v, want %v", format, x, c, want)
					}
				}
			}
		}
	})
}

// secretPhoto has a place name in its Exif data and in a comment, and stands
// on its side.
func secretPhoto(t testing.TB) []byte {
	t.Helper()
	file := picture(t, 80, 40)
	exif := "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02" +
		"\x01\x0e\x00\x02\x00\x00\x00\x0c\x00\x00\x00\x26" +
		"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" +
		"\x00\x00\x00\x00SecretPlace\x00"
	segments := fmt.Sprintf("\xff\xe1\x00%c%s\xff\xfe\x00%cSecretPlace", len(exif)+2, exif, 13)
	return append(append(file[:2:2], segments...), file[2:]...)
}

func TestImageMetadata(t *testing.T) {
	input := secretPhoto(t)
	bothWays(t, func(t *testing.T, vips bool) {
		for _, format := range []string{"jpeg", "png", "webp"} {
			if format == "webp" && !vips {
				continue
			}
			_, outputs := succeed(t, "image.resize", `{"width":20,"format":"`+format+`"}`, input)
			for name, data := range outputs {
				if !strings.HasPrefix(name, "20x40.") || bytes.Contains(data, []byte("Secret")) {
					t.Errorf("%s: the metadata is left, or counts no more", name)
				}
			}
			if len(outputs) != 1 {
				t.Errorf("%s: %d outputs", format, len(outputs))
			}
		}
	})
}

func TestImageWebP(t *testing.T) {
	input := picture(t, 80, 40)
	bothWays(t, func(t *testing.T, vips bool) {
		const payload = `{"sizes":[{"width":40},{"width":30},{"width":20}],"format":"webp"}`
		if !vips {
			fail(t, "image.resize", payload, input, job.Unsupported)
			return
		}
		for _, input := range [][]byte{input, gifOf(t, input)} {
			_, outputs := succeed(t, "image.resize", payload, input)
			for _, name := range []string{"40x20.webp", "30x15.webp", "20x10.webp"} {
				webp := outputs[name]
				_, outputs := succeed(t, "image.resize", `{"width":20,"format":"png"}`, webp)
				got, _ := decode(t, outputs["20x10.png"])
				want, _ := decode(t, input)
				if mean, _ := difference(t, got, averaged(want, 4)); mean > 8 {
					t.Errorf("%s: differs by %.2f on average", name, mean)
				}
			}
		}
		fail(t, "image.resize", payload, input[:len(input)/2], job.CorruptInput)
	})
}

// vipsthumbnail is asked where it is the faster way, and what it can't do is
// done without it: once it has failed it is not asked again, as the log tells.
// What it made differs in some bytes from what Go makes.
func TestImageByVips(t *testing.T) {
	photo := picture(t, 80, 40)
	real, lookErr := exec.LookPath("vipsthumbnail")
	system, logged := os.Getenv("PATH"), &bytes.Buffer{}
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(logged, nil)))
	t.Cleanup(func() { slog.SetDefault(old) })
	tests := []struct {
		payload string
		input   []byte
		want    int // renderings of its own when it works
	}{
		{`{"width":20}`, photo, 1},
		{`{"sizes":[{"width":20},{"width":30}]}`, photo, 2},
		{`{"sizes":[{"width":20},{"width":30},{"width":40}]}`, photo, 0},
		{`{"width":20}`, gifOf(t, photo), 0},
	}
	t.Setenv("PATH", t.TempDir())
	var plain []map[string][]byte
	for _, test := range tests {
		_, outputs := succeed(t, "image.resize", test.payload, test.input)
		plain = append(plain, outputs)
	}
	scripts := map[string]string{"fails": "exit 1", "warns": "echo odd >&2; exit 0"}
	if lookErr == nil {
		scripts["works"] = "exec " + real + ` "$@"`
	}
	folder := t.TempDir()
	t.Setenv("PATH", folder+string(filepath.ListSeparator)+system)
	for name, script := range scripts {
		writeFile(t, filepath.Join(folder, "vipsthumbnail"), []byte("#!/bin/sh\n"+script+"\n"))
		for i, test := range tests {
			logged.Reset()
			_, outputs := succeed(t, "image.resize", test.payload, test.input)
			its := 0
			for output, data := range outputs {
				if !bytes.Equal(data, plain[i][output]) {
					its++
				}
			}
			want, failures := test.want, 0
			if name != "works" {
				want, failures = 0, min(want, 1)
			}
			if n := strings.Count(logged.String(), "vipsthumbnail"); its != want ||
				(n > 0) != (failures > 0) || strings.Count(logged.String(), "\n") != failures {
				t.Errorf("%s, %s: %d renderings, want %d; logged\n%s", name, test.payload, its, want, logged)
			}
		}
	}
	writeFile(t, filepath.Join(folder, "vipsthumbnail"), []byte("#!/bin/sh\nexit 1\n"))
	fail(t, "image.resize", `{"width":20,"format":"webp"}`, photo, job.Unsupported)
}

// Canceled at any moment, the run ends with the cause and without an output.
func TestImageCancel(t *testing.T) {
	input := picture(t, 200, 100)
	cause := errors.New("canceled by the client")
	bothWays(t, func(t *testing.T, _ bool) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r, files := handlerstest.NewRun("image.resize", input)
		files.Open = func() io.Reader {
			return io.MultiReader(bytes.NewReader(input), canceler{cancel, cause})
		}
		if _, err := run(t, ctx, "image.resize", `{"width":50}`, r, files); !errors.Is(err, cause) {
			t.Errorf("got %v, want the context's cause", err)
		}
		if n := len(files.Committed()); n != 0 {
			t.Errorf("%d outputs", n)
		}
	})
}

func TestImageStorageFails(t *testing.T) {
	bothWays(t, func(t *testing.T, _ bool) {
		r, files := handlerstest.NewRun("image.resize", picture(t, 200, 100))
		files.OutputErr = errors.New("disk on fire")
		_, err := run(t, t.Context(), "image.resize", `{"width":50}`, r, files)
		if code := failureCode(err); code != job.StorageError {
			t.Errorf("got %v with code %q", err, code)
		}
	})
}

func TestImagePayload(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{}`, `{"sizes":[]}`, `{"sizes":[{}]}`,
		`{"sizes":[{"width":5}],"width":5}`, `{"width":0}`, `{"width":-1}`,
		`{"width":99999}`, `{"width":5,"fit":"squeeze"}`, `{"width":5,"format":"bmp"}`,
		`{"width":5,"quality":0}`, `{"width":5,"quality":101}`,
		`{"sizes":[{"width":5,"fit":"[Q=1]"}]}`, `{"width":5,"format":"jpeg[Q=1]"}`,
		`{"width":5,"max_pixels":1000000000}`, `{"sizes":null}`,
		`{"width":"5"}`, `{"width":5,"output":"/etc/passwd"}`} {
		if _, err := catalog(t).Check("image.resize", []byte(payload)); err == nil {
			t.Errorf("%s: accepted", payload)
		}
	}
	for _, payload := range []string{`{"width":5}`, `{"height":5}`,
		`{"sizes":[{"width":5},{"height":7,"fit":"cover"}],"quality":100}`} {
		text, err := catalog(t).Check("image.resize", []byte(payload))
		if err != nil || !json.Valid(text) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}
