package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]error{
		"":                                   ErrCorrupt,
		"\x00\x01\x02\x03\x04\x05\x06\x07":   ErrCorrupt,
		"Dear reader,":                       ErrFormat,
		"<svg xmlns=":                        ErrFormat,
		"%PDF-1.7":                           ErrFormat,
		"BM\x00\x00":                         ErrFormat,
		"II*\x00":                            ErrFormat,
		"\x00\x00\x00\x18ftypheic":           ErrFormat,
		"\x00\x00\x00\x0cJXL \r\n":           ErrFormat,
		"PK\x03\x04":                         ErrFormat,
		"\xff\xd8\xff\xe0":                   nil,
		"GIF89a":                             nil,
		"RIFF\x00\x00\x00\x00WEBPVP8 ":       nil,
		"\x89PNG\r\n\x1a\n":                  nil,
		"RIFF\x00\x00\x00\x00WAVE":           ErrFormat,
		"II*":                                ErrFormat, // as text
		"\xff\xd8":                           ErrCorrupt,
		"\x1f\x8b\x08\x00":                   ErrFormat,
		strings.Repeat("\x00", 600) + "text": ErrCorrupt,
	} {
		if _, err := Sniff([]byte(head)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", head, err, want)
		}
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		width, height int
		box           Box
		enlarge       bool
		want          Frame
	}{
		{4000, 3000, Box{800, 800, Contain}, false, Frame{800, 600, 0, 0, 4000, 3000}},
		{4000, 3000, Box{800, 0, Contain}, false, Frame{800, 600, 0, 0, 4000, 3000}},
		{4000, 3000, Box{0, 300, Cover}, false, Frame{400, 300, 0, 0, 4000, 3000}},
		{4000, 3000, Box{300, 300, Cover}, false, Frame{300, 300, 500, 0, 3000, 3000}},
		{3000, 4000, Box{300, 300, Cover}, false, Frame{300, 300, 0, 500, 3000, 3000}},
		{4000, 3000, Box{100, 900, Fill}, false, Frame{100, 900, 0, 0, 4000, 3000}},
		{100, 50, Box{800, 800, Contain}, false, Frame{100, 50, 0, 0, 100, 50}},
		{100, 50, Box{800, 800, Contain}, true, Frame{800, 400, 0, 0, 100, 50}},
		{100, 50, Box{200, 200, Cover}, false, Frame{50, 50, 25, 0, 50, 50}},
		{100, 50, Box{200, 200, Cover}, true, Frame{200, 200, 25, 0, 50, 50}},
		{100, 50, Box{200, 100, Fill}, false, Frame{100, 50, 0, 0, 100, 50}},
		{100, 50, Box{0, 500, Fill}, false, Frame{100, 50, 0, 0, 100, 50}},
		{10000, 1, Box{10, 10, Contain}, false, Frame{10, 1, 0, 0, 10000, 1}},
		{1000, 667, Box{333, 222, Contain}, false, Frame{333, 222, 0, 0, 1000, 667}},
	}
	for _, test := range tests {
		h := Header{Width: test.width, Height: test.height, Orientation: Upright}
		got, err := h.Frame(test.box, test.enlarge)
		if err != nil || got != test.want {
			t.Errorf("%d×%d in %v: %+v, %v, want %+v", test.width, test.height, test.box, got, err, test.want)
		}
		// The same, stored on its side.
		h = Header{Width: test.height, Height: test.width, Orientation: Rotate90}
		if got, err := h.Frame(test.box, test.enlarge); err != nil || got != test.want {
			t.Errorf("%d×%d on its side in %v: %+v, %v, want %+v", test.width, test.height, test.box, got,
				err, test.want)
		}
	}
	for _, box := range []Box{{}, {-1, 5, Cover}, {5, 5, "squeeze"}} {
		if _, err := (Header{Width: 1, Height: 1}).Frame(box, false); err == nil {
			t.Errorf("%v: no error", box)
		}
	}
}

