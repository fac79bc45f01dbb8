package imaging

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/image/draw"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const manyPixels = 40_000_000

// scene is a picture without sharp edges whose corners all differ.
func scene(width, height int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			fx, fy := float64(x)/float64(width), float64(y)/float64(height)
			img.SetNRGBA(x, y, color.NRGBA{uint8(30 + 200*fx), uint8(30 + 200*fy),
				uint8(128 + 90*math.Sin(9*fx+5*fy)), 255})
		}
	}
	return img
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// exif is a TIFF structure that has only the orientation.
func exif(order binary.AppendByteOrder, o Orientation) []byte {
	tiff := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(tiff, orientationTag)
	tiff = order.AppendUint16(tiff, tiffShort)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, uint16(o))
	return append(tiff, 0, 0, 0, 0, 0, 0)
}

// withSegment puts a segment behind a JPEG's start.
func withSegment(file []byte, marker byte, body []byte) []byte {
	segment := append([]byte{0xff, marker, 0, 0}, body...)
	binary.BigEndian.PutUint16(segment[2:], uint16(len(body)+2))
	return bytes.Join([][]byte{file[:2], segment, file[2:]}, nil)
}

// render renders a file by Decode, in memory.
func render(t testing.TB, file []byte, box Box) image.Image {
	t.Helper()
	h, err := ReadHeader(file, manyPixels)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := h.Frame(box, true)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	img, err := p.Render(t.Context(), frame)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// difference returns the mean and the largest difference of two pictures'
// samples, with alpha premultiplied.
func difference(t testing.TB, a, b image.Image) (mean float64, most int) {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("sizes %v and %v", a.Bounds().Size(), b.Bounds().Size())
	}
	left, right := toRGBA(a), toRGBA(b)
	total := 0
	for i := range left.Pix {
		d := int(left.Pix[i]) - int(right.Pix[i])
		d = max(d, -d)
		total += d
		most = max(most, d)
	}
	return float64(total) / float64(len(left.Pix)), most
}

func like(t testing.TB, what string, got, want image.Image, mean float64, most int) {
	t.Helper()
	if m, largest := difference(t, got, want); m > mean || largest > most {
		t.Errorf("%s: differs by %.2f on average and %d at most, want %.2f and %d", what, m, largest, mean, most)
	}
}

// Each orientation, in each place that it is stored at, comes out upright.
func TestOrientations(t *testing.T) {
	t.Parallel()
	upright := scene(60, 40)
	want := render(t, encodePNG(t, upright), Box{Width: 30})
	for o := Upright; o <= Rotate270; o++ {
		stored := store(upright, o)
		little, big := exif(binary.LittleEndian, o), exif(binary.BigEndian, o)
		files := map[string][]byte{
			"jpeg, little-endian": withSegment(encodeJPEG(t, stored), 0xe1,
				append([]byte("Exif\x00\x00"), little...)),
			"jpeg, big-endian": withSegment(encodeJPEG(t, stored), 0xe1,
				append([]byte("Exif\x00\x00"), big...)),
			"png": withChunk(encodePNG(t, stored), "eXIf", big),
		}
		for name, file := range files {
			h, err := ReadHeader(file, manyPixels)
			if w, ht := h.Size(); err != nil || w != 60 || ht != 40 || h.Orientation != o {
				t.Errorf("%s, %d: %+v, %v", name, o, h, err)
			}
			like(t, fmt.Sprint(name, " ", o), render(t, file, Box{Width: 30}), want, 3, 25)
		}
	}
}

// store returns the picture that needs o to be upright, by the words of the
// standard: what its row 0 and column 0 are to the viewer.
func store(upright *image.NRGBA, o Orientation) *image.NRGBA {
	w, h := upright.Rect.Dx(), upright.Rect.Dy()
	stored := image.NewNRGBA(image.Rect(0, 0, w, h))
	if o.Transposes() {
		stored = image.NewNRGBA(image.Rect(0, 0, h, w))
	}
	for row := range stored.Rect.Dy() {
		for column := range stored.Rect.Dx() {
			var x, y int
			switch o {
			case 1: // top, left
				x, y = column, row
			case 2: // top, right
				x, y = w-1-column, row
			case 3: // bottom, right
				x, y = w-1-column, h-1-row
			case 4: // bottom, left
				x, y = column, h-1-row
			case 5: // left, top
				x, y = row, column
			case 6: // right, top
				x, y = w-1-row, column
			case 7: // right, bottom
				x, y = w-1-row, h-1-column
			case 8: // left, bottom
				x, y = row, h-1-column
			}
			stored.SetNRGBA(column, row, upright.NRGBAAt(x, y))
		}
	}
	return stored
}

func withChunk(file []byte, kind string, body []byte) []byte {
	const header = 8 + 25
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	chunk = append(append(chunk, kind...), body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crcOf(chunk[4:]))
	return bytes.Join([][]byte{file[:header], chunk, file[header:]}, nil)
}

