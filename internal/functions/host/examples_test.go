package host

import (
	"bytes"
	"compress/gzip"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exampleOf is an example's folder. The test is skipped without the programs that it needs.
func exampleOf(t *testing.T, typ string, needs ...string) string {
	t.Helper()
	for _, need := range needs {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip("needs ", need)
		}
	}
	folder, err := filepath.Abs(filepath.Join("..", "..", "..", "examples", "functions", typ))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestExampleThumbnail runs the example in Python on an image, and on what is none.
func TestExampleThumbnail(t *testing.T) {
	t.Parallel()
	folder := exampleOf(t, "thumbnail.make", "python3", "vipsthumbnail")
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewNRGBA(image.Rect(0, 0, 400, 300))); err != nil {
		t.Fatal(err)
	}
	r := tryIn(t, folder, nil, withInput(t, picture.String()), func(l *Local) {
		l.Payload = []byte(`{"size": 100}`)
	})
	small, err := jpeg.DecodeConfig(strings.NewReader(r.output("thumbnail.jpg")))
	if r.Err != nil || err != nil || small.Width != 100 || small.Height != 75 ||
		!strings.HasPrefix(string(r.Result), `{"bytes": `) {
		t.Errorf("%s, %d × %d (%v), result %s, log %q", r.verdict(), small.Width, small.Height, err, r.Result,
			r.log)
	}
	r = tryIn(t, folder, nil, withInput(t, "hello"))
	if got := r.verdict(); !strings.HasPrefix(got, "handler_error! exit status 65: not an image") {
		t.Errorf("%s, log %q", got, r.log)
	}
}

// TestExamplePack runs the example of a long stream: what comes out is what went in, and
// its progress is told on the way.
func TestExamplePack(t *testing.T) {
	t.Parallel()
	folder := exampleOf(t, "log.pack", "gzip", "dd")
	text := strings.Repeat("a line of a log\n", 600_000) // 9.6 MB: three pieces
	r := tryIn(t, folder, nil, withInput(t, text))
	if r.Err != nil || r.counts.Note != "9 MiB" || r.counts.Done != int64(len(text)) ||
		r.counts.Total != r.counts.Done {
		t.Errorf("%s, %+v, log %q", r.verdict(), r.counts, r.log)
	}
	unpack, err := gzip.NewReader(strings.NewReader(r.output("packed.gz")))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := io.ReadAll(unpack); err != nil || string(back) != text {
		t.Errorf("%d bytes came back of %d, %v", len(back), len(text), err)
	}
}

// TestExampleInvoice runs the example in Node: a page from a template, in which a customer's name
// is text and nothing else.
func TestExampleInvoice(t *testing.T) {
	t.Parallel()
	folder := exampleOf(t, "invoice.render", "node")
	r := tryIn(t, folder, nil, func(l *Local) {
		l.Payload = []byte(`{"number": 7, "customer": "<b>Ada</b> {{total}}",
			"lines": [{"text": "tea", "cents": 450, "count": 2}, {"text": "a cup", "cents": 105}]}`)
	})
	page := r.output("invoice-7.html")
	if r.Err != nil || string(r.Result) != `{"number":7,"cents":1005}` || r.counts.Note != "line 2" ||
		!r.logged("INFO invoice 7 has 2 lines") {
		t.Errorf("%s, result %s, %+v, log %q", r.verdict(), r.Result, r.counts, r.log)
	}
	for _, want := range []string{"<h1>Invoice 7</h1>", "&#60;b&#62;Ada&#60;/b&#62; {{total}}",
		"<td>10.05</td>",
		"<td>tea</td><td>2</td><td>9.00</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
}
