package jobstore

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/localredis/redistest"
	"longshore/job"
)

// payloadOf is a payload whose spec has n bytes.
func payloadOf(n int) json.RawMessage {
	return json.RawMessage(`{"a":"` + strings.Repeat("x", n-len(`{"p":{"a":""}}`)) + `"}`)
}

// specAt tells where the spec of a job is: in its record, in a key of its own.
func (s *Store) specAt(t *testing.T, id job.ID) (field, key string) {
	t.Helper()
	return s.rdb.HGet(t.Context(), s.key(id), "p").Val(), s.rdb.Get(t.Context(), s.bases[id.Shard()]+"p:"+string(id)).Val()
}

// TestShortSpecIsInTheRecord holds where each way of creation puts a spec, and
// that it is found there, and where records kept short ones before, too.
func TestShortSpecIsInTheRecord(t *testing.T) {
	t.Parallel()
	for way, change := range map[string]func(*NewJob){
		"plain": func(*NewJob) {},
		"keyed": func(n *NewJob) {
			n.IdempotencyKey = string(n.ID)
			n.ID = DrawID(time.Now(), n.IdempotencyKey)
		},
		"long way": func(n *NewJob) { n.ExpiresIn = time.Hour },
	} {
		for _, c := range []struct {
			name          string
			payload       json.RawMessage
			within, apart bool
			old           bool // made into a record of before
		}{
			{"none", json.RawMessage("{}"), false, false, false},
			{"short", payloadOf(64), true, false, false},
			{"long", payloadOf(65), false, true, false},
			{"short of before", payloadOf(64), false, true, true},
		} {
			t.Run(way+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				s := testStore(t)
				n := simple()
				change(&n)
				n.Spec.Payload = c.payload
				ticket := mustCreate(t, s, n)
				if field, _ := s.specAt(t, n.ID); c.old {
					err1 := s.rdb.HDel(t.Context(), s.key(n.ID), "p").Err()
					err2 := s.rdb.Set(t.Context(), s.bases[n.ID.Shard()]+"p:"+string(n.ID), field, 0).Err()
					if err := errors.Join(err1, err2); err != nil {
						t.Fatal(err)
					}
				}
				if field, key := s.specAt(t, n.ID); (field != "") != c.within || (key != "") != c.apart {
					t.Errorf("in the record %q, in its own key %q", field, key)
				}
				if redistest.Real() {
					if kind := s.rdb.ObjectEncoding(t.Context(), s.key(n.ID)).Val(); kind != "listpack" {
						t.Errorf("the record is a %s", kind)
					}
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
