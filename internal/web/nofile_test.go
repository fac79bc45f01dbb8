package web_test

import (
	"strings"
	"testing"

	"longshore/internal/httpapi"
)

// TestFileForTypeWithout sends a file to a type that works on none: the answer says so.
func TestFileForTypeWithout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for path, place := range map[string]string{
		"/v1/jobs/math.primes?filename=access.log":     "/body",
		"/v1/jobs/math.primes?filename=access.log&n=1": "/body",
	} {
		r := b.do("POST", path, "10.0.0.1 - - GET", "Content-Type", "application/octet-stream")
		r.problem(422, httpapi.Invalid, place)
		if !strings.Contains(string(r.body), "this type takes no file: a body is its payload, as JSON") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	b.do("POST", "/v1/jobs/math.primes?filename=n.json&n=1", `{"n":1}`, "Content-Type",
		"application/octet-stream").problem(422, httpapi.Invalid, "?n")
	if r := b.do("POST", "/v1/jobs/math.primes?filename=n.json", `{"n":1}`, "Content-Type",
		"application/octet-stream"); r.status != 202 {
		t.Errorf("a file that is the payload: %d", r.status)
	}
}
