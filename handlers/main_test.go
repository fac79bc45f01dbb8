package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"longshore/handlers"
	"longshore/handlers/handlerstest"
	"longshore/internal/stream"
	"longshore/job"
)

func TestMain(m *testing.M) {
	if os.Getenv(boundVariable) != "" {
		runBoundCase()
		return
	}
	code := m.Run()
	os.RemoveAll(boundBuilt) // "" if nothing was built
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left over:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// builtIn are the handlers, made once: with the race detector that takes longer than many a job.
var builtIn = sync.OnceValue(handlers.BuiltIn)

// run runs a built-in handler and checks that it leaves nothing open.
func run(t testing.TB, ctx context.Context, typ, payload string, r *handlers.Run,
	files *handlerstest.Files) ([]byte, error) {
	t.Helper()
	entry, ok := builtIn().Lookup(typ)
	if !ok {
		t.Fatalf("no handler for %s: %v", typ, builtIn().Err())
	}
	result, err := entry.Run(ctx, r, []byte(payload))
	if n := files.Left(); n != 0 {
		t.Errorf("%s %s: %d files left open", typ, payload, n)
	}
	return result, err
}

// succeed runs a built-in handler on an input and returns its result and outputs.
func succeed(t testing.TB, typ, payload string, input []byte) (map[string]any, map[string][]byte) {
	t.Helper()
	r, files := handlerstest.NewRun(typ, input)
	text, err := run(t, t.Context(), typ, payload, r, files)
	if err != nil {
		t.Fatalf("%s %s: %v", typ, payload, err)
	}
	var result map[string]any
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatal(err)
	}
	return result, files.Committed()
}

// fail runs a built-in handler that must fail for good with a code and without
// an output, and returns the error.
func fail(t testing.TB, typ, payload string, input []byte, code job.Code) error {
	t.Helper()
	r, files := handlerstest.NewRun(typ, input)
	_, err := run(t, t.Context(), typ, payload, r, files)
	var failure *handlers.Failure
	if !errors.As(err, &failure) || failure.Code != code || !failure.Final {
		t.Fatalf("%s %s: got %v, want a final failure %s", typ, payload, err, code)
	}
	if n := len(files.Committed()); n != 0 {
		t.Fatalf("%s %s: %d outputs after a failure", typ, payload, n)
	}
	return err
}

// pack compresses with the code under test of package stream.
func pack(t testing.TB, format stream.Format, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := stream.NewWriter(&b, format, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
