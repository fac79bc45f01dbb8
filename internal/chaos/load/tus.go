package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"longshore/internal/chaos/history"
	"longshore/internal/httpapi"
	"longshore/job"
)

// upload sends the file in pieces (https://tus.io/protocols/resumable-upload), some of which
// break off, until the server has all of it.
func (f *flow) upload(ctx context.Context) (job.ID, bool) {
	id, path, ok := f.create(ctx)
	if !ok {
		return "", false
	}
	offset := int64(0)
	for ctx.Err() == nil {
		next, from, ok := f.piece(ctx, id, path, offset)
		if ok && next == int64(len(f.body)) {
			f.load.log.Add(history.Event{Kind: history.Ack, Key: f.key, Job: string(id), Status: 204,
				From: from, Way: "tus"})
			return id, true
		}
		if ok {
			offset = next
			continue
		}
		known, gone := f.head(ctx, id, path, offset)
		if gone {
			return "", false
		}
		offset = known
	}
	return "", false
}

// create makes the upload.
func (f *flow) create(ctx context.Context) (id job.ID, path string, ok bool) {
	encode := base64.StdEncoding.EncodeToString
	meta := "type " + encode([]byte(f.typ))
	if f.hook {
		meta += ",callback_url " + encode([]byte(f.load.hooks.url()))
	}
	header := with(f.headers(), map[string]string{"Tus-Resumable": "1.0.0",
		"Upload-Length":   strconv.Itoa(len(f.body)),
		"Upload-Metadata": meta})
	for ctx.Err() == nil {
		a, err := f.request(ctx, http.MethodPost, httpapi.PathUploads, header, nil, 0, try)
		switch {
		case err != nil:
			f.unknown(a, "create", err)
			pause(ctx, f.random, 400*time.Millisecond)
		case a.status < 300:
			id = job.ID(a.header.Get(httpapi.HeaderJob))
			f.load.log.Add(history.Event{Kind: history.Offset, Job: string(id), Key: f.key, From: a.from,
				Way: "create"})
			return id, a.header.Get("Location"), true
		default:
			wait, again := f.refused(a, "create")
			if !again {
				return "", "", false
			}
			pause(ctx, f.random, wait)
		}
	}
	return "", "", false
}

// errBroken is how a piece breaks off.
var errBroken = errors.New("the client broke off")

// piece sends some of the rest, and returns the offset that the server tells.
func (f *flow) piece(ctx context.Context, id job.ID, path string, offset int64) (next, from int64, ok bool) {
	rest := f.body[offset:]
	size := min(int64(len(rest)), 1+f.random.Int64N(int64(len(f.body))))
	var body io.Reader = bytes.NewReader(rest[:size])
	if f.random.IntN(5) == 0 {
		body = io.MultiReader(bytes.NewReader(rest[:size/2]), failing{})
	}
	a, err := f.request(ctx, http.MethodPatch, path, map[string]string{"Tus-Resumable": "1.0.0",
		"Upload-Offset": strconv.FormatInt(offset, 10), "Content-Type": "application/offset+octet-stream"},
		body, size, try)
	if err != nil {
		if !errors.Is(err, errBroken) {
			f.unknown(a, "patch", err)
		}
		pause(ctx, f.random, 300*time.Millisecond)
		return 0, 0, false
	}
	if a.status != http.StatusNoContent {
		wait, _ := f.refused(a, "patch")
		pause(ctx, f.random, max(wait, 100*time.Millisecond))
		return 0, 0, false
	}
	next, err = strconv.ParseInt(a.header.Get("Upload-Offset"), 10, 64)
	f.load.log.Add(history.Event{Kind: history.Offset, Job: string(id), N: next, From: a.from, Way: "patch"})
	return next, a.from, err == nil
}

// failing is a body that breaks off.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// head asks for the offset; gone says that there is no such upload.
func (f *flow) head(ctx context.Context, id job.ID, path string, last int64) (offset int64, gone bool) {
	for ctx.Err() == nil {
		a, err := f.request(ctx, http.MethodHead, path, map[string]string{"Tus-Resumable": "1.0.0"}, nil, 0, try)
		switch {
		case err != nil:
			f.unknown(a, "head", err)
			pause(ctx, f.random, 300*time.Millisecond)
		case a.status < 300:
			if offset, err = strconv.ParseInt(a.header.Get("Upload-Offset"), 10, 64); err == nil {
				f.load.log.Add(history.Event{Kind: history.Offset, Job: string(id), N: offset, From: a.from,
					Way: "head"})
				return min(offset, int64(len(f.body))), false
			}
			return last, true
		default:
			wait, again := f.refused(a, "head")
			if !again {
				return last, true
			}
			pause(ctx, f.random, wait)
		}
	}
	return last, true
}
