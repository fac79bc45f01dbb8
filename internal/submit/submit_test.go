package submit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// The digest must stay what records in Redis have.
func TestDigest(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	for _, r := range []Request{
		{Type: "math.primes"},
		{Type: "a.b", Priority: job.High, RunAt: at, Timeout: time.Second, ExpiresIn: time.Hour,
			MaxAttempts: 3, Retention: time.Minute, RetryOf: "x", CallbackURL: "https://example.com/hook"},
		{Type: "a.b", Filename: `quo"te <b>&\ ü` + "\x7f\n", Input: strings.NewReader("")},
	} {
		for _, payload := range []string{`{}`, `{"n":100}`, `{"a":"<&>"}`, `{"a":"é\u2028"}`,
			`{"a":"x\"y"}`} {
			body, err := json.Marshal([]any{r.Type, json.RawMessage(payload), r.Priority, r.RunAt.UnixMilli(),
				r.Timeout, r.ExpiresIn,
				r.MaxAttempts, r.Retention, r.RetryOf, r.Filename, r.Input != nil})
			if r.CallbackURL != "" {
				body = append(body[:len(body)-1], `,"`+r.CallbackURL+`"]`...)
			}
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(body)
			if got, want := digest(r, []byte(payload)), hex.EncodeToString(sum[:16]); got != want {
				t.Errorf("digest of %s is %s, want %s", body, got, want)
			}
		}
	}
}

// parseLine is ReadLine of a new request.
func parseLine(text []byte) (r Request, err error) {
	err = r.ReadLine(text)
	return r, err
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	got, err := parseLine([]byte(`{"type":"a.b","payload":{"n":1},"priority":"high","run_at":"2026-01-02T03:04:05Z","timeout":"90s",
		"expires_in":60,"max_attempts":2,"retention":"1h","idempotency_key":"k\u0041","id":"x"}`))
	want := Request{Type: "a.b", Payload: json.RawMessage(`{"n":1}`), Priority: job.High,
		RunAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Timeout: 90 * time.Second, ExpiresIn: time.Minute,
		MaxAttempts: 2, Retention: time.Hour, IdempotencyKey: "kA", ID: "x"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Request{})); diff != "" || err != nil {
		t.Errorf("error %v, -want +got:\n%s", err, diff)
	}
	for text, pointers := range map[string][]string{
		``: nil, `{`: nil, `{"type":"a.b"} x`: nil, `{"type":"a.b","type":"a.b"}`: nil,
		"{\"type\":\"\xff\"}": nil,
		`[]`:                  {""}, `{}`: {"/type"}, `{"type":1}`: {"/type"},
		`{"type":"a.b","nope":1,"a/b~":2}`:                 {"/nope", "/a~1b~0"},
		`{"type":"a.b","priority":7,"max_attempts":"3"}`:   {"/priority", "/max_attempts"},
		`{"type":"a.b","run_at":"soon"}`:                   {"/run_at"},
		`{"type":"a.b","timeout":"soon"}`:                  {"/timeout"},
		`{"type":"a.b","expires_in":[]}`:                   {"/expires_in"},
		`{"type":"a.b","max_attempts":0}`:                  {"/max_attempts"},
		`{"type":"a.b","max_attempts":1.5,"retention":{}}`: {"/max_attempts", "/retention"},
		`{"type":"a.b","idempotency_key":"é"}`:             {"/idempotency_key"},
	} {
		_, err := parseLine([]byte(text))
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Code != httpapi.Invalid {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var places []string
		for _, p := range e.Errors {
			places = append(places, p.Pointer)
		}
		if !slices.Equal(places, pointers) || (pointers == nil) != (e.Status == 400) {
			t.Errorf("%s: %d, pointers %q, want %q", text, e.Status, places, pointers)
		}
	}
}

// FuzzReadLine compares with a body that encoding/json reads.
func FuzzReadLine(f *testing.F) {
	for _, text := range []string{`{"type":"a.b","payload":{"n":1}}`,
		`{"type":"a.b","timeout":"90s","max_attempts":3,"run_at":"2026-01-02T03:04:05Z"}`,
		`{"type":"a\u0062","id":"x","idempotency_key":"k"}`, `{"type":null}`, `[]`,
		`{"type":"a","retention":1.5,"priority":"low","expires_in":"1h"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseLine(text)
		if err != nil {
			var e *httpapi.Error
			if !errors.As(err, &e) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		var l struct {
			Type           string
			Payload        json.RawMessage
			Input          *Reference
			ID             job.ID
			IdempotencyKey string `json:"idempotency_key"`
			Priority       job.Priority
			RunAt          *time.Time  `json:"run_at"`
			MaxAttempts    json.Number `json:"max_attempts"`
			CallbackURL    string      `json:"callback_url"`
			// Of what durations mean, ParseDuration has tests.
			Timeout, Retention any
			ExpiresIn          any `json:"expires_in"`
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("%q is taken, encoding/json says %v", text, err)
		}
		attempts, _ := l.MaxAttempts.Float64()
		want := Request{Type: l.Type, Payload: l.Payload, From: l.Input, ID: l.ID,
			IdempotencyKey: l.IdempotencyKey, Priority: l.Priority, MaxAttempts: int(attempts),
			CallbackURL: l.CallbackURL, Timeout: got.Timeout, ExpiresIn: got.ExpiresIn,
			Retention: got.Retention}
		if l.RunAt != nil {
			want.RunAt = *l.RunAt
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Request{})); diff != "" {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
	})
}

// Where a client's library writes what is not set as null, that is as if it were not there.
func TestReferenceWithNullOutput(t *testing.T) {
	t.Parallel()
	const text = `{"type":"a.b","input":{"job":"j","output":null}}`
	for name, read := range map[string]func(*Request, []byte) error{"body": (*Request).ReadBody, "line": (*Request).ReadLine} {
		var r Request
		if err := read(&r, []byte(text)); err != nil || r.From == nil || *r.From != (Reference{Job: "j"}) {
			t.Errorf("%s: %+v, %v", name, r.From, err)
		}
	}
}
