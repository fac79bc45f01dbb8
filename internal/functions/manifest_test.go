package functions

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/job"
	"longshore/tasks"
)

// TestSchemaHasAllFields holds that the shipped schema and the reader know the same fields.
func TestSchemaHasAllFields(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties map[string]any
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(schema.Properties)); !slices.Equal(got, FieldNames()) {
		t.Errorf("schema has %v, the reader %v", got, FieldNames())
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	m, err := ParseManifest([]byte(`{"doc": "Makes.", "command": ["node", "x.mjs"], "mode": "lambda", "handler": "app.h",
		"payload": {"type": "object", "properties": {"n": {"type": "integer"}}}, "input": "required", "input_as": "file",
		"output": {"name": "out.pdf", "content_type": "application/pdf"}, "lane": "io", "timeout": "90s", "max_attempts": 5,
		"retention": "2h", "memory": "256MiB", "env": ["DATABASE_URL"], "read": [".."], "network": [443], "sandbox": "require"}`))
	if err != nil {
		t.Fatal(err)
	}
	if m.Doc != "Makes." || !slices.Equal(m.Command, []string{"node", "x.mjs"}) || m.Mode != Lambda ||
		m.Handler != "app.h" ||
		m.Input != tasks.InputRequired || m.InputAs != InputFile ||
		m.Output != (Output{OutputNamed, "out.pdf", "application/pdf"}) ||
		m.Lane != job.LaneIO || m.Timeout != 90*time.Second || m.MaxAttempts != 5 ||
		m.Retention != 2*time.Hour ||
		m.Memory != 256<<20 || !slices.Equal(m.Env, []string{"DATABASE_URL"}) ||
		!slices.Equal(m.Read, []string{".."}) ||
		!slices.Equal(m.Network.Ports, []uint16{443}) || m.Sandbox != SandboxRequire {
		t.Errorf("%+v", m)
	}
	if m, err = ParseManifest([]byte(`{}`)); err != nil || m.Mode != Exec || m.Input != tasks.InputOptional ||
		m.Output.As != OutputAuto || m.Lane != job.LaneCPU {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestManifestFaults holds that each mistake is told with its field, all at once.
func TestManifestFaults(t *testing.T) {
	t.Parallel()
	for manifest, want := range map[string]string{
		``:                                      "malformed JSON",
		`[]`:                                    "expected object",
		`{"doc": 1}`:                            "doc: expected a text",
		`{"doc": null}`:                         "doc: expected a text",
		`{"timout": "3s"}`:                      "timout: unknown field",
		`{"doc": "a", "doc": "b"}`:              "malformed JSON",
		`{"mode": "docker"}`:                    `mode: expected "exec" or "lambda" or "wasm"`,
		`{"command": "node x"}`:                 "command: expected a list of texts",
		`{"command": []}`:                       "command: is empty",
		`{"command": ["a", 1]}`:                 "command: expected a text at 1",
		`{"command": ["a\u0000b"]}`:             "command: holds a NUL",
		`{"payload": true}`:                     "payload: expected a JSON Schema",
		`{"input": true}`:                       `input: expected "none"`,
		`{"output": "stdout"}`:                  `output: expected "auto"`,
		`{"output": {"name": "a/b"}}`:           "output: name: expected a plain file name",
		`{"output": {"nam": "a"}}`:              "output: unknown field",
		`{"timeout": 30}`:                       `timeout: expected a duration like "30s"`,
		`{"timeout": "0s"}`:                     "timeout: expected 1ms to 24h",
		`{"timeout": "25h"}`:                    "timeout: expected 1ms to 24h",
		`{"max_attempts": 0}`:                   "max_attempts: expected a number from 1",
		`{"max_attempts": 1.5}`:                 "max_attempts: expected a number from 1",
		`{"retention": "367d"}`:                 "retention: expected a duration",
		`{"memory": "1MiB"}`:                    "memory: expected at least 64MiB",
		`{"memory": "much"}`:                    "memory: expected a size",
		`{"env": ["A=B"]}`:                      `env: "A=B" is no name`,
		`{"env": ["LONGSHORE_JOB"]}`:            "env: LONGSHORE_JOB is ours",
		`{"network": "yes"}`:                    "network: expected true, false",
		`{"network": [0]}`:                      "network: expected true, false",
		`{"network": [65536]}`:                  "network: expected true, false",
		`{"sandbox": false}`:                    `sandbox: expected "auto"`,
		`{"handler": "a.b"}`:                    `handler: only mode "lambda"`,
		`{"input": "none", "input_as": "file"}`: "input_as: there is no input",
		`{"doc": 1, "lane": "gpu"}`:             `lane: expected "cpu"`,
		`{"doc": ` + strings.Repeat(" ", maxManifest) + `1}`: "is over",
	} {
		if _, err := ParseManifest([]byte(manifest)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", manifest, err, want)
		}
	}
	_, err := ParseManifest([]byte(`{"doc": 1, "lane": "gpu", "x": 2}`))
	if got := len(split(err)); got != 3 {
		t.Errorf("%d mistakes told: %v", got, err)
	}
}
