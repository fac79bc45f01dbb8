package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"longshore/internal/functions/registry"
	"longshore/internal/localredis/redistest"
	"longshore/job"
	"longshore/tasks"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func infoOf(typ string) tasks.Info {
	return tasks.Info{Type: typ, Lane: job.LaneCPU, TimeoutMS: 1000, MaxAttempts: 1,
		Schema: json.RawMessage(`{"type":"object"}`)}
}

func content(n int) registry.Version {
	sha := fmt.Sprintf("%064x", n)
	return registry.Version{SHA256: sha, Kind: registry.KindModule, Blob: registry.DrawBlob(sha), By: "root"}
}

// TestDeploy is the life of a type.
func TestDeploy(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), registry.New(redistest.Client(t), redistest.Prefix(t))
	deploy := func(n int, ifCurrent ...int64) (int64, bool, error) {
		var want *int64
		if len(ifCurrent) > 0 {
			want = &ifCurrent[0]
		}
		return s.Deploy(ctx, "a.b", content(n), infoOf("a.b"), want)
	}
	expect := func(what string, n, wantN int64, made, wantMade bool, err error) {
		t.Helper()
		if err != nil || n != wantN || made != wantMade {
			t.Errorf("%s: %d, %t, %v", what, n, made, err)
		}
	}
	n, made, err := deploy(1, 0)
	expect("the first", n, 1, made, true, err)
	n, made, err = deploy(1, 0)
	expect("the same again", n, 1, made, false, err)
	n, made, err = deploy(2, 1)
	expect("the second", n, 2, made, true, err)
	var mismatch *registry.MismatchError
	if _, _, err := deploy(3, 1); !errors.As(err, &mismatch) || mismatch.Current != 2 {
		t.Errorf("got %v", err)
	}
	n, made, err = s.Rollback(ctx, "a.b", 1, "me", nil)
	expect("a rollback", n, 3, made, true, err)
	current, err := s.Current(ctx)
	if c := current["a.b"]; err != nil || c.Number != 3 || c.Of != 1 || c.By != "me" || c.Info.Version != 3 ||
		c.SHA256 != content(1).SHA256 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, _, err := s.Rollback(ctx, "a.b", 9, "me", nil); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := s.Remove(ctx, "a.b"); err != nil {
		t.Error(err)
	}
	if err := s.Remove(ctx, "a.b"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if current, err := s.Current(ctx); err != nil || len(current) != 0 {
		t.Errorf("%v, %v", current, err)
	}
	if blobs, err := s.Blobs(ctx); err != nil || len(blobs) != 0 {
		t.Errorf("%v, %v", blobs, err)
	}
	n, made, err = deploy(1, 0)
	expect("after the removal", n, 4, made, true, err)
}

// TestTwoAtOnce holds that no deployment is lost: each has a number of its own, and of those
// that expect the same version one wins.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	const all = 30
	ctx, s := t.Context(), registry.New(redistest.Client(t), redistest.Prefix(t))
	var mu sync.Mutex
	var numbers []int64
	won := 0
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			n, made, err := s.Deploy(ctx, "a.b", content(i), infoOf("a.b"), nil)
			none := int64(0)
			_, first, err2 := s.Deploy(ctx, "a.c", content(i), infoOf("a.c"), &none)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !made {
				t.Error(n, made, err)
			}
			if numbers = append(numbers, n); first {
				won++
			} else if !errors.As(err2, new(*registry.MismatchError)) {
				t.Error(err2)
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != int64(i+1) {
			t.Fatalf("numbers %v", numbers)
		}
	}
	if won != 1 {
		t.Errorf("%d have won", won)
	}
	versions, current, err := s.Versions(ctx, "a.b")
	if err != nil || current != all || len(versions) != registry.Kept ||
		versions[0].Number != all-registry.Kept+1 {
		t.Errorf("%d versions from %v, current %d, %v", len(versions), versions, current, err)
	}
	blobs, err := s.Blobs(ctx)
	if err != nil || len(blobs) != registry.Kept+1 {
		t.Errorf("%d blobs, %v", len(blobs), err)
	}
	for name := range blobs {
		if !strings.HasPrefix(name, registry.BlobMark) || strings.Contains(name, "/") {
			t.Errorf("blob %q", name)
		}
	}
}
