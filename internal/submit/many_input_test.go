package submit_test

import (
	"fmt"
	"testing"

	"longshore/internal/httpapi"
	"longshore/internal/jobstore"
	"longshore/job"
)

// Lines may take another job's output as input, by the rules of a lone request,
// and what is wrong with one hinders no other.
func TestBatchReference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	owner := b.upload("file.compress")
	b.finish(owner.ID, jobstore.Succeeded, "out.gz", "other")
	var text string
	for _, input := range []string{`{"job":"%[1]s","output":"out.gz"}`, `{"job":"%[1]s"}`,
		`{"job":"%[2]s","output":"x"}`, `{"job":"%[1]s","path":"/"}`,
		`"%[1]s"`, `{"job":7}`, `{"job":"%[1]s","output":"other"}`} {
		text += fmt.Sprintf(`{"type":"log.analyze","idempotency_key":"k%[3]d","input":`+input+"}\n", owner.ID,
			job.NewID(owner.CreatedAt), len(text))
	}
	text = fmt.Sprintf(`{"type":"math.primes","payload":{"n":1},"input":{"job":"%s","output":"other"}}`+"\n",
		owner.ID) + text
	want := []string{"/input", "", "/input/output", "/input/job", "/input/path", "/input", "/input/job", ""}
	answers := send(t, b.Submitter, text)
	if len(answers) != len(want) {
		t.Fatalf("%d answers to %d lines", len(answers), len(want))
	}
	for i, a := range answers {
		switch {
		case want[i] == "" && (a.Code != "" || !a.Created):
			t.Errorf("line %d: %+v", i+1, a)
		case want[i] != "" && (a.Code == "" || len(a.Errors) != 1 || a.Errors[0].Pointer != want[i]):
			t.Errorf("line %d: %+v, want it to point at %s", i+1, a, want[i])
		}
	}
	if answers[3].Code != httpapi.NotFound {
		t.Errorf("no such job: %+v", answers[3])
	}
	if st, _ := b.start(answers[7].ID); st.Spec.Input == nil || st.Spec.Input.Filename != "other" {
		t.Errorf("the last one's input is %+v", st.Spec.Input)
	}
	for i, a := range send(t, b.Submitter, text) {
		if a.ID != answers[i].ID || a.Created {
			t.Errorf("line %d again: %+v, first %+v", i+1, a, answers[i])
		}
	}
}
