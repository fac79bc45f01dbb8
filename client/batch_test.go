package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// lineOf is what a line of a batch asks for.
type lineOf struct {
	Type string
	Key  string `json:"idempotency_key"`
	ID   job.ID
}

// batches serves POST /v1/jobs/batch: tries says for each request how to answer
// its lines; the last one holds for all that follow.
func batches(t *testing.T, tries ...func(w http.ResponseWriter, lines []lineOf)) (*Client, *[][]lineOf) {
	t.Helper()
	var requests [][]lineOf
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != httpapi.PathBatch ||
			r.Header.Get("Content-Type") != httpapi.TypeNDJSON {
			t.Errorf("%s %v, %v", r.URL, r.Header, err)
		}
		var lines []lineOf
		for line := range bytes.Lines(text) {
			var l lineOf
			if err := json.Unmarshal(line, &l); err != nil {
				t.Errorf("line %q: %v", line, err)
			}
			lines = append(lines, l)
		}
		requests = append(requests, lines)
		tries[min(len(requests), len(tries))-1](w, lines)
	})
	return c, &requests
}

// takes answers with an id a line, but refuses types that say so.
func takes(w http.ResponseWriter, lines []lineOf) { takesSome(w, lines, len(lines)) }

// takesSome answers n lines and lets the rest be.
func takesSome(w http.ResponseWriter, lines []lineOf, n int) {
	w.Header().Set("Content-Type", httpapi.TypeNDJSON)
	for i, l := range lines[:n] {
		a := httpapi.BatchAnswer{Line: int64(i) + 1, ID: job.NewID(time.Now()), Created: true}
		switch l.Type {
		case "bad":
			a = httpapi.Refusal(a.Line, httpapi.NewError(httpapi.Invalid, "no"))
		case "away":
			a = httpapi.Refusal(a.Line, httpapi.NewError(httpapi.Unavailable, "later"))
		case "full":
			a = httpapi.Refusal(a.Line, httpapi.NewError(httpapi.StoreFull, "later"))
		}
		w.Write(a.AppendJSON(nil))
	}
}

func TestSubmitBatch(t *testing.T) {
	t.Parallel()
	c, requests := batches(t, takes)
	const n = MaxBatch + 5
	jobs := func(yield func(Submission) bool) {
		for i := range n {
			s := Submission{Type: "good"}
			switch i {
			case 1:
				s.Type = "bad"
			case 2:
				s.ID = testID
			case 3:
				s.IdempotencyKey = "mine"
			}
			if !yield(s) {
				return
			}
		}
	}
	next := int64(1)
	for a, err := range c.SubmitBatch(t.Context(), jobs) {
		if err != nil || a.Line != next || (a.Refused() != nil) != (next == 2) {
			t.Fatalf("answer %d: %+v, %v", next, a, err)
		}
		next++
	}
	all := slices.Concat(*requests...)
	if next != n+1 || len(*requests) != 2 || len(all) != n {
		t.Fatalf("%d answers, %d requests, %d lines", next-1, len(*requests), len(all))
	}
	keys := map[string]bool{}
	for i, l := range all {
		switch {
		case i == 2 && (l.ID != testID || l.Key != ""), i == 3 && l.Key != "mine", i != 2 &&
			(l.Key == "" || keys[l.Key]):
			t.Fatalf("line %d: %+v", i+1, l)
		}
		keys[l.Key] = true
	}
}

// What got no good answer is sent again, under the same keys; the rest is not.
func TestSubmitBatchRepeats(t *testing.T) {
	t.Parallel()
	c, requests := batches(t,
		func(w http.ResponseWriter, lines []lineOf) { refuse(w, httpapi.NewError(httpapi.Unavailable, "")) },
		func(w http.ResponseWriter, lines []lineOf) {
			lines[1].Type = "away"
			lines[3].Type = "full"
			takes(w, lines)
		},
		func(w http.ResponseWriter, lines []lineOf) { takesSome(w, lines, 1) },
		func(w http.ResponseWriter, lines []lineOf) { takesSome(w, lines, 0); panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, lines []lineOf) { // it dies in the middle of an answer
			takesSome(w, lines, 0)
			w.Write([]byte(`{"line":1,"id":"0`))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		takes)
	var jobs []Submission
	for i := range 5 {
		jobs = append(jobs, Submission{Type: "good", IdempotencyKey: fmt.Sprint(i)})
	}
	var got []int64
	for a, err := range c.SubmitBatch(t.Context(), slices.Values(jobs)) {
		if err != nil || a.Refused() != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		got = append(got, a.Line)
	}
	var keys []string
	for _, r := range *requests {
		var one []string
		for _, l := range r {
			one = append(one, l.Key)
		}
		keys = append(keys, strings.Join(one, ""))
	}
	if diff := cmp.Diff([]int64{1, 3, 5, 2, 4}, got); diff != "" {
		t.Errorf("answers -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"01234", "01234", "13", "3", "3", "3"}, keys); diff != "" {
		t.Errorf("requests -want +got:\n%s", diff)
	}
}

func TestSubmitBatchGivesUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		try  func(w http.ResponseWriter, lines []lineOf)
		good func(error) bool
	}{
		"refused": {func(w http.ResponseWriter, _ []lineOf) {
			refuse(w, httpapi.NewError(httpapi.Unauthorized, ""))
		}, refusedAs(Unauthorized)},
		"a page": {func(w http.ResponseWriter, _ []lineOf) { io.WriteString(w, "<html>") }, foreign},
		"other lines": {func(w http.ResponseWriter, _ []lineOf) {
			w.Header().Set("Content-Type", httpapi.TypeNDJSON)
			io.WriteString(w, "hello\n")
		}, foreign},
		"wrong number": {func(w http.ResponseWriter, _ []lineOf) {
			w.Header().Set("Content-Type", httpapi.TypeNDJSON)
			io.WriteString(w, `{"line":7,"id":"x"}`+"\n")
		}, foreign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, requests := batches(t, test.try)
			for a, err := range c.SubmitBatch(t.Context(),
				slices.Values([]Submission{{Type: "good"}, {Type: "good"}})) {
				if !test.good(err) {
					t.Errorf("%+v, %v", a, err)
				}
			}
			if len(*requests) != 1 {
				t.Errorf("%d requests", len(*requests))
			}
		})
	}
	// Out of reach for as long as we try: the error says so, after what was taken.
	c, _ := batches(t, takes)
	c.retryFor = -1
	var last error
	taken := 0
	for _, err := range c.SubmitLines(t.Context(), [][]byte{[]byte(`{"type":"good"}`), nil,
		[]byte(`{"type":"full"}`)}) {
		if last = err; err == nil {
			taken++
		}
	}
	if taken != 1 || !refusedAs(StoreFull)(last) {
		t.Errorf("%d taken, %v", taken, last)
	}
}

func refusedAs(code httpapi.Code) func(error) bool {
	return func(err error) bool {
		var e *Error
		return errors.As(err, &e) && e.Code == code
	}
}
