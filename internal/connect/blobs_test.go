package connect

import (
	"errors"
	"testing"
	"time"

	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket/buckettest"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// TestSweepOrphans holds, for a folder and for a bucket, that blobs go which no
// record knows, and uploads that nobody ended, but only when they are old.
func TestSweepOrphans(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) Config{
		"folder": func(t *testing.T) Config { return Config{BlobURL: "file://" + t.TempDir()} },
		"bucket": func(t *testing.T) Config {
			return Config{BlobURL: buckettest.Start(t).URL("p"), S3KeyID: buckettest.KeyID, S3SecretKey: buckettest.SecretKey}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			c.RedisURL, c.Prefix = redistest.URL(t), redistest.Prefix(t)
			sys, err := Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer sys.Close()
			known, orphan := job.NewID(time.Now()), job.NewID(time.Now())
			if _, err := sys.Store.Create(t.Context(), jobstore.NewJob{ID: known, Type: "a.b", Lane: job.LaneIO, Priority: job.Default,
				Timeout: time.Minute, MaxAttempts: 1, Retention: time.Hour, Spec: jobstore.Spec{Payload: []byte("{}")}}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{string(known) + "/in", string(orphan) + "/in", string(orphan) + "/f/out", "strange/in"} {
				blobtest.Put(t, sys.Blobs, name, name)
			}
			w, err := sys.Blobs.Create(t.Context(), string(orphan)+"/cut")
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			if _, err := w.Write(make([]byte, 6<<20)); err != nil {
				t.Fatal(err)
			}
			if err := sys.sweepOrphans(t.Context(), time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			blobtest.Get(t, sys.Blobs, string(orphan)+"/in")
			if err := sys.sweepOrphans(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			blobtest.Missing(t, sys.Blobs, string(orphan)+"/in")
			blobtest.Missing(t, sys.Blobs, string(orphan)+"/f/out")
			blobtest.Get(t, sys.Blobs, string(known)+"/in")
			blobtest.Get(t, sys.Blobs, "strange/in")
		})
	}
}

// TestForget holds that a sweep never waits for the blob store.
func TestForget(t *testing.T) {
	t.Parallel()
	sys := &System{gone: make(chan job.ID, 1), looks: make(chan job.ID, 1)}
	first := sys.forget(t.Context(), "a")
	if second := sys.forget(t.Context(), "b"); first != nil || !errors.Is(second, errGoneFull) {
		t.Errorf("forget = %v, %v", first, second)
	}
	first = sys.lookAfter(t.Context(), "a")
	if second := sys.lookAfter(t.Context(), "b"); first != nil || !errors.Is(second, errLooksFull) {
		t.Errorf("lookAfter = %v, %v", first, second)
	}
}
