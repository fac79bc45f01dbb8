package handlers_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"longshore/job"
)

// report reads one of the files that were once read wrongly. Each shows 64×48
// pixels: red, green, blue and white in its quarters.
func report(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "internal", "imaging", "testdata", "reports", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// quarters are the colours that reports show.
var quarters = [4]color.RGBA{{220, 30, 30, 255}, {30, 200, 30, 255}, {30, 30, 220, 255}, {240, 240, 240, 255}}

// shows checks the size and the colours in the middle of each quarter.
func shows(t *testing.T, img image.Image, width, height int, want [4]color.RGBA) {
	t.Helper()
	if size := img.Bounds().Size(); size != image.Pt(width, height) {
		t.Errorf("%v pixels, want %d×%d", size, width, height)
		return
	}
	for i, w := range want {
		c := color.RGBAModel.Convert(img.At(width/4+i%2*width/2, height/4+i/2*height/2)).(color.RGBA)
		for _, d := range []int{int(c.R) - int(w.R), int(c.G) - int(w.G), int(c.B) - int(w.B),
			int(c.A) - int(w.A)} {
			if d < -24 || d > 24 {
				t.Errorf("quarter %d is %v, want %v", i, c, w)
				break
			}
		}
	}
}

func pngOf(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for i := range 64 * 48 {
		img.SetRGBA(i%64, i/64, quarters[i%64/32+i/64/24*2])
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// chunk makes a PNG chunk; its checksum is off by add.
func chunk(name string, body []byte, add uint32) []byte {
	c := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), name...)
	c = append(c, body...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:])+add)
}

// behindHead puts bytes behind a PNG's IHDR.
func behindHead(file, piece []byte) []byte { return slices.Concat(file[:33], piece, file[33:]) }

// restarts changes the numbers of a JPEG's restart markers.
func restarts(file []byte, number func(int) byte) []byte {
	file = bytes.Clone(file)
	n := 0
	for i := bytes.Index(file, []byte{0xff, 0xda}); i+1 < len(file); i++ {
		if file[i] == 0xff && file[i+1]&0xf8 == 0xd0 {
			file[i+1] = 0xd0 | number(n)&7
			n++
		}
	}
	return file
}

type damaged struct {
	name    string
	file    []byte
	warning string // a piece of it; "" = there is none
}

// What costs no pixel is mended on both ways, with a word about it, and what is
// legal has none. Strict jobs refuse what would have a word.
func TestImageDamage(t *testing.T) {
	whole, restart := pngOf(t), report(t, "restart.jpg")
	flipped := bytes.Clone(whole)
	at := bytes.Index(flipped, []byte("IDAT"))
	size := int(binary.BigEndian.Uint32(flipped[at-4:]))
	pixels := flipped[at+4 : at+4+size]
	other := bytes.Clone(pixels)
	copy(other[size-4:], "abcd") // the checksum over the pixels
	rebuilt := func(pieces ...[]byte) []byte {
		return slices.Concat(append([][]byte{whole[:33]}, pieces...)...)
	}
	end := chunk("IEND", nil, 0)
	tests := []damaged{
		{"profile's checksum", report(t, "iccp-crc.png"), "checksum"},
		{"text's checksum", behindHead(whole, chunk("tEXt", []byte("a\x00b"), 1)), "checksum"},
		{"gamma's checksum", behindHead(whole, chunk("gAMA", []byte{0, 0, 0, 1}, 7)), "checksum"},
		{"orientation's checksum",
			behindHead(whole,
				chunk("eXIf",
					[]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"),
					1)), "checksum"},
		{"pixels' checksum", rebuilt(chunk("IDAT", pixels, 1), end), "checksum"},
		{"checksum over the pixels", rebuilt(chunk("IDAT", other, 0), end), ""},
		{"no checksum over the pixels", rebuilt(chunk("IDAT", pixels[:size-4], 0), end), ""},
		{"no end of the PNG", rebuilt(chunk("IDAT", pixels, 0)), "end"},
		{"text with a right checksum", behindHead(whole, chunk("tEXt", []byte("a\x00b"), 0)), ""},
		{"restart markers all 0", restarts(restart, func(int) byte { return 0 }), "restart"},
		{"restart markers from 3 on", restarts(restart, func(n int) byte { return byte(n + 3) }), "restart"},
		{"one restart marker", restarts(restart, func(n int) byte { return byte(n + 4*(n&1)) }), "restart"},
		{"restart markers", restart, ""},
		{"no end of the JPEG", restart[:len(restart)-2], "end"},
		{"no end of the JPEG, restart markers",
			restarts(restart, func(int) byte { return 5 })[:len(restart)-2], "restart"},
		{"stray bytes in the JPEG's header", slices.Concat(restart[:20], []byte{1, 2, 3}, restart[20:]),
			"stray"},
		{"fill bytes in the JPEG's header", slices.Concat(restart[:2], []byte{0xff, 0xff, 0xff}, restart[2:]), ""},
		{"bytes behind the JPEG", slices.Concat(restart, []byte("and more")), ""},
		{"profile cut", report(t, "icc-cut.jpg"), "profile"},
	}
	for screen, warning := range map[image.Point]string{{40, 48}: "canvas", {64, 30}: "canvas", {}: "canvas",
		{64, 48}: ""} {
		tests = append(tests, damaged{fmt.Sprint("GIF on ", screen), gifWith(screen, image.Rect(0, 0, 64, 48),
			64*48), warning})
	}
	bothWays(t, func(t *testing.T, _ bool) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				result, outputs := succeed(t, "image.resize", `{"width":32,"format":"png"}`, test.file)
				warnings := fmt.Sprint(result["warnings"])
				if test.warning == "" && result["warnings"] != nil ||
					!strings.Contains(warnings, test.warning) {
					t.Errorf("warnings %s, want %q", warnings, test.warning)
				}
				for _, data := range outputs {
					img, _ := decode(t, data)
					shows(t, img, 32, 24, quarters)
				}
				if test.warning == "" {
					succeed(t, "image.resize", `{"width":32,"strict":true}`, test.file)
				} else {
					fail(t, "image.resize", `{"width":32,"strict":true}`, test.file, job.CorruptInput)
				}
			})
		}
	})
}

