//go:build linux

package e2e

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"longshore/client"
	"longshore/job"
)

// A collector takes spans, as OpenTelemetry's does.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string]span // by name and attempt
	texts []byte          // all that it was sent
}

type span struct {
	*tracepb.Span
	service string
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{spans: map[string]span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var got collectorpb.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
			t.Errorf("%s %s of %d bytes: %v", r.Method, r.URL, len(body), err)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.texts = append(c.texts, body...)
		for _, of := range got.ResourceSpans {
			service := ""
			for _, a := range of.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.GetStringValue()
				}
			}
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans[s.Name+attribute(s, "longshore.attempt")] = span{s, service}
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		switch {
		case a.Key != key:
		case a.Value.GetIntValue() > 0:
			return strconv.FormatInt(a.Value.GetIntValue(), 10)
		default:
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// await returns the spans, once there are those of these names.
func (c *collector) await(t *testing.T, names ...string) map[string]span {
	t.Helper()
	var all map[string]span
	eventually(t, "spans "+strings.Join(names, ", "), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		all = maps.Clone(c.spans)
		for _, name := range names {
			if _, ok := all[name]; !ok {
				return false
			}
		}
		return true
	})
	return all
}

// traced is a function that fails once and then tells its trace.
const traced = `#!/bin/sh
test "$LONGSHORE_ATTEMPT" = 2 || { echo hunter2 >&2; exit 1; }
printf '"%s"' "$TRACEPARENT"
`

var hexOf = hex.EncodeToString

const (
	callerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callerSpan  = "00f067aa0ba902b7"
)

// TestTraces follows an uploaded job from its caller through web, worker and function to its callback, in
// one trace.
func TestTraces(t *testing.T) {
	t.Parallel()
	to, hook := newCollector(t), newSink(t, taken)
	in := install(t, signing, allowing, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL)
	folder := t.TempDir()
	write(t, filepath.Join(folder, "trace.me"), map[string]string{"main.sh": traced, "function.json": `{
		"command":["./main.sh"],"input":"required","max_attempts":2,"sandbox":"off"}`})
	if err := os.Chmod(filepath.Join(folder, "trace.me", "main.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, url := in.web(t)
	worker := in.worker(t, "FUNCTIONS_DIR="+folder)
	served(t, url, "trace.me")

	made, err := tryRequest(t, "POST", url+"/v1/jobs/trace.me?callback_url="+hook.URL, strings.NewReader("hunter2"),
		"traceparent: 00-"+callerTrace+"-"+callerSpan+"-01", "tracestate: vendor=x", "Content-Type: text/plain")
	if err != nil {
		t.Fatal(err)
	}
	snap := wait(t, clientOf(t, url), made.snapshot(t).ID)
	var told string
	if err := json.Unmarshal(snap.Result, &told); snap.State != job.Succeeded || err != nil {
		t.Fatalf("%+v, %v", snap, err)
	}
	heard := hook.next(t, time.Minute)
	spans := to.await(t, "submit trace.me", "upload trace.me", "wait trace.me1", "run trace.me1", "run trace.me2",
		"callback trace.me1")

	submitted := spans["submit trace.me"]
	parents := map[string]string{"submit trace.me": callerSpan, "upload trace.me": hexOf(submitted.SpanId),
		"wait trace.me1": hexOf(submitted.SpanId), "run trace.me1": hexOf(submitted.SpanId),
		"run trace.me2": hexOf(submitted.SpanId), "callback trace.me1": hexOf(submitted.SpanId)}
	for name, parent := range parents {
		s, service := spans[name], "longshore-web"
		if strings.Contains("wait run callback", strings.Fields(name)[0]) {
			service = "longshore-worker"
		}
		if hexOf(s.TraceId) != callerTrace || hexOf(s.ParentSpanId) != parent || s.service != service ||
			s.StartTimeUnixNano > s.EndTimeUnixNano || attribute(s.Span, "messaging.message.id") != string(snap.ID) ||
			s.TraceState != "" {
			t.Errorf("%s of %s, whose parent is to be %s: %v", name, s.service, parent, s)
		}
	}
	first, second := spans["run trace.me1"], spans["run trace.me2"]
	if first.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR || attribute(first.Span, "error.type") == "" ||
		second.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR ||
		len(second.Links) != 1 || hexOf(second.Links[0].SpanId) != hexOf(submitted.SpanId) {
		t.Errorf("attempts: %v, %v", first, second)
	}
	if want := "00-" + callerTrace + "-" + hexOf(second.SpanId) + "-01"; told != want {
		t.Errorf("the function was told %q, want %q", told, want)
	}
	if got, want := heard.header.Get("Traceparent"), "00-"+callerTrace+"-"+hexOf(spans["callback trace.me1"].SpanId)+
		"-01"; got != want {
		t.Errorf("the receiver was told %q, want %q", got, want)
	}
	if line := worker.await(t, "job ended"); !strings.Contains(line, `"trace_id":"`+callerTrace) {
		t.Errorf("log: %s", line)
	}
	if strings.Contains(string(to.texts), "hunter2") {
		t.Error("what is in a file, or a program's error, went to the collector")
	}
}

// TestTracesOf has jobs without a trace make no spans, those of a batch traces of their own, and a
// collector that hangs hold nobody up.
func TestTracesOf(t *testing.T) {
	t.Parallel()
	to := newCollector(t)
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hang) })
	in := install(t)
	_, url := in.web(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+hanging.URL)
	worker := in.worker(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL)
	c := clientOf(t, url)
	wait(t, c, submit(t, c, client.Submission{Type: "math.primes", Payload: map[string]int{"n": 10}}).ID)
	line := `{"type":"math.primes","payload":{"n":10}}` + "\n"
	r, err := tryRequest(t, "POST", url+"/v1/jobs/batch", strings.NewReader(line+line),
		"traceparent: 00-"+callerTrace+"-"+callerSpan+"-01", "Content-Type: application/x-ndjson")
	if err != nil || r.StatusCode != 200 || strings.Count(string(r.body), `"created":true`) != 2 {
		t.Fatalf("%v, %s", err, r.body)
	}
	run := to.await(t, "run math.primes1")["run math.primes1"]
	if hexOf(run.TraceId) == callerTrace || len(run.ParentSpanId) > 0 || len(run.Links) != 1 ||
		hexOf(run.Links[0].TraceId) != callerTrace {
		t.Errorf("a job of a batch: %v", run)
	}
	worker.signal(syscall.SIGTERM)
	if code := worker.end(t, 30*time.Second); code != 0 {
		t.Errorf("exit %d", code)
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	for name := range to.spans {
		if strings.HasPrefix(name, "submit") {
			t.Errorf("%s came to the worker's collector", name)
		}
	}
}
