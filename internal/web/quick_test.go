package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/job"
)

// A plain Accept lets a request take the quick way, one with a weight doesn't.
// The answers must not differ, whatever the request.
func TestQuickWaysAnswerAsHuma(t *testing.T) {
	t.Parallel()
	b := setup(t)
	running, ended := newSnapshot(job.Running, 5), newSnapshot(job.Succeeded, 7)
	ended.Result = []byte(`{"text":"<&> é"}`)
	b.put(running)
	b.put(ended)
	const submit = `{"type":"math.primes","payload":{"n":25},"priority":"high"}`
	b.do("POST", "/v1/jobs", submit, "Idempotency-Key", "one")
	run, end := "/v1/jobs/"+string(running.ID), "/v1/jobs/"+string(ended.ID)
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
	}{
		"get":                   {"GET", run, "", nil},
		"ended":                 {"GET", end, "", nil},
		"head":                  {"HEAD", end, "", nil},
		"not modified":          {"GET", run, "", []string{"If-None-Match", `"5"`}},
		"modified":              {"GET", run, "", []string{"If-None-Match", `"4"`}},
		"wait":                  {"GET", run + "?wait=30ms", "", nil},
		"wait for the end":      {"GET", end + "?wait=9&until=done", "", nil},
		"wait for a change":     {"GET", run + "?after=4&wait=9s", "", nil},
		"wait from now":         {"GET", run + "?until=change&wait=20ms", "", nil},
		"no wait":               {"GET", run + "?wait=0", "", nil},
		"escaped":               {"GET", run + "?%77ait=1ms", "", nil},
		"wait twice":            {"GET", run + "?wait=1ms&wait=2ms", "", nil},
		"bad wait":              {"GET", run + "?wait=soon", "", nil},
		"empty wait":            {"GET", run + "?wait=", "", nil},
		"bad until":             {"GET", run + "?until=now&wait=1s", "", nil},
		"bad after":             {"GET", run + "?after=-1", "", nil},
		"after out of range":    {"GET", run + "?after=99999999999999999999", "", nil},
		"unknown parameter":     {"GET", run + "?x=1", "", nil},
		"no such job":           {"GET", "/v1/jobs/" + string(newSnapshot(job.Running, 1).ID) + "?wait=1s", "", nil},
		"no id":                 {"GET", "/v1/jobs/one", "", nil},
		"submit again":          {"POST", "/v1/jobs", submit, []string{"Idempotency-Key", "one"}},
		"submit and prefer":     {"POST", "/v1/jobs", submit, []string{"Idempotency-Key", "one", "Prefer", "wait=0"}},
		"white space":           {"POST", "/v1/jobs", " {\n\t\"priority\" : \"high\" , \"type\" :\"math.primes\",\"payload\": {\"n\" : 25 } }\r\n", []string{"Idempotency-Key", "one"}},
		"escape in the type":    {"POST", "/v1/jobs", `{"type":"math\u002eprimes","payload":{"n":25},"priority":"high"}`, []string{"Idempotency-Key", "one"}},
		"no type":               {"POST", "/v1/jobs", `{"payload":{"n":25}}`, nil},
		"empty type":            {"POST", "/v1/jobs", `{"type":""}`, nil},
		"long type":             {"POST", "/v1/jobs", `{"type":"` + strings.Repeat("ä", 65) + `"}`, nil},
		"unknown type":          {"POST", "/v1/jobs", `{"type":"` + strings.Repeat("ä", 64) + `"}`, nil},
		"type of another case":  {"POST", "/v1/jobs", `{"Type":"math.primes"}`, nil},
		"bad priority":          {"POST", "/v1/jobs", `{"type":"math.primes","priority":"urgent"}`, nil},
		"null":                  {"POST", "/v1/jobs", `{"type":"math.primes","priority":null}`, nil},
		"payload null":          {"POST", "/v1/jobs", `{"type":"math.primes","payload":null}`, nil},
		"payload of a bad kind": {"POST", "/v1/jobs", `{"type":"math.primes","payload":[1]}`, nil},
		"bad payload":           {"POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":"x"}}`, nil},
		"unknown field":         {"POST", "/v1/jobs", `{"type":"math.primes","x":{}}`, nil},
		"no object":             {"POST", "/v1/jobs", `"type"`, nil},
		"empty object":          {"POST", "/v1/jobs", `{}`, nil},
		"bad id":                {"POST", "/v1/jobs", submit, []string{"Longshore-Job", "one"}},
		"long key":              {"POST", "/v1/jobs", submit, []string{"Idempotency-Key", strings.Repeat("k", 256)}},
		"bad key":               {"POST", "/v1/jobs", submit, []string{"Idempotency-Key", "é"}},
		"submit with a query":   {"POST", "/v1/jobs?wait=x", submit, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quick := b.do(c.method, c.path, c.body, append(c.headers, "Accept", "application/json")...)
			slow := b.do(c.method, c.path, c.body, append(c.headers, "Accept", "application/json;q=0.9")...)
			type seen struct {
				Status int
				Header http.Header
				Body   string
			}
			quick.header.Del("Date")
			slow.header.Del("Date")
			if diff := cmp.Diff(seen{slow.status, slow.header, slow.body}, seen{quick.status, quick.header, quick.body}); diff != "" {
				t.Errorf("huma's answer (-), the quick one (+):\n%s", diff)
			}
		})
	}
}