// A header that lies about its size costs no memory.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	file := encodeJPEG(t, scene(16, 16))
	at := bytes.Index(file, []byte{0xff, 0xc0})
	for range 4 {
		copy(file[at+5:], "\xff\xff\xff\xff") // height, width
	}
	if _, err := ReadHeader(file, manyPixels); !errors.Is(err, ErrTooLarge) &&
		!errors.Is(err, ErrUnsupported) {
		t.Errorf("65535×65535: %v", err)
	}
	copy(file[at:], "\xff\xc2") // progressive: five bytes a sample
	file[at+11] = 0x11          // colour in full resolution
	copy(file[at+5:], "\x1f\x40\x1f\x40")
	h, err := ReadHeader(file, 100_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(t.Context(), h); !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("64 million pixels, progressive: %v", err)
	}
}

// A GIF's first image may be smaller than its canvas.
func TestGIFCanvas(t *testing.T) {
	t.Parallel()
	small := image.NewPaletted(image.Rect(10, 5, 20, 10), palette())
	for i := range small.Pix {
		small.Pix[i] = 215 // white
	}
	var file bytes.Buffer
	err := gif.EncodeAll(&file, &gif.GIF{Image: []*image.Paletted{small}, Delay: []int{0},
		Config: image.Config{Width: 40, Height: 20, ColorModel: palette()}})
	if err != nil {
		t.Fatal(err)
	}
	got := render(t, file.Bytes(), Box{Width: 40}).(*image.RGBA)
	inside, outside := got.RGBAAt(15, 7), got.RGBAAt(30, 15)
	if got.Rect.Dx() != 40 || got.Rect.Dy() != 20 || inside.R < 250 || inside.A != 255 || outside.A != 0 {
		t.Errorf("%v, inside %v, outside %v", got.Rect, inside, outside)
	}
}

