package imaging

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/draw"
	"strings"
	"testing"
)

// The same picture of 32×16 pixels in four kinds of WebP: red, green, blue,
// black in its quarters; where there is alpha, the right half is clear. The
// animation begins with it.
var webpSamples = map[string]string{
	"lossy": "UklGRlwAAABXRUJQVlA4WAoAAAAAAAAAHwAADwAAVlA4ID4AAABwAgCdASogABAAAoBCJaACdLwJ4B+EH43ARiAAAP7ycb//zWv/8J2ieP+t3/72" +
		"B7s2fFw//75ovByNdpAAAA==",
	"lossy, alpha": "UklGRngAAABXRUJQVlA4WAoAAAAQAAAAHwAADwAAQUxQSBMAAAABDzD/ERFCIJDkLz3AAhH9j+IFAFZQOCA+AAAAcAIAnQEqIAAQAAKAQiWg" +
		"AnS8CeAfhB+NwEYgAAD+8nG//81r//Cdonj/rd/+9ge7NnxcP/++aLwcjXaQAAA=",
	"lossless, alpha": "UklGRkAAAABXRUJQVlA4WAoAAAAQAAAAHwAADwAAVlA4TCEAAAAvH8ADEBcQ8y8gKPJ/tPkP+EAgQJg0adVARP+jCuBTfQEA",
	"animation": "UklGRhYBAABXRUJQVlA4WAoAAAACAAAAHwAADwAAQU5JTQYAAAD/////AABBTk1GcAAAAAAAAAAAAB8AAA8AAGQAAAJWUDggWAAAADAEAJ0BKiAA" +
		"EAAuhVqtVr+nJycfgIRLYATpeBPIPwl/FV0IAR92JHtQAAD+8i2f/81r/+RDvJ4p8l/FnamP/vHDZBRip69udDjfpr1uY7bwkjsruVK0AABBTk1GcgAA" +
		"AAAAAAAAAB8AAA8AAGQAAABWUDggWgAAANQDAJ0BKiAAEAA+tUqhSYMAgAABaJbACdL1JsA/AB0LwWK1ixNGAAD+DMT/Q8gfmul4//r184qFJuv/3e+l" +
		"tJCisngSf/aGlmb2U1/CpRTTSlj/lCVv+JsIAA==",
}

func webpSample(t testing.TB, name string) []byte {
	t.Helper()
	file, err := base64.StdEncoding.DecodeString(webpSamples[name])
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// WebP's colours come out full: what it stores is a narrower range.
func TestWebP(t *testing.T) {
	t.Parallel()
	for name := range webpSamples {
		got := toRGBA(render(t, webpSample(t, name), Box{Width: 32}))
		for i, want := range []color.RGBA{{255, 0, 0, 255}, {0, 200, 0, 255}, {0, 0, 255, 255},
			{0, 0, 0, 255}} {
			if i%2 == 1 && strings.Contains(name, "alpha") {
				want = color.RGBA{}
			}
			middle := image.Rect(6, 3, 10, 5).Add(image.Pt(i%2*16, i/2*8))
			like(t, name, got.SubImage(middle), even(want, middle), 10, 25)
		}
	}
}

func even(c color.Color, rect image.Rectangle) image.Image {
	img := image.NewRGBA(rect)
	draw.Draw(img, rect, image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

func TestWebPBare(t *testing.T) {
	t.Parallel()
	file := webpSample(t, "lossy")
	file[20] = 1<<3 | 1<<2 // there is Exif and XMP
	whole := bytes.Join([][]byte{file, []byte("EXIF\x03\x00\x00\x00abc\x00"),
		[]byte("XMP \x02\x00\x00\x00de")}, nil)
	if got, want := webpBare(whole), webpSample(t, "lossy"); !bytes.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	like(t, "bare", render(t, webpBare(whole), Box{Width: 32}), render(t, whole, Box{Width: 32}), 0, 0)
	for cut := range whole {
		webpBare(whole[:cut]) // does not panic
	}
}
