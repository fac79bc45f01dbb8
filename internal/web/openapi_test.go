package web_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"longshore/internal/web"
	"longshore/job"
)

type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct{ Name, In string }
		RequestBody struct{ Content map[string]any }
		Responses   map[string]any
		Security    []any
	}
	Components struct{ Schemas map[string]any }
}

// Each documented path and method is served, and knows its parameters; each
// reference leads somewhere.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.MaxWait, c.Gate = time.Millisecond, newGate(t, "") })
	r := b.do("GET", "/openapi.json", "")
	var doc document
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || r.status != 200 ||
		!strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v", r.status, err)
	}
	for _, m := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]*)"`).
		FindAllStringSubmatch(r.body, -1) {
		if doc.Components.Schemas[m[1]] == nil {
			t.Errorf("no schema %s", m[1])
		}
	}
	snap := newSnapshot(job.Running, 1)
	served := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			served++
			snap.State = job.Running
			if strings.HasSuffix(path, "/events") {
				snap.State = job.Succeeded // or the stream would not end
			}
			b.put(snap)
			real := strings.NewReplacer("{id}", string(snap.ID), "{name}", "x").Replace(path)
			if op.OperationID == "submit-type" {
				real = "/v1/jobs/log.analyze"
			}
			for _, p := range op.Parameters {
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s: no %s in the path", method, path, p.Name)
				}
				if p.In != "query" {
					continue
				}
				sep := "?"
				got := b.do(strings.ToUpper(method), real+sep+p.Name+"=%00", "")
				if strings.Contains(got.body, "unknown") {
					t.Errorf("%s %s: parameter %s is not known: %s", method, path, p.Name, got.body)
				}
			}
			got := b.do(strings.ToUpper(method), real, "")
			if got.status == 405 || strings.Contains(got.body, "nothing at this path") || got.status >= 500 {
				t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
			}
			if op.Responses["default"] == nil && op.Responses["422"] == nil && op.Responses["500"] == nil {
				t.Errorf("%s %s: no error is described", method, path)
			}
		}
	}
	if want := 57 + len(b.catalog.All()); served != want {
		t.Errorf("%d operations, want %d", served, want)
	}
	analyze := doc.Paths["/v1/jobs/log.analyze"]["post"]
	if len(analyze.Parameters) == 0 || analyze.RequestBody.Content["application/octet-stream"] == nil {
		t.Errorf("log.analyze: %+v", analyze)
	}
	if doc.Paths["/v1/jobs/math.primes"]["post"].RequestBody.Content["application/json"] == nil {
		t.Error("math.primes takes no JSON")
	}
}

func TestOpenAPISecurity(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *web.Config) { c.Token = "t" })
	var doc document
	if err := json.Unmarshal([]byte(b.do("GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if guarded := strings.HasPrefix(path, "/v1/") && path != "/v1/functions/schema"; guarded !=
				(len(op.Security) > 0) {
				t.Errorf("%s %s: security %v", method, path, op.Security)
			}
		}
	}
}