// A colour profile that goes with the pixels is kept; all else is left out.
func TestProfile(t *testing.T) {
	t.Parallel()
	rgb := profileOf(displayP3, 2.2)
	cmyk := bytes.Replace(rgb, []byte("RGB "), []byte("CMYK"), 1)
	sRGB := profileOf(plainRGB, 0)
	near := profileOf(plainRGB, 1.8) // the right primaries, another curve
	cut := append([]byte{}, rgb...)
	binary.BigEndian.PutUint32(cut, uint32(len(cut)+1))
	lost := append([]byte{}, rgb...)
	binary.BigEndian.PutUint32(lost[profileHeader+8:], uint32(len(lost)-4)) // a tag beyond the end
	segment := func(icc []byte) []byte { return append([]byte("ICC_PROFILE\x00\x01\x01"), icc...) }
	photo := encodeJPEG(t, scene(20, 20))
	packed := pngProfile(rgb)
	for name, test := range map[string]struct {
		file []byte
		want []byte
	}{
		"jpeg":         {withSegment(photo, 0xe2, segment(rgb)), rgb},
		"png":          {withChunk(encodePNG(t, scene(20, 20)), "iCCP", packed[8:len(packed)-4]), rgb},
		"another kind": {withSegment(photo, 0xe2, segment(cmyk)), nil},
		"half of it":   {withSegment(photo, 0xe2, append([]byte("ICC_PROFILE\x00\x01\x02"), rgb...)), nil},
		"none":         {photo, nil},
		"sRGB":         {withSegment(photo, 0xe2, segment(sRGB)), nil},
		"nearly sRGB":  {withSegment(photo, 0xe2, segment(near)), near},
		"cut":          {withSegment(photo, 0xe2, segment(cut)), nil},
		"a tag lost":   {withSegment(photo, 0xe2, segment(lost)), nil},
	} {
		h, err := ReadHeader(test.file, manyPixels)
		if err != nil {
			t.Fatal(err)
		}
		if damaged := name == "half of it" || name == "cut" ||
			name == "a tag lost"; slices.Contains(h.Warnings, warnProfile) != damaged {
			t.Errorf("%s: warnings %q", name, h.Warnings)
		}
		p, err := Decode(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []Format{JPEG, PNG} {
			var out bytes.Buffer
			if err := p.Encode(&out, p.img, format, 80); err != nil {
				t.Fatal(err)
			}
			got, err := ReadHeader(out.Bytes(), manyPixels)
			if err != nil || !bytes.Equal(got.icc, test.want) {
				t.Errorf("%s to %s: %d bytes of profile, %v, want %d", name, format, len(got.icc), err,
					len(test.want))
			}
		}
	}
}

func FuzzHeader(f *testing.F) {
	var packed bytes.Buffer
	if err := gif.Encode(&packed, image.NewPaletted(image.Rect(0, 0, 3, 2), palette()), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(packed.Bytes())
	f.Add(encodePNG(f, scene(5, 4)))
	f.Add(withSegment(encodeJPEG(f, scene(5, 4)), 0xe1,
		append([]byte("Exif\x00\x00"), exif(binary.LittleEndian, 6)...)))
	f.Add(withSegment(encodeJPEG(f, scene(5, 4)), 0xe2, []byte("ICC_PROFILE\x00\x01\x01abc")))
	f.Add(cmykJPEG(f))
	for name := range webpSamples {
		f.Add(webpSample(f, name))
	}
	reports, err := filepath.Glob(filepath.Join("testdata", "reports", "*"))
	if err != nil || len(reports) == 0 {
		f.Fatal(reports, err)
	}
	for _, name := range reports {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadHeader(data, 10_000)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTooLarge) &&
				!errors.Is(err, ErrUnsupported) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if w, ht := h.Size(); w < 1 || ht < 1 || w*ht > 10_000 || h.Orientation < Upright ||
			h.Orientation > Rotate270 {
			t.Fatalf("%+v", h)
		}
		// What the other way gets says the same, in a sound file of its own.
		if h.parts.canvas == nil {
			again, err := ReadHeader(bytes.Join(h.forVips(), nil), 10_000)
			if err != nil || again.Width != h.Width || again.Height != h.Height ||
				again.Orientation != h.Orientation ||
				!bytes.Equal(again.icc, h.icc) ||
				slices.ContainsFunc(again.Warnings, func(w string) bool {
					return w != warnChecksum && w != warnEnd
				}) {
				t.Fatalf("%+v becomes %+v, %v", h, again, err)
			}
		}
		p, err := Decode(t.Context(), h)
		if err != nil {
			return
		}
		frame, err := h.Frame(Box{7, 5, Cover}, true)
		if err != nil {
			t.Fatal(err)
		}
		if img, err := p.Render(t.Context(), frame); err != nil || img.Bounds() != image.Rect(0, 0, 7, 5) {
			t.Fatalf("%+v: %v", h, err)
		}
		webpBare(data)
	})
}

func FuzzOrientation(f *testing.F) {
	for o := range Orientation(10) {
		f.Add(exif(binary.LittleEndian, o))
		f.Add(exif(binary.BigEndian, o))
	}
	far := exif(binary.BigEndian, 3)
	binary.BigEndian.PutUint32(far[4:], math.MaxUint32)
	f.Add(far)
	f.Fuzz(func(t *testing.T, tiff []byte) {
		if o := tiffOrientation(tiff); o < Upright || o > Rotate270 {
			t.Fatal(o)
		}
	})
}

func FuzzProfile(f *testing.F) {
	f.Add(profileOf(displayP3, 2.2))
	f.Add(profileOf(plainRGB, 0))
	f.Add(profileOf(plainRGB, 1))
	f.Fuzz(func(t *testing.T, icc []byte) {
		p := parts{icc: icc, profiled: true, space: spaceRGB}
		if kept := p.profile(); kept != nil && (len(p.warnings) > 0 || profileTags(kept) == nil) {
			t.Fatalf("%q is kept", kept)
		}
	})
}
