package imaging

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/internal/tooltest"
)

// quartered is a picture of 64×48 pixels: red, green, blue, white.
func quartered() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for i := range 64 * 48 {
		x, y := i%64, i/64
		img.SetRGBA(x, y, [4]color.RGBA{{220, 30, 30, 255}, {30, 200, 30, 255}, {30, 30, 220, 255},
			{240, 240, 240, 255}}[x/32+y/24*2])
	}
	return img
}

// exifValue is Exif data with an orientation as it should not be written.
func exifValue(order binary.AppendByteOrder, kind uint16, count uint32, o int) []byte {
	tiff := exif(order, Upright)
	value := map[uint16][]byte{1: {byte(o)}, 3: order.AppendUint16(nil, uint16(o)),
		4: order.AppendUint32(nil, uint32(o)), 9: order.AppendUint32(nil, uint32(o))}[kind]
	const entryAt = 10
	entry := order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, orientationTag), kind), count)
	entry = append(append(entry, value...), make([]byte, 4-len(value))...)
	copy(tiff[entryAt:], entry)
	return tiff
}

// riff makes a WebP file of chunks.
func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffChunk(id string, body []byte) []byte {
	return slices.Concat(riffHead(id, body), body, make([]byte, len(body)%2))
}

func extended(flags byte, width, height int) []byte {
	w, h := width-1, height-1
	return riffChunk("VP8X", []byte{flags, 0, 0, 0, byte(w), byte(w >> 8), 0, byte(h), byte(h >> 8), 0})
}

// animation is a WebP whose first frame stands somewhere on a canvas.
func animation(pixels []byte, size image.Point, width, height, x, y int) []byte {
	frame := []byte{byte(x / 2), 0, 0, byte(y / 2), 0, 0, byte(size.X - 1), 0, 0, byte(size.Y - 1), 0, 0, 100,
		0, 0, 2}
	return riff(extended(2|webpAlphaFlag, width, height), riffChunk("ANIM", make([]byte, 6)),
		riffChunk("ANMF", append(frame, pixels...)))
}

// headers are files whose headers say one thing to one reader and another to
// the next.
func headers(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	photo, drawn := encodeJPEG(t, quartered()), encodePNG(t, quartered())
	orders := map[string]binary.AppendByteOrder{"II": binary.LittleEndian, "MM": binary.BigEndian}
	app1 := func(tiff []byte) []byte { return append([]byte(exifPrefix), tiff...) }
	behind := func(file []byte, chunk []byte) []byte {
		return slices.Concat(file[:len(file)-12], chunk, file[len(file)-12:])
	}
	for name, order := range orders {
		for _, kind := range []uint16{1, 3, 4, 9} {
			for _, count := range []uint32{1, 2} {
				for _, o := range []int{0, 3, 6, 9} {
					tiff := exifValue(order, kind, count, o)
					about := fmt.Sprintf("%s-type%d-count%d-o%d", name, kind, count, o)
					files["jpeg-"+about] = withSegment(photo, 0xe1, app1(tiff))
					if count == 1 {
						files["png-"+about] = withChunk(drawn, "eXIf", tiff)
					}
				}
			}
		}
		six, three := exif(order, Rotate90), exif(order, Rotate180)
		files["jpeg-twice-"+name] = withSegment(withSegment(photo, 0xe1, app1(three)), 0xe1, app1(six))
		scan := bytes.Index(photo, []byte{0xff, 0xda})
		files["jpeg-late-"+name] = slices.Concat(photo[:scan], withSegment([]byte{0xff, 0xd8}, 0xe1,
			app1(six))[2:], photo[scan:])
		files["png-behind-"+name] = behind(drawn, pngChunk("eXIf", six))
		files["png-twice-"+name] = withChunk(withChunk(drawn, "eXIf", three), "eXIf", six)
		files["png-prefix-"+name] = withChunk(drawn, "eXIf", app1(six))
		wrong := pngChunk("eXIf", six)
		wrong[len(wrong)-1]++
		files["png-checksum-"+name] = slices.Concat(drawn[:33], wrong, drawn[33:])
	}
	maps.Copy(files, webpHeaders(t))
	return files
}

func webpHeaders(t testing.TB) map[string][]byte {
	files := map[string][]byte{}
	six := exif(binary.BigEndian, Rotate90)
	size := image.Pt(32, 16)
	for _, name := range []string{"lossy", "lossy, alpha", "lossless, alpha"} {
		h, err := ReadHeader(webpSample(t, name), manyPixels)
		if err != nil {
			t.Fatal(err)
		}
		pixels := bytes.Join(h.parts.file, nil)
		var alpha byte
		if strings.Contains(name, "alpha") {
			alpha = webpAlphaFlag
		}
		for about, tiff := range map[string][]byte{"": six, ", prefix": append([]byte(exifPrefix), six...),
			", long": exifValue(binary.BigEndian, 4, 1, 6)} {
			files["webp, exif, "+name+about] = riff(extended(alpha|webpExifFlag, 32, 16), pixels,
				riffChunk("EXIF", tiff))
			files["webp, no flag, "+name+about] = riff(extended(alpha, 32, 16), pixels,
				riffChunk("EXIF", tiff))
		}
		files["webp, exif before, "+name] = riff(extended(alpha|webpExifFlag, 32, 16), riffChunk("EXIF", six),
			pixels)
		for _, at := range []image.Rectangle{image.Rect(0, 0, 32, 16), image.Rect(0, 0, 64, 16),
			image.Rect(32, 0, 64, 16), image.Rect(8, 4, 40, 60)} {
			files[fmt.Sprint("webp, canvas, ", name, at)] = animation(pixels, size, at.Max.X, at.Max.Y,
				at.Min.X, at.Min.Y)
		}
	}
	for _, name := range []string{"orientation-long.jpg", "orientation-count2.jpg", "first-frame-half.webp",
		"frame-larger.gif", "cmyk-no-adobe.jpg", "rst-number.jpg", "iccp-crc.png"} {
		file, err := os.ReadFile(filepath.Join("testdata", "reports", name))
		if err != nil {
			t.Fatal(err)
		}
		files["report, "+name] = file
	}
	return files
}

