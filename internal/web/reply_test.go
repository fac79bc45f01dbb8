package web_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"longshore/internal/httpapi"
	"longshore/job"
)

type reply struct {
	status int
	header http.Header
	body   string
	t      testing.TB
}

func (r reply) snapshot() (snap job.Snapshot) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), &snap); err != nil {
		r.t.Fatalf("answer %d is no snapshot: %v\n%s", r.status, err, r.body)
	}
	return snap
}

// problem checks that the answer is a problem of this status and code, with
// these pointers.
func (r reply) problem(status int, code httpapi.Code, pointers ...string) {
	r.t.Helper()
	var e httpapi.Error
	err := json.Unmarshal([]byte(r.body), &e)
	if err != nil || r.status != status || e.Status != status || e.Code != code ||
		r.header.Get("Content-Type") != httpapi.TypeProblem {
		r.t.Errorf("got %d %s %s, want problem %d %s", r.status, r.header.Get("Content-Type"), r.body, status, code)
		return
	}
	var got []string
	for _, p := range e.Errors {
		got = append(got, p.Pointer)
		if p.Detail == "" {
			r.t.Errorf("no detail for %s", p.Pointer)
		}
	}
	if pointers != nil && !slices.Equal(got, pointers) {
		r.t.Errorf("pointers %q, want %q (%s)", got, pointers, r.body)
	}
}