// gifWith makes a GIF of pixels in the quarters' colours.
func gifWith(screen image.Point, frame image.Rectangle, pixels int) []byte {
	word := func(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
	g := slices.Concat([]byte("GIF89a"), word(screen.X), word(screen.Y), []byte{0x81, 0, 0})
	for _, c := range quarters {
		g = append(g, c.R, c.G, c.B)
	}
	size := frame.Size()
	g = slices.Concat(g, []byte{','}, word(frame.Min.X), word(frame.Min.Y), word(size.X), word(size.Y),
		[]byte{0, 2})
	// Two pixels of three bits, then code 4 to begin anew.
	var packed []byte
	bits, n := uint32(0), 0
	put := func(code int) {
		bits, n = bits|uint32(code)<<n, n+3
		for ; n >= 8; n, bits = n-8, bits>>8 {
			packed = append(packed, byte(bits))
		}
	}
	for i := range pixels {
		if i%2 == 0 {
			put(4)
		}
		x, y := i%size.X, i/size.X
		put(min(2*x/size.X+2*y/size.Y*2, 3))
	}
	put(5)
	put(0)
	put(0)
	for len(packed) > 0 {
		block := packed[:min(255, len(packed))]
		g = append(append(g, byte(len(block))), block...)
		packed = packed[len(block):]
	}
	return append(g, 0, ';')
}

// Pixels that a GIF lacks are transparent, as in a browser; a file that ends
// before its pixels do is refused, and so are pixels that no checksum vouches for.
func TestImageMissingPixels(t *testing.T) {
	frame := image.Rect(0, 0, 64, 48)
	half := gifWith(image.Pt(64, 48), frame, 64*24)
	whole := pngOf(t)
	at := bytes.Index(whole, []byte("IDAT"))
	size := int(binary.BigEndian.Uint32(whole[at-4:]))
	wrong := bytes.Clone(whole[at+4 : at+4+size])
	wrong[size/2] ^= 0x55
	bothWays(t, func(t *testing.T, _ bool) {
		result, outputs := succeed(t, "image.resize", `{"width":32,"format":"png"}`, half)
		img, _ := decode(t, outputs["32x24.png"])
		shows(t, img, 32, 24, [4]color.RGBA{quarters[0], quarters[1]})
		if !strings.Contains(fmt.Sprint(result["warnings"]), "missing") {
			t.Errorf("warnings %v", result["warnings"])
		}
		more := gifWith(image.Pt(64, 48), frame, 64*50)
		if result, _ := succeed(t, "image.resize", `{"width":32}`,
			more); !strings.Contains(fmt.Sprint(result["warnings"]), "more pixels") {
			t.Errorf("warnings %v", result["warnings"])
		}
		fail(t, "image.resize", `{"width":32}`, half[:len(half)/2], job.CorruptInput)
		for _, name := range []string{"restart.jpg", "srgb-profile.jpg", "frame-larger.gif",
			"chroma-ok.jpg"} {
			file := report(t, name)
			fail(t, "image.resize", `{"width":32}`, file[:len(file)*3/4], job.CorruptInput)
		}
		fail(t, "image.resize", `{"width":32}`, report(t, "first-frame-half.webp")[:150], job.CorruptInput)
		fail(t, "image.resize", `{"width":32}`, slices.Concat(whole[:33], chunk("IDAT", wrong, 1),
			chunk("IEND", nil, 0)), job.CorruptInput)
	})
}

// What Go's decoder can't read is vipsthumbnail's to decide; without it the
// error names what is missing.
func TestImageUnread(t *testing.T) {
	for _, name := range []string{"chroma-1x1-1x2.jpg", "chroma-1x4.jpg", "chroma-2x1-1x2.jpg",
		"chroma-3x1.jpg", "arithmetic.jpg", "arithmetic-progressive.jpg"} {
		file := report(t, name)
		bothWays(t, func(t *testing.T, vips bool) {
			for _, payload := range []string{`{"width":32,"strict":true}`,
				`{"sizes":[{"width":32},{"width":16},{"width":8},{"width":4}],"format":"png"}`} {
				if !vips {
					err := fail(t, "image.resize", payload, file, job.Unsupported)
					if !strings.Contains(err.Error(), "vipsthumbnail") {
						t.Errorf("%s: %v does not say what is missing", name, err)
					}
					continue
				}
				result, outputs := succeed(t, "image.resize", payload, file)
				for output, data := range outputs {
					if strings.HasPrefix(output, "32x") {
						img, _ := decode(t, data)
						shows(t, img, 32, 24, quarters)
					}
				}
				if result["warnings"] != nil {
					t.Errorf("%s: %v", name, result["warnings"])
				}
			}
		})
	}
}

// Damage within a JPEG's pixels is shown as libjpeg goes on behind it, where
// that is there, with a warning; strict jobs refuse it.
func TestImageDamagedPixels(t *testing.T) {
	file := report(t, "restart.jpg")
	scan := bytes.Index(file, []byte{0xff, 0xda}) + 14
	for i, change := range []func([]byte){
		func(f []byte) { f[scan+30] ^= 0x55 },
		func(f []byte) { copy(f[scan+40:], "\xff\xd1\xff\xd2") },
		func(f []byte) { clear(f[scan+20 : scan+40]) },
	} {
		damaged := bytes.Clone(file)
		change(damaged)
		bothWays(t, func(t *testing.T, vips bool) {
			fail(t, "image.resize", `{"width":32,"strict":true}`, damaged, job.CorruptInput)
			if !vips {
				fail(t, "image.resize", `{"width":32}`, damaged, job.CorruptInput)
				return
			}
			for _, payload := range []string{`{"width":32}`,
				`{"sizes":[{"width":32},{"width":16},{"width":8}]}`, `{"width":32,"format":"webp"}`} {
				result, outputs := succeed(t, "image.resize", payload, damaged)
				if !strings.Contains(fmt.Sprint(result["warnings"]), "damaged in places") ||
					len(outputs) == 0 {
					t.Errorf("%d, %s: warnings %v, %d outputs", i, payload, result["warnings"], len(outputs))
				}
			}
		})
	}
}

// One look on both ways: turns that browsers don't follow, canvases, CMYK.
func TestImageOneLook(t *testing.T) {
	bothWays(t, func(t *testing.T, vips bool) {
		for _, name := range []string{"orientation-long.jpg", "orientation-count2.jpg", "cmyk-no-adobe.jpg",
			"srgb-profile.jpg", "frame-larger.gif"} {
			for _, format := range []string{"png", "webp"} {
				if format == "webp" && !vips {
					continue
				}
				_, outputs := succeed(t, "image.resize", `{"width":32,"format":"`+format+`"}`,
					report(t, name))
				for output, data := range outputs {
					t.Run(name+" to "+output, func(t *testing.T) {
						if format == "webp" {
							if bytes.Contains(data, []byte("ICCP")) || len(data) > 1000 {
								t.Errorf("%d bytes, a profile or more is in them", len(data))
							}
							_, again := succeed(t, "image.resize", `{"width":32,"format":"png"}`, data)
							data = again["32x24.png"]
						}
						img, _ := decode(t, data)
						shows(t, img, 32, 24, quarters)
					})
				}
			}
		}
		_, outputs := succeed(t, "image.resize", `{"width":32,"format":"png"}`,
			report(t, "first-frame-half.webp"))
		img, _ := decode(t, outputs["32x12.png"])
		for x, opaque := range map[int]bool{4: true, 12: true, 20: false, 28: false} {
			if _, _, _, a := img.At(x, 6).RGBA(); (a > 0) != opaque {
				t.Errorf("at %d the alpha is %d", x, a)
			}
		}
	})
}
