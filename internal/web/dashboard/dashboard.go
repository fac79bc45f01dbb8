// Package dashboard serves the pages under /ui/: one document, whose script draws every page from the
// API, and the files that it loads. It knows no jobs, and there is nothing in it that needs a credential: a
// page asks the API, as any client does, with the session's cookie or a token that was pasted into it.
//
// The sources are in ui, TSX on preact (ui/preact, MIT) and on clients/typescript; `make ui` makes dist of
// them with esbuild, a Go module, and TestBundle compares. Pages are found by relative addresses, so a
// proxy may put the whole under a path.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"longshore/internal/httpapi"
	"longshore/internal/web/edge"
)

//go:embed dist
var dist embed.FS

// Path is where the pages are.
const Path = "/ui/"

// policy lets a page load what is ours and nothing else, and no script make markup of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// A file is one of dist, as it is sent.
type file struct {
	kind      string
	raw, tiny []byte // tiny is gzip
}

// An assembly is all files and the document that names them by the hash of all.
type assembly struct {
	hash  string
	files map[string]file
	page  *template.Template
}

// assemble reads dist, once for a process, at the first page.
var assemble = sync.OnceValues(func() (*assembly, error) {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	a, sum := &assembly{files: map[string]file{}}, sha256.New()
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml"}
	for _, e := range entries {
		raw, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("dashboard: %w", err)
		}
		if e.Name() == "index.html" {
			a.page, err = template.New(e.Name()).Parse(string(raw))
			if err != nil {
				return nil, fmt.Errorf("dashboard: %w", err)
			}
			continue
		}
		sum.Write(raw)
		a.files[e.Name()] = file{kind: kinds[path.Ext(e.Name())], raw: raw, tiny: pack(raw)}
	}
	a.hash = hex.EncodeToString(sum.Sum(nil))[:16]
	return a, nil
})

func pack(raw []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // that level there is
	_, _ = w.Write(raw)                                   // into memory
	_ = w.Close()
	return b.Bytes()
}

// Routes are what the dashboard serves.
func Routes() []edge.Route {
	hidden := func(path, name, summary string) edge.Route {
		op := edge.At("GET", path, name, summary)
		op.Hidden = true // pages are no part of the API
		return edge.Route{Op: op, Access: edge.Public}
	}
	page := hidden(Path+"{page...}", "dashboard", "The dashboard")
	page.Handle = servePage
	files := hidden(Path+"assets/{hash}/{name}", "dashboard-file", "What the dashboard loads")
	files.Handle = serveFile
	return []edge.Route{page, files}
}

// servePage answers each address with the same document: its script shows the page. Addresses in it
// are relative, as deep as the page is.
func servePage(a *edge.Answer, r *http.Request) error {
	all, err := assemble()
	if err != nil {
		return err
	}
	up := strings.Repeat("../", strings.Count(r.PathValue("page"), "/"))
	if up == "" {
		up = "./"
	}
	var text bytes.Buffer
	if err := all.page.Execute(&text, map[string]string{"Up": up, "Hash": all.hash}); err != nil {
		return fmt.Errorf("dashboard: %w", err)
	}
	h := a.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	a.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = a.Write(text.Bytes()) // who asked may have gone
	}
	return nil
}

// serveFile sends a file. Its address has the hash of all, so it is kept for good; one of another release's
// page isn't there, and that page is told to load itself anew.
func serveFile(a *edge.Answer, r *http.Request) error {
	all, err := assemble()
	if err != nil {
		return err
	}
	f, ok := all.files[r.PathValue("name")]
	if !ok || r.PathValue("hash") != all.hash {
		return errNoFile
	}
	h, body := a.Header(), f.raw
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = f.tiny
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	a.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = a.Write(body)
	}
	return nil
}

var errNoFile = httpapi.NewError(httpapi.NotFound, "there is no such file in this release: load the page anew")
