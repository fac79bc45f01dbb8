package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"longshore/internal/httpapi"
	"longshore/job"
)

// hostile is what a stranger may put wherever there is a text: it sets a title, begins
// a line, moves to its begin, colours, turns the order and hides.
const hostile = "x\x1b]0;pwned\a\r\nFAKE row\u009b31m\u202egpj\u2066\x7f\u2028FAKE\x00\U000e0041y"

// poison puts the hostile text into every string that can be reached, and something
// into what is empty, so that a field that is added later is tried too.
func poison(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		poison(v.Elem(), depth)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 0)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i), depth)
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			text, _ := json.Marshal(map[string]string{hostile: hostile})
			v.SetBytes(text)
			return
		}
		if depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range v.Len() {
				poison(v.Index(i), depth-1)
			}
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && depth > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			value := reflect.New(v.Type().Elem()).Elem()
			poison(value, depth-1)
			v.SetMapIndex(reflect.ValueOf(hostile).Convert(v.Type().Key()), value)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

func poisoned[T any]() T {
	var v T
	poison(reflect.ValueOf(&v).Elem(), 3)
	return v
}

func hostileJob(id string, state job.State) job.Snapshot {
	snap := poisoned[job.Snapshot]()
	snap.ID, snap.State, snap.Done = job.ID(id), state, state.Terminal()
	return snap
}

