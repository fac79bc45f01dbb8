package deployed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/memory"
	"longshore/internal/functions"
	"longshore/internal/functions/registry"
	"longshore/tasks"
)

// versionOf puts what is deployed into a store.
func versionOf(t *testing.T, blobs *memory.Store, n int64, sent []byte) registry.Version {
	t.Helper()
	sum := sha256.Sum256(sent)
	v := registry.Version{Number: n, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(sent)),
		Kind: registry.KindArchive}
	v.Blob = registry.DrawBlob(v.SHA256)
	blobtest.Put(t, blobs, v.Blob, string(sent))
	return v
}

func openCache(t *testing.T, max int64) *Cache {
	t.Helper()
	c, err := OpenCache(filepath.Join(t.TempDir(), "cache"), max, false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// contents counts what a cache has: contents, and all else but their locks.
func contents(t *testing.T, c *Cache) (n, other int) {
	t.Helper()
	entries, err := os.ReadDir(c.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch {
		case len(e.Name()) == 64:
			n++
		case !strings.HasSuffix(e.Name(), lockSuffix):
			other++
		}
	}
	return n, other
}

// TestCache holds that contents are kept, that what nobody uses goes, the one used least
// recently first, and that what is in use stays, however much it is.
func TestCache(t *testing.T) {
	t.Parallel()
	blobs, c := memory.New(), openCache(t, 2*8192)
	var copies []*Copy
	var versions []registry.Version
	for n := range 4 {
		v := versionOf(t, blobs, int64(n+1), packed(t, entry{name: "run", text: strings.Repeat("x", 100+n)}))
		u, err := c.Fetch(t.Context(), v, blobs)
		if err != nil {
			t.Fatal(err)
		}
		copies, versions = append(copies, u), append(versions, v)
	}
	if n, other := contents(t, c); n != 4 || other != 0 {
		t.Errorf("in use: %d contents, %d others", n, other)
	}
	for i, u := range copies {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(u.Folder+lockSuffix, at, at); err != nil {
			t.Error(err)
		}
	}
	first, err := c.Fetch(t.Context(), versions[0], blobs) // used again, last of all
	if err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	c.evict()
	for i, want := range []bool{true, false, false, true} {
		if _, err := os.Stat(copies[i].Folder); (err == nil) != want {
			t.Errorf("version %d: %v, want there: %t", i+1, err, want)
		}
	}
	if _, other := contents(t, c); other != 0 {
		t.Errorf("%d leftovers", other)
	}
	if again, err := c.Fetch(t.Context(), versions[1], blobs); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
}

// TestFetchVerifies holds that what isn't what was deployed never counts.
func TestFetchVerifies(t *testing.T) {
	t.Parallel()
	blobs, c := memory.New(), openCache(t, 1<<30)
	v := versionOf(t, blobs, 1, packed(t, entry{name: "run", text: "one"}))
	blobtest.Put(t, blobs, v.Blob, string(packed(t, entry{name: "run", text: "another"})))
	if _, err := c.Fetch(t.Context(), v, blobs); !errors.Is(err, errDigest) {
		t.Errorf("got %v", err)
	}
	gone := v
	gone.Blob = registry.DrawBlob(v.SHA256)
	if _, err := c.Fetch(t.Context(), gone, blobs); err == nil {
		t.Error("fetched what is not there")
	}
	if n, other := contents(t, c); n != 0 || other != 0 {
		t.Errorf("%d contents, %d others", n, other)
	}
}

// TestRules holds what a deployed manifest may not ask for.
func TestRules(t *testing.T) {
	t.Parallel()
	all := Rules{Programs: true, Env: []string{"TOKEN"}, Network: true, Memory: 128 << 20}
	for manifest, c := range map[string]struct {
		rules Rules
		field string // "" = allowed
	}{
		`{}`: {all, ""},
		`{"env": ["TOKEN"], "network": true, "memory": "128MiB"}`: {all, ""},
		`{"mode": "exec"}`:                  {Rules{}, "mode"},
		`{"mode": "wasm"}`:                  {Rules{}, ""},
		`{"env": ["HOME"]}`:                 {all, "env"},
		`{"mode": "exec", "network": [80]}`: {Rules{Programs: true}, "network"},
		`{"memory": "1GiB"}`:                {all, "memory"},
		`{"read": [".."]}`:                  {all, "read"},
		`{"sandbox": "off"}`:                {all, "sandbox"},
		`{"sandbox": "require"}`:            {all, ""},
	} {
		m, err := functions.ParseManifest([]byte(manifest))
		if err != nil {
			t.Fatal(manifest, err)
		}
		err = c.rules.Check(&m)
		var field *functions.FieldError
		if (err == nil) != (c.field == "") || err != nil && (!errors.As(err, &field) ||
			field.Field != c.field) {
			t.Errorf("%s: %v, want field %q", manifest, err, c.field)
		}
	}
}

// TestLoad holds that a function is what was unpacked, and lets it go at its end.
func TestLoad(t *testing.T) {
	t.Parallel()
	blobs, c := memory.New(), openCache(t, 0)
	v := versionOf(t, blobs, 3, packed(t, entry{name: "run", text: "#!/bin/sh\n", mode: 0o755},
		entry{name: functions.ManifestFile, text: `{"input": "none"}`}))
	u, err := c.Fetch(t.Context(), v, blobs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Load("a.b", v, u, Rules{Programs: true}, &functions.Loader{})
	if err != nil || f.Type != "a.b" || f.Version != 3 || f.Manifest.Input != tasks.NoInput ||
		f.Command[0] != filepath.Join(u.Folder, "run") {
		t.Fatalf("%+v, %v", f, err)
	}
	if c.evict(); !there(u.Folder) {
		t.Error("it went while it was in use")
	}
	_ = f.Hold.Close()
	if c.evict(); there(u.Folder) {
		t.Error("it stayed, over the bound, when nobody used it")
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
