package deployed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"longshore/internal/functions/registry"
)

// entry is one of an archive.
type entry struct {
	name string
	text string
	kind byte // 0 = a file
	link string
	mode int64
}

// packed makes a tar.gz.
func packed(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode | 0o600}
		if e.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(e.text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// declared is an archive that begins with a file of a size.
func declared(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	err := tar.NewWriter(zip).WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: size,
		Mode: 0o600})
	if err := errors.Join(err, zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpack(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	err := unpack(registry.KindArchive, bytes.NewReader(packed(t, entry{name: "./", kind: tar.TypeDir},
		entry{name: "./run", text: "#!/bin/sh\n", mode: 0o755}, entry{name: "a/b/c.txt", text: "c"})), folder)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"run": 0o555, "a/b/c.txt": 0o444} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestUnpackRefuses holds that nothing of a hostile archive gets out of the folder, and that
// who sent it is told why.
func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	whole := packed(t, entry{name: "run", text: strings.Repeat("x", 5000)})
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i] = entry{name: "d/", kind: tar.TypeDir}
	}
	for name, c := range map[string]struct {
		sent []byte
		why  string
	}{
		"up":          {packed(t, entry{name: "../out", text: "x"}), "leads out"},
		"up inside":   {packed(t, entry{name: "a/../../out", text: "x"}), "leads out"},
		"up and back": {packed(t, entry{name: "a/../b", text: "x"}), "leads out"},
		"absolute":    {packed(t, entry{name: "/tmp/out", text: "x"}), "absolute"},
		"link":        {packed(t, entry{name: "l", kind: tar.TypeSymlink, link: "/etc"}), "is a link"},
		"hard link":   {packed(t, entry{name: "l", kind: tar.TypeLink, link: "run"}), "is a link"},
		"FIFO":        {packed(t, entry{name: "f", kind: tar.TypeFifo}), "no plain file"},
		"device":      {packed(t, entry{name: "d", kind: tar.TypeChar}), "no plain file"},
		"twice":       {packed(t, entry{name: "a", text: "1"}, entry{name: "a", text: "2"}), "twice"},
		"file as folder": {packed(t, entry{name: "a", text: "1"}, entry{name: "a/b", text: "2"}),
			`entry "a/b"`},
		"backslash":    {packed(t, entry{name: `..\out`, text: "x"}), "can't be one"},
		"long name":    {packed(t, entry{name: strings.Repeat("n/", 600) + "n", text: "x"}), "over 1024"},
		"long element": {packed(t, entry{name: strings.Repeat("n", 300), text: "x"}), `entry "nnn`},
		"bomb":         {declared(t, maxUnpack+1), "over 256 MiB"},
		"many":         {packed(t, many...), "10000 entries"},
		"cut short":    {whole[:len(whole)-20], "can't be read"},
		"no tar":       {[]byte("\x1f\x8bnothing"), "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			above := t.TempDir()
			folder := filepath.Join(above, "code")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			err := unpack(registry.KindArchive, bytes.NewReader(c.sent), folder)
			if !errors.As(err, new(*BadError)) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %q", err, c.why)
			}
			if left, err := os.ReadDir(above); err != nil || len(left) != 1 {
				t.Errorf("beside the folder: %v, %v", left, err)
			}
		})
	}
}