// A look is what a reader makes of a file: its size, and a place in each quarter,
// off the middle, where a canvas's parts may meet.
type look struct {
	width, height int
	colours       [4]color.NRGBA
}

func lookOf(img image.Image) look {
	l := look{width: img.Bounds().Dx(), height: img.Bounds().Dy()}
	for i := range l.colours {
		x, y := l.width*(3+8*(i%2))/16, l.height*(3+8*(i/2))/16
		l.colours[i] = color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	}
	return l
}

// turned is the look of a picture turned clockwise by a quarter.
func (l look) turned() look {
	c := l.colours
	return look{l.height, l.width, [4]color.NRGBA{c[2], c[0], c[3], c[1]}}
}

func (l look) like(other look) bool {
	if l.width != other.width || l.height != other.height {
		return false
	}
	for i, c := range l.colours {
		o := other.colours[i]
		if c.A != o.A {
			return false
		}
		for _, d := range []int{int(c.R) - int(o.R), int(c.G) - int(o.G), int(c.B) - int(o.B)} {
			if c.A > 0 && (d < -40 || d > 40) {
				return false
			}
		}
	}
	return true
}

// A browser, which has readers of its own, and both ways here see the same in
// every file: its size, its turn and its colours. Nothing is ever squeezed.
func TestReadersAgree(t *testing.T) {
	t.Parallel()
	files := headers(t)
	vips := FindVips()
	if vips == nil {
		tooltest.Missing(t, "vipsthumbnail on PATH")
	}
	browser := browserLooks(t, files)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h, err := ReadHeader(files[name], manyPixels)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := browser[name]
		if strings.HasPrefix(name, "webp, exif") && !strings.Contains(name, "long") {
			want = want.turned() // Chromium turns no WebP; the format means it, and others do
		}
		width, height := h.Size()
		frame, err := h.Frame(Box{Width: width}, false)
		if err != nil {
			t.Fatal(err)
		}
		ours := lookOf(render(t, files[name], Box{Width: width}))
		if ours.width != width || ours.height != height || !ours.like(want) {
			t.Errorf("%s: Go sees %v, the browser %v", name, ours, want)
		}
		// A sixth of the kinds is enough of the program, which takes its time.
		if !vips.Reads(h) || strings.HasPrefix(name, "jpeg-") && strings.Contains(name, "type") &&
			!strings.Contains(name, "o6") {
			continue
		}
		s, _ := open(t, vips, files[name])
		var out bytes.Buffer
		if err := s.Render(t.Context(), &out, frame, PNG, 0); err != nil {
			if name != "report, rst-number.jpg" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		img, err := png.Decode(&out)
		if err != nil {
			t.Fatal(err)
		}
		if its := lookOf(img); !its.like(want) {
			t.Errorf("%s: vipsthumbnail sees %v, the browser %v", name, its, want)
		}
	}
}

const browserPage = `<script>onload = () => {
	const all = [];
	for (const i of document.images) {
		const w = i.naturalWidth, h = i.naturalHeight, words = [i.alt, w, h];
		const canvas = document.createElement("canvas");
		canvas.width = w || 1; canvas.height = h || 1;
		const c = canvas.getContext("2d");
		if (w) c.drawImage(i, 0, 0);
		for (let q = 0; q < 4; q++)
			words.push(...c.getImageData(
				Math.floor(w*(3+8*(q%2))/16), Math.floor(h*(3+8*Math.floor(q/2))/16), 1, 1).data);
		all.push(words.join("|"));
	}
	document.body.innerHTML = "<pre>" + all.join("\n") + "</pre>";
}</script>`

// browserLooks has Chromium show all files on a page.
func browserLooks(t *testing.T, files map[string][]byte) map[string]look {
	t.Helper()
	chromium := tooltest.Path(t, "chromium")
	page := bytes.NewBufferString("<!doctype html><body>")
	for name, file := range files {
		format, err := Sniff(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(page, "<img alt=%q src=\"data:%s;base64,%s\">", name, format.ContentType(),
			base64.StdEncoding.EncodeToString(file))
	}
	page.WriteString(browserPage)
	folder := t.TempDir()
	where := filepath.Join(folder, "page.html")
	if err := os.WriteFile(where, page.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(folder, "profile"), "--dump-dom", "file://"+where)
	cmd.WaitDelay = 5 * time.Second
	dom, err := cmd.Output()
	found := regexp.MustCompile(`(?s)<pre>(.*)</pre>`).FindSubmatch(dom)
	if found == nil {
		t.Fatalf("the browser: %v: %.2000s", err, dom)
	}
	looks := map[string]look{}
	for line := range strings.Lines(string(found[1])) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		if len(fields) != 3+16 {
			t.Fatalf("the browser says %q", line)
		}
		var numbers [18]int
		for i, field := range fields[1:] {
			if _, err := fmt.Sscan(field, &numbers[i]); err != nil {
				t.Fatal(err)
			}
		}
		l := look{width: numbers[0], height: numbers[1]}
		for i := range l.colours {
			n := numbers[2+4*i:]
			l.colours[i] = color.NRGBA{uint8(n[0]), uint8(n[1]), uint8(n[2]), uint8(n[3])}
		}
		looks[fields[0]] = l
	}
	return looks
}
