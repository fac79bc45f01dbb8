package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"longshore/internal/chaos/history"
	"longshore/internal/httpapi"
	"longshore/job"
)

// try is how long a client waits for the answer of one request that doesn't wait itself.
const try = 15 * time.Second

// An answer is one of HTTP, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	from   int64
	server string
}

// errNobody says that no web process serves.
var errNobody = errors.New("nobody serves")

// request sends one to whoever serves.
func (f *flow) request(ctx context.Context, method, path string, header map[string]string, body io.Reader,
	size int64, patience time.Duration,
) (answer, error) {
	a := answer{from: f.load.log.Now()}
	name, url, ok := f.load.config.Servers.Serving(f.random, "")
	if !ok {
		return a, errNobody
	}
	a.server = name
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url+path, body)
	if err != nil {
		return a, err
	}
	req.Header.Set("Authorization", "Bearer "+f.load.config.Token)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if body != nil {
		req.ContentLength = size
	}
	resp, err := f.load.http.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

// snapshot reads the job of an answer.
func (a answer) snapshot() (s job.Snapshot, err error) {
	return s, json.Unmarshal(a.body, &s)
}

// refused notes an answer that is no success, and returns how long to wait; again is false
// where a repeat can't help.
func (f *flow) refused(a answer, what string) (wait time.Duration, again bool) {
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	_ = json.Unmarshal(a.body, &problem) // a proxy's page would have no code, which is told
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	f.load.log.Add(history.Event{Kind: history.Refused, Key: f.key, Job: string(f.acknowledged()), Way: what,
		Status: a.status,
		Code:   problem.Code, N: int64(seconds), From: a.from, Text: problem.Detail, Proc: a.server})
	switch a.status {
	case http.StatusConflict, http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusServiceUnavailable,
		http.StatusInsufficientStorage, http.StatusInternalServerError:
		return min(2*time.Second, max(time.Duration(seconds)*time.Second, 300*time.Millisecond)), true
	}
	return 0, false
}

// unknown notes a request without an answer.
func (f *flow) unknown(a answer, what string, err error) {
	if errors.Is(err, errNobody) {
		return // it was not sent
	}
	f.load.log.Add(history.Event{Kind: history.Unknown, Key: f.key, Job: string(f.acknowledged()), Way: what,
		From: a.from,
		Text: err.Error(), Proc: a.server})
}

// submit sends the submission until it is answered for good.
func (f *flow) submit(ctx context.Context) (job.ID, bool) {
	path, header := httpapi.PathJobs, f.headers()
	header["Content-Type"] = "application/json"
	if f.way == "file" {
		path, header["Content-Type"] = httpapi.SubmitPath(f.typ)+f.query(), "application/octet-stream"
	}
	for ctx.Err() == nil {
		a, err := f.request(ctx, http.MethodPost, path, header, bytes.NewReader(f.body),
			int64(len(f.body)), try)
		var snap job.Snapshot
		if err == nil && a.status < 300 {
			snap, err = a.snapshot()
		}
		switch {
		case err != nil:
			f.unknown(a, "submit", err)
			pause(ctx, f.random, 400*time.Millisecond)
		case a.status < 300:
			f.load.log.Add(history.Event{Kind: history.Ack, Key: f.key, Job: string(snap.ID),
				Status: a.status, From: a.from, Way: f.way})
			e := Seen(&snap, "submit")
			e.From = a.from
			f.load.log.Add(e)
			return snap.ID, true
		default:
			wait, again := f.refused(a, "submit")
			if !again {
				return "", false
			}
			pause(ctx, f.random, wait)
		}
	}
	return "", false
}

// headers makes a repeat find the first job.
func (f *flow) headers() map[string]string {
	if f.chosen != "" {
		return map[string]string{httpapi.HeaderJob: string(f.chosen)}
	}
	return map[string]string{"Idempotency-Key": f.key}
}

// query has the controls beside a file.
func (f *flow) query() string {
	if !f.hook {
		return ""
	}
	return "?" + url.Values{"callback_url": {f.load.hooks.url()}}.Encode()
}

// canceled asks for the job's end after a while.
func (f *flow) canceled(ctx context.Context, random *rand.Rand) {
	pause(ctx, random, 2*f.cancel)
	other := &flow{load: f.load, key: f.key, ids: []job.ID{f.acknowledged()}, random: random}
	for ctx.Err() == nil {
		a, err := other.request(ctx, http.MethodPost, httpapi.CancelPath(other.acknowledged()),
			nil, nil, 0, try)
		switch {
		case err != nil:
			other.unknown(a, "cancel", err)
			pause(ctx, random, 400*time.Millisecond)
		case a.status == http.StatusConflict: // it had ended
			return
		case a.status < 300:
			f.load.log.Add(history.Event{Kind: history.Cancel, Job: string(other.acknowledged()),
				From: a.from})
			return
		default:
			wait, again := other.refused(a, "cancel")
			if !again {
				return
			}
			pause(ctx, random, wait)
		}
	}
}

// with adds headers to others.
func with(header map[string]string, more map[string]string) map[string]string {
	all := maps.Clone(header)
	maps.Copy(all, more)
	return all
}