// The resampler agrees with the one of x/image, which is slower.
func TestRenderLikeCatmullRom(t *testing.T) {
	t.Parallel()
	src := scene(320, 240)
	for _, size := range []image.Point{{320, 240}, {500, 450}, {250, 150}, {160, 120}, {100, 75}, {50, 37},
		{32, 24}, {17, 38}, {5, 4}, {1, 1}} {
		want := image.NewRGBA(image.Rectangle{Max: size})
		draw.CatmullRom.Scale(want, want.Rect, src, src.Rect, draw.Src, nil)
		for name, file := range map[string][]byte{"png": encodePNG(t, src), "jpeg": encodeJPEG(t, src)} {
			got := render(t, file, Box{size.X, size.Y, Fill})
			most := 3
			if name == "jpeg" {
				most = 12
			}
			if size.X < 10 {
				most = 20 // whole blocks are few
			}
			like(t, fmt.Sprint(name, size), got, want, 1.6, most)
		}
	}
}

// Each kind of pixels that the decoders bring comes out as it is.
func TestPixelKinds(t *testing.T) {
	t.Parallel()
	src := scene(120, 80)
	gray, gray16 := image.NewGray(src.Rect), image.NewGray16(src.Rect)
	deep := image.NewNRGBA64(src.Rect)
	clear := image.NewNRGBA(src.Rect)
	web := image.NewPaletted(src.Rect, palette())
	for _, to := range []draw.Image{gray, gray16, deep, clear, web} {
		draw.Draw(to, src.Rect, src, image.Point{}, draw.Src)
	}
	for i := range clear.Rect.Dx() * clear.Rect.Dy() {
		clear.Pix[4*i+3] = uint8(i % 120 * 2)
	}
	var packed bytes.Buffer
	if err := gif.Encode(&packed, web, nil); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		file []byte
		img  image.Image
	}{
		"gray": {encodePNG(t, gray), gray}, "gray16": {encodePNG(t, gray16), gray16},
		"deep": {encodePNG(t, deep), deep}, "alpha": {encodePNG(t, clear), clear},
		"palette": {encodePNG(t, web), web}, "gif": {packed.Bytes(), web},
		"gray jpeg": {encodeJPEG(t, gray), gray}, "cmyk jpeg": {cmykJPEG(t), nil},
	} {
		want := image.NewRGBA(image.Rect(0, 0, 50, 40))
		if test.img == nil {
			draw.Draw(want, want.Rect, image.NewUniform(color.CMYK{51, 204, 10, 0}), image.Point{}, draw.Src)
		} else {
			draw.CatmullRom.Scale(want, want.Rect, test.img, test.img.Bounds(), draw.Src, nil)
		}
		got := render(t, test.file, Box{50, 40, Fill})
		like(t, name, got, want, 1, 8)
		h, _ := ReadHeader(test.file, manyPixels)
		p, err := Decode(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []Format{JPEG, PNG} {
			var out bytes.Buffer
			if err := p.Encode(&out, got, format, 95); err != nil {
				t.Fatal(err)
			}
			again, kind, err := image.Decode(&out)
			if err != nil || kind != string(format) {
				t.Fatalf("%s as %s: %s, %v", name, format, kind, err)
			}
			if format == JPEG {
				like(t, name+" in jpeg", again, onWhite(toRGBA(got)), 3, 40)
			} else {
				like(t, name+" in png", again, got, 0.6, 2)
			}
		}
	}
}

func palette() color.Palette {
	var p color.Palette
	for i := range 216 {
		p = append(p, color.NRGBA{uint8(i / 36 * 51), uint8(i / 6 % 6 * 51), uint8(i % 6 * 51), 255})
	}
	return append(p, color.NRGBA{})
}

// An even surface stays exactly even, whatever the size.
func TestEvenStaysEven(t *testing.T) {
	t.Parallel()
	src := image.NewGray(image.Rect(0, 0, 401, 203))
	for i := range src.Pix {
		src.Pix[i] = 201
	}
	file := encodePNG(t, src)
	for size := 1; size < 500; size += 7 {
		for _, sample := range render(t, file, Box{size, size/2 + 1, Fill}).(*image.Gray).Pix {
			if sample != 201 {
				t.Fatalf("%d pixels wide: %d, want 201", size, sample)
			}
		}
	}
}

// A filter that overshoots at an edge leaves no colour brighter than its alpha.
func TestEdgeOfAlpha(t *testing.T) {
	t.Parallel()
	src := image.NewNRGBA(image.Rect(0, 0, 64, 8))
	for i := range 64 * 8 {
		c := color.NRGBA{255, 255, 255, uint8(100 + 100*(i%64/16%2))}
		if i%64/16%2 == 0 {
			c.R = 0
		}
		src.SetNRGBA(i%64, i/64, c)
	}
	overshot := render(t, encodePNG(t, src), Box{Width: 40}).(*image.RGBA)
	for i := 0; i < len(overshot.Pix); i += 4 {
		if p := overshot.Pix[i : i+4]; p[0] > p[3] || p[1] > p[3] || p[2] > p[3] {
			t.Fatalf("pixel %d is %v", i/4, p)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	file := encodePNG(t, scene(64, 64))
	h, err := ReadHeader(file, manyPixels)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := Decode(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := Decode(ctx, h); !errors.Is(err, cause) {
		t.Errorf("decode: %v", err)
	}
	if _, err := p.Render(ctx, Frame{Width: 8, Height: 8, W: 64, H: 64}); !errors.Is(err, cause) {
		t.Errorf("render: %v", err)
	}
}
