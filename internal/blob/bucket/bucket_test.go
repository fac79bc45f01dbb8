package bucket_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"longshore/internal/blob"
	"longshore/internal/blob/blobtest"
	"longshore/internal/blob/bucket"
	"longshore/internal/blob/bucket/buckettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, server *buckettest.Server, prefix string) *bucket.Store {
	t.Helper()
	l, err := bucket.ParseURL(server.URL(prefix))
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.Open(t.Context(), l, buckettest.Access())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	server := buckettest.Start(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, server, t.Name()) })
	_ = os.Args
}
