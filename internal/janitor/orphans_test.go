package janitor_test

import (
	"errors"
	"testing"
	"time"

	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket/buckettest"
	"longshore/internal/connect"
	"longshore/internal/janitor"
	"longshore/internal/jobstore"
	"longshore/internal/localredis/redistest"
	"longshore/job"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// TestSweepOrphans holds, for a folder and for a bucket, that blobs go which no
// record knows, and uploads that nobody ended, but only when they are old.
func TestSweepOrphans(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) connect.Config{
		"folder": func(t *testing.T) connect.Config {
			return connect.Config{BlobURL: "file://" + t.TempDir()}
		},
		"bucket": func(t *testing.T) connect.Config {
			return connect.Config{BlobURL: buckettest.Start(t).URL("p"), S3KeyID: buckettest.KeyID,
				S3SecretKey: buckettest.SecretKey}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			c.RedisURL, c.Prefix = redistest.URL(t), redistest.Prefix(t)
			sys, err := connect.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer sys.Close()
			known, orphan := job.NewID(time.Now()), job.NewID(time.Now())
			file, lost := jobstore.Folder(known), jobstore.Folder(orphan)
			if _, err := sys.Store.Create(t.Context(), jobstore.NewJob{ID: known, Type: "a.b",
				Lane: job.LaneIO, Priority: job.Default,
				Timeout: time.Minute, MaxAttempts: 1, Retention: time.Hour,
				Spec: jobstore.Spec{Payload: []byte("{}")}}); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{file + "/in", lost + "/in", lost + "/f/out", string(known) + "/in",
				"strange/in"} {
				blobtest.Put(t, sys.Blobs, name, name)
			}
			w, err := sys.Blobs.Create(t.Context(), lost+"/cut")
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			if _, err := w.Write(make([]byte, 6<<20)); err != nil {
				t.Fatal(err)
			}
			if err := janitor.SweepOrphansOnce(sys.Janitor, t.Context(),
				time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			blobtest.Get(t, sys.Blobs, lost+"/in")
			if err := janitor.SweepOrphansOnce(sys.Janitor, t.Context(),
				time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			blobtest.Missing(t, sys.Blobs, lost+"/in")
			blobtest.Missing(t, sys.Blobs, lost+"/f/out")
			blobtest.Get(t, sys.Blobs, file+"/in")
			blobtest.Missing(t, sys.Blobs, string(known)+"/in") // of a record of format 2: those are gone
			blobtest.Get(t, sys.Blobs, "strange/in")
		})
	}
}

// TestNoSweepWhileLost holds that nothing is deleted while Redis may have lost who knows it, also if it loses
// that in the middle of a sweep, and that an acceptance lets it go.
func TestNoSweepWhileLost(t *testing.T) {
	t.Parallel()
	sys, err := connect.Open(t.Context(), connect.Config{BlobURL: "file://" + t.TempDir(),
		RedisURL: redistest.URL(t), Prefix: redistest.Prefix(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	if loss, err := sys.Janitor.Vouch(t.Context()); err != nil || loss.Is() {
		t.Fatal(loss, err)
	}
	lost := jobstore.Folder(job.NewID(time.Now().Add(-48 * time.Hour)))
	blobtest.Put(t, sys.Blobs, lost+"/in", "text")
	if err := sys.Redis.Del(t.Context(), sys.Prefix+":meta").Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is noted
		err := janitor.SweepOrphansOnce(sys.Janitor, t.Context(), time.Now().Add(time.Hour))
		if !errors.Is(err, job.ErrStoreReset) {
			t.Errorf("swept: %v", err)
		}
		blobtest.Get(t, sys.Blobs, lost+"/in")
	}
	if err := janitor.Drop(sys.Janitor, t.Context(), lost); !errors.Is(err, job.ErrStoreReset) {
		t.Errorf("dropped in the middle of a sweep: %v", err)
	}
	if loss, err := sys.Janitor.AcceptLoss(t.Context()); err != nil || !loss.Is() {
		t.Fatal(loss, err)
	}
	if err := janitor.SweepOrphansOnce(sys.Janitor, t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	blobtest.Missing(t, sys.Blobs, lost+"/in")
	blobtest.Get(t, sys.Blobs, janitor.LifeBlob)
}