// hostileServer is a server that is in a stranger's hands. The last digit of an id
// says what a job is.
func hostileServer(t *testing.T) string {
	t.Helper()
	stateOf := func(id string) job.State {
		switch id[len(id)-1] {
		case '1':
			return job.Succeeded
		case '2':
			return job.Failed
		case '3':
			return job.Canceled
		case '4':
			return job.State(hostile)
		}
		return job.Running
	}
	mux := http.NewServeMux()
	one := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, hostileJob(r.PathValue("id"), stateOf(r.PathValue("id"))))
	}
	refuse := func(w http.ResponseWriter) {
		e := poisoned[httpapi.Error]()
		e.Status = 422
		problem(w, &e)
	}
	mux.HandleFunc("GET /v1/jobs/{id}", one)
	mux.HandleFunc("POST /v1/jobs/{id}/cancel", one)
	mux.HandleFunc("POST /v1/jobs/{id}/retry", func(w http.ResponseWriter, _ *http.Request) { refuse(w) })
	mux.HandleFunc("DELETE /v1/jobs/{id}", func(w http.ResponseWriter, _ *http.Request) { refuse(w) })
	mux.HandleFunc("GET /v1/jobs/{id}/result", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, hostile)
	})
	mux.HandleFunc("GET /v1/jobs/{id}/outputs/{name}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, hostile)
	})
	mux.HandleFunc("POST /v1/jobs/{type}", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.PathValue("type") == "test.refused" {
			refuse(w)
			return
		}
		answer(w, 202, hostileJob("0199c0de-0000-7000-8000-000000000002", job.Failed))
	})
	mux.HandleFunc("POST /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 202, hostileJob("0199c0de-0000-7000-8000-000000000002", job.Failed))
	})
	mux.HandleFunc("POST /v1/jobs/batch", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", httpapi.TypeNDJSON)
		for i := range bytes.Count(text, []byte("\n")) {
			a := poisoned[httpapi.BatchAnswer]()
			a.Line, a.ID, a.Status = int64(i)+1, "", 422
			if i == 1 {
				a = httpapi.BatchAnswer{Line: 2, ID: "0199c0de-0000-7000-8000-000000000002"}
			}
			_ = json.NewEncoder(w).Encode(a)
		}
	})
	mux.HandleFunc("GET /v1/jobs", func(w http.ResponseWriter, r *http.Request) {
		list := httpapi.JobList{Jobs: []job.Snapshot{}}
		if revs, err := httpapi.ParseRevs(r.FormValue("id")); err == nil {
			for _, rev := range revs {
				list.Jobs = append(list.Jobs, hostileJob(string(rev.ID), stateOf(string(rev.ID))))
			}
		} else {
			for i := range 5 {
				id := fmt.Sprintf("0199c0de-0000-7000-8000-00000000000%d", i)
				list.Jobs = append(list.Jobs, hostileJob(id, stateOf(id)))
			}
			list.Next = hostile
		}
		answer(w, 200, list)
	})
	mux.HandleFunc("GET /v1/types", func(w http.ResponseWriter, _ *http.Request) {
		info := poisoned[httpapi.TypeInfo]()
		info.Schema = must(json.Marshal(map[string]any{"type": "object", "required": []string{hostile},
			"properties": map[string]any{
				hostile: map[string]any{"type": hostile, "description": hostile, "default": hostile,
					"enum": []string{hostile}, "pattern": hostile},
				"list": map[string]any{"items": map[string]any{"type": hostile, "pattern": hostile}}}}))
		answer(w, 200, httpapi.TypeList{Types: []httpapi.TypeInfo{info}})
	})
	mux.HandleFunc("GET /v1/queues", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, poisoned[httpapi.QueueList]())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { refuse(w) })
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"info": map[string]string{"version": hostile}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestHostileTexts runs each command against a server that says hostile texts
// wherever it says one: nothing that steers a terminal comes out, nor a line that the
// stranger has begun, and what is JSON still is.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	url := hostileServer(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "in"+strings.ReplaceAll(hostile, "\x00", "")+".txt")
	lines := filepath.Join(folder, "lines.ndjson")
	for name, text := range map[string]string{file: hostile, lines: "{}\n{}\n{}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const id = "0199c0de-0000-7000-8000-00000000000"
	commands := [][]string{
		{"get", id + "1"}, {"get", id + "2"}, {"get", id + "3"}, {"get", id + "4"}, {"get", id + "5"},
		{"cancel", id + "3"}, {"retry", id + "2"}, {"delete", id + "2"}, {"wait", id + "1"},
		{"wait", id + "2"}, {"wait", id + "5", "--for", "50ms"}, {"watch", id + "1", id + "2", id + "3"},
		{"watch", id + "4", "--for", "50ms"}, {"ls", "--limit", "5"}, {"queues"}, {"types"},
		{"types", hostile}, {"doctor"}, {"submit", "test.x", file, "--wait"},
		{"submit", "test.refused", file}, {"submit", "test.x"}, {"submit", hostile, hostile},
		{"batch", lines, "--no-journal"}, {"batch", lines, "--wait", "--no-journal"},
		{"batch", "--type", "test.x", file, "--wait"}, {"batch", "--type", "test.refused", file},
		{"fetch", id + "1", "-o", folder},
		{"fetch", id + "1", hostile, "-o", filepath.Join(folder, hostile[:8])},
		{"fetch", id + "1", hostile, "-o", "/no/" + hostile}, {"batch", "fetch", lines, "-o", folder},
		{"get", hostile}, {hostile}, {"get", "--" + hostile}, {"__complete", "submit", ""},
		{"__complete", "types", "x"},
	}
	for _, command := range commands {
		for _, format := range formats {
			args := append(command[:len(command):len(command)], "--format", format)
			if command[0] == "__complete" {
				args = command
			}
			t.Run(strings.ToValidUTF8(strings.Join(args, " "), "?"), func(t *testing.T) {
				t.Parallel()
				var out, msg bytes.Buffer
				ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
				defer cancel()
				err := Run(ctx, args, func(name string) string {
					return map[string]string{"LONGSHORE_URL": url}[name]
				}, strings.NewReader(""), &out, &msg, nil)
				_ = Report(err, &msg)
				harmless(t, "stdout", out.String())
				harmless(t, "stderr", msg.String())
				if out.Len()+msg.Len() == 0 && command[0] != "delete" {
					t.Error("it says nothing")
				}
				if format == "text" || command[0] == "__complete" || out.Len() == 0 {
					return
				}
				for in := json.NewDecoder(&out); in.More(); {
					var v any
					if err := in.Decode(&v); err != nil {
						t.Fatalf("stdout is no JSON: %v", err)
					}
				}
			})
		}
	}
}

func harmless(t *testing.T, where, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool {
			return r != '\t' && unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) ||
				unicode.In(r, unicode.Bidi_Control, unicode.Variation_Selector) || r >= 0xE0000 &&
				r <= 0xE007F
		}); i >= 0 {
			t.Errorf("%s has %q", where, line[i:])
		}
		if strings.HasPrefix(line, "FAKE") {
			t.Errorf("%s has a line that a stranger began: %q", where, line)
		}
	}
}
