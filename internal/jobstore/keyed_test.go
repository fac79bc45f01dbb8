package jobstore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/batch"
	"longshore/job"
)

func keyed(key, digest string) NewJob {
	n := simple()
	n.ID, n.IdempotencyKey, n.Digest = DrawID(time.Now(), key), key, digest
	return n
}

// TestKeyedInOneCall holds that the short way of creation answers for keys as
// the long one does, whatever else is in the call.
func TestKeyedInOneCall(t *testing.T) {
	t.Parallel()
	a := keyed("a", "d")
	sameID, unkeyed := a, a
	sameID.IdempotencyKey, sameID.Digest = "a's other", "e"
	unkeyed.IdempotencyKey = ""
	gone := keyed("gone", "d")
	type answer struct {
		id  job.ID
		new bool
		err error
	}
	isNew := func(n NewJob) answer { return answer{n.ID, true, nil} }
	exists := func(n NewJob) answer { return answer{n.ID, false, nil} }
	mismatch := answer{"", false, ErrMismatch}
	for name, c := range map[string]struct {
		before, jobs []NewJob
		want         []answer
	}{
		"key twice":                  {nil, []NewJob{a, keyed("a", "d")}, []answer{isNew(a), exists(a)}},
		"key twice, another digest":  {nil, []NewJob{a, keyed("a", "e")}, []answer{isNew(a), mismatch}},
		"job twice":                  {nil, []NewJob{a, a}, []answer{isNew(a), exists(a)}},
		"key there":                  {[]NewJob{a}, []NewJob{keyed("a", "d"), keyed("a", "e"), a}, []answer{exists(a), mismatch, exists(a)}},
		"id there under another key": {[]NewJob{a}, []NewJob{sameID}, []answer{mismatch}},
		"id twice under two keys":    {nil, []NewJob{a, sameID}, []answer{isNew(a), mismatch}},
		"id twice, once unkeyed":     {nil, []NewJob{a, unkeyed}, []answer{isNew(a), mismatch}},
		"key of a record that went":  {nil, []NewJob{gone}, []answer{isNew(gone)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStore(t)
			base := s.bases[gone.ID.Shard()]
			if err := s.rdb.Set(t.Context(), base+"i:"+claimHash("gone"), string(keyed("gone", "").ID), 0).Err(); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.before {
				mustCreate(t, s, n)
			}
			created, errs := s.CreateMany(t.Context(), c.jobs)
			for i, want := range c.want {
				got := answer{created[i].ID, created[i].New, errs[i]}
				if got.id != want.id || got.new != want.new || !errors.Is(got.err, want.err) {
					t.Errorf("job %d: %+v, want %+v", i, got, want)
				}
			}
			first := c.want[0].id
			if len(c.before) > 0 {
				first = c.before[0].ID
			}
			digest := s.rdb.HGet(t.Context(), s.key(first), "ih").Val()
			if snap, err := s.Get(t.Context(), first); err != nil || snap.Rev != 1 || snap.State != job.Queued || digest != "d" {
				t.Errorf("job %+v, digest %q, %v", snap, digest, err)
			}
		})
	}
}

// TestKeyedRecord holds that both ways of creation write the same.
func TestKeyedRecord(t *testing.T) {
	t.Parallel()
	s := turnedStore(t)
	short, long := keyed("short", "d"), keyed("long", "d")
	short.Spec.Payload, long.Spec.Payload = []byte(`{"a":1}`), []byte(`{"a":1}`)
	long.ID = job.NewIDIn(time.Now(), short.ID.Shard())
	var calls []*batch.Call
	for _, n := range []NewJob{short, long} {
		args, err := s.createArgs(n)
		if err != nil {
			t.Fatal(err)
		}
		if rest, _ := args[2].(string); !strings.HasPrefix(rest, "=") {
			t.Fatalf("the rest of a keyed job is %q", rest)
		}
		calls = append(calls, &batch.Call{Key: s.key(n.ID), Args: args})
	}
	calls[1].Args[2] = "queued\n0\n0\n\n" + claimHash("long") + "\nd\n0\n\n10000\n\n0\n"
	if err := batch.RunAll(t.Context(), s.rdb, s.scripts.create, 1, calls); err != nil {
		t.Fatal(err)
	}
	written := func(n NewJob) map[string]string {
		base, id := s.bases[n.ID.Shard()], string(n.ID)
		all := s.rdb.HGetAll(t.Context(), s.key(n.ID)).Val()
		if all["ik"] != claimHash(n.IdempotencyKey) {
			t.Errorf("key of %s: %q", n.IdempotencyKey, all["ik"])
		}
		delete(all, "ik")
		all["named by the key"] = strings.ReplaceAll(s.rdb.Get(t.Context(), base+"i:"+claimHash(n.IdempotencyKey)).Val(), id, "it")
		all["spec"] = s.rdb.Get(t.Context(), base+"p:"+id).Val()
		for _, index := range []string{"due", "ids"} {
			if score, err := s.rdb.ZScore(t.Context(), base+index, id).Result(); err != nil || score != s.rdb.ZScore(t.Context(), base+index, string(short.ID)).Val() {
				t.Errorf("%s in %s: %v, %v", n.IdempotencyKey, index, score, err)
			}
		}
		return all
	}
	if diff := cmp.Diff(written(long), written(short)); diff != "" {
		t.Errorf("the long way writes (-), the short one (+):\n%s", diff)
	}
	if diff := cmp.Diff(calls[1].Reply, calls[0].Reply); diff != "" {
		t.Errorf("answers differ:\n%s", diff)
	}
}
