package httpapi_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TestAppendSnapshot fills snapshots at random, by their type: a field that is
// new and not written shows too.
func TestAppendSnapshot(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		s := job.Snapshot{}
		fill(rand.New(rand.NewPCG(seed, 1)), reflect.ValueOf(&s).Elem())
		want, err := httpapi.Encode(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := httpapi.AppendSnapshot(nil, &s)
		if diff := cmp.Diff(string(want), string(got)); diff != "" || err != nil {
			t.Fatalf("seed %d, %v: (-encoding/json +own)\n%s", seed, err, diff)
		}
	}
}

func TestAppendSnapshotRefuses(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]job.Snapshot{
		"result that is no JSON":     {Result: json.RawMessage(`{"a":`)},
		"year of more than 4 digits": {CreatedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if text, err := httpapi.AppendSnapshot(nil, &s); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

var (
	someTexts = []string{"", "queued", `a "quoted" \ text`, "<b>&\u2028", "über", "line\nline",
		"bad \xff byte", "\x7f"}
	someRaws = []string{"", "null", `{"a": [1, 2.50, "<>"] }`, `"` + "\u2029" + `\u003c"`, "[]"}
	zones    = []*time.Location{time.UTC, time.FixedZone("", 5400)}
)

// fill sets a value and all in it to anything of its type, often to zero.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(r.Int64N(4e12)).In(zones[r.IntN(2)])))
		return
	case json.RawMessage:
		v.SetBytes([]byte(someRaws[r.IntN(len(someRaws))]))
		return
	}
	if v.Kind() != reflect.Struct && r.IntN(3) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			v.SetMapIndex(reflect.ValueOf(someTexts[r.IntN(len(someTexts))]),
				reflect.ValueOf(someTexts[r.IntN(len(someTexts))]))
		}
	case reflect.String:
		v.SetString(someTexts[r.IntN(len(someTexts))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() - r.Int64())
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	default:
		panic("a field of type " + v.Type().String())
	}
}

func BenchmarkAppendSnapshot(b *testing.B) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	s := httpapi.Show(job.Snapshot{ID: job.NewID(at), Type: "bench.none", State: job.Succeeded, Done: true,
		Rev: 3, Lane: "io", Priority: "default",
		Attempt: 1, MaxAttempts: 3, Result: json.RawMessage(`{"t":1700000000123456789}`), Usage: &job.Usage{},
		CreatedAt: at, StartedAt: &at, FinishedAt: &at})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			httpapi.Encode(&s)
		}
	})
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			httpapi.AppendSnapshot(nil, &s)
		}
	})
}
