package jobstore

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/access"
	"longshore/job"
)

// payloadOf is a payload whose spec has n bytes.
func payloadOf(n int) json.RawMessage {
	return json.RawMessage(`{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`)
}

// specAt tells what of a job's spec is in its record, and what in a key of its own.
func (s *Store) specAt(t *testing.T, id job.ID) (within, apart string) {
	t.Helper()
	r, err := parseRecord(s.rdb.Get(t.Context(), s.key(id)).Val())
	if err != nil {
		t.Fatal(err)
	}
	return r.payload, s.rdb.Get(t.Context(), s.base(id)+"p:"+id.Raw()).Val()
}

// TestShortPayloadIsInTheRecord holds where each way of creation puts what a job is to do, and
// that it is found there.
func TestShortPayloadIsInTheRecord(t *testing.T) {
	t.Parallel()
	for way, change := range map[string]func(*NewJob){
		"plain": func(*NewJob) {},
		"keyed": func(n *NewJob) {
			n.IdempotencyKey = string(n.ID)
			n.ID = DrawID(time.Now(), access.Owner{}, n.IdempotencyKey)
		},
		"long way": func(n *NewJob) { n.ExpiresIn = time.Hour },
	} {
		for _, c := range []struct {
			name          string
			payload       json.RawMessage
			within, apart bool
		}{
			{"none", json.RawMessage("{}"), false, false},
			{"short", payloadOf(shortPayload), true, false},
			{"long", payloadOf(shortPayload + 1), false, true},
		} {
			t.Run(way+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := testStore(t)
				n := simple()
				change(&n)
				n.Spec.Payload = c.payload
				ticket := mustCreate(t, s, n)
				if within, apart := s.specAt(t, n.ID); (within != "") != c.within ||
					(apart != "") != c.apart {
					t.Errorf("in the record %q, in its own key %q", within, apart)
				}
				s.startsWith(t, ticket, Spec{Payload: c.payload})
			})
		}
	}
}

// startsWith starts a job, twice as after a lost reply, and reads it.
func (s *Store) startsWith(t *testing.T, ticket job.Ticket, want Spec) {
	t.Helper()
	fence := NewFence()
	for _, which := range []string{"start", "its repeat"} {
		st, err := s.Start(t.Context(), ticket, fence, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, st.Spec); diff != "" {
			t.Errorf("%s: the job is to do (-), was told (+):\n%s", which, diff)
		}
	}
	r, err := s.Read(t.Context(), ticket.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, r.Spec); diff != "" {
		t.Errorf("the job is to do (-), the record says (+):\n%s", diff)
	}
}

// TestSpecOfAnUpload holds that what an uploading job is to do, which its input
// is added to, is never in its record, where it would hide that.
func TestSpecOfAnUpload(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	n.UploadFence, n.Spec.Payload = NewFence(), payloadOf(20)
	mustCreate(t, s, n)
	if field, key := s.specAt(t, n.ID); field != "" || key == "" {
		t.Errorf("in the record %q, in its own key %q", field, key)
	}
	want := Spec{Payload: n.Spec.Payload, Input: &Input{Blob: string(n.ID) + "/input", Size: 1}}
	ticket, err := s.Uploaded(t.Context(), n.ID, n.UploadFence, want)
	if err != nil {
		t.Fatal(err)
	}
	s.startsWith(t, ticket, want)
}

// TestSealedUpload holds that a payload with secrets is what it was behind an upload, too.
func TestSealedUpload(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	n := simple()
	n.UploadFence, n.Spec.Payload, n.Spec.Sealed = NewFence(), payloadOf(20), []string{"/a"}
	mustCreate(t, s, n)
	want := Spec{Payload: n.Spec.Payload, Sealed: n.Spec.Sealed,
		Input: &Input{Blob: string(n.ID) + "/input", Size: 1}}
	ticket, err := s.Uploaded(t.Context(), n.ID, n.UploadFence, want)
	if err != nil {
		t.Fatal(err)
	}
	s.startsWith(t, ticket, want)
}
