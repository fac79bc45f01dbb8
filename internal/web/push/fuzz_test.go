package push

import (
	"strings"
	"testing"

	"longshore/internal/httpapi"
	"longshore/job"
)

// FuzzSocketMessage reads a client's messages: what is taken is within the
// limits, and what is refused is said without the client's own words.
func FuzzSocketMessage(f *testing.F) {
	const id = "0199c0de-0000-7000-8000-000000000001"
	f.Add([]byte(`{"type":"subscribe","jobs":[{"id":"` + id + `","after":3},{"id":"` + id + `"}]}`))
	f.Add([]byte(`{"type":"unsubscribe","jobs":[{"id":"x"}]}`))
	f.Add([]byte(`{"type":"subscribe","type":"subscribe"} {`))
	f.Add([]byte(`{"type":"subscribe","jobs":[{"id":"` + id + `","after":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseSocketMessage(text)
		if err != nil {
			if err.Code != httpapi.Invalid || err.Detail == "" || len(err.Errors) > 10 {
				t.Errorf("error %+v", err)
			}
			return
		}
		if m.verb != subscribe && m.verb != unsubscribe || len(m.jobs) == 0 || len(m.jobs) > maxWatched {
			t.Fatalf("message %+v", m)
		}
		seen := map[job.ID]bool{}
		for _, j := range m.jobs {
			if _, err := job.ParseID(string(j.ID)); err != nil || j.Rev < 0 || seen[j.ID] {
				t.Errorf("job %+v", j)
			}
			seen[j.ID] = true
		}
	})
}

// FuzzRevision reads the cursor of a stream of one job.
func FuzzRevision(f *testing.F) {
	for _, text := range []string{"0", "7", "-1", "9223372036854775808", "+3", "0x7", " 7", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rev := int64(-1)
		if err := parseRev(text, &rev); (err == nil) != (rev >= 0) {
			t.Errorf("%q: %d, %v", text, rev, err)
		}
		if rev >= 0 && strings.ContainsAny(text, ".,\r\n ") {
			t.Errorf("%q is %d", text, rev)
		}
	})
}
