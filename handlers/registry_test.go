package handlers_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"longshore/handlers"
	"longshore/tasks"
)

// Every definition has its handler and every handler its definition.
func TestBuiltIn(t *testing.T) {
	t.Parallel()
	r := handlers.BuiltIn()
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	infos, err := tasks.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, info := range infos {
		want = append(want, info.Type)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, r.Types()); diff != "" {
		t.Errorf("defined, handled:\n%s", diff)
	}
}

func TestFail(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such customer")
	err := fmt.Errorf("look up: %w", handlers.Fail(cause))
	var failure *handlers.Failure
	if !errors.As(err, &failure) || !failure.Final || failure.Code != "handler_error" ||
		!errors.Is(err, cause) {
		t.Errorf("got %+v", failure)
	}
	for _, err := range []error{handlers.Fail(errors.New("line 7:\n\t\x1b[31m\u202e is no line\n")),
		handlers.FailWith("corrupt_input", errors.New("line 7: \x1b[31m\u202e is no line"))} {
		if want := `line 7: \u001b[31m\u202e is no line`; err.Error() != want {
			t.Errorf("the message is %q, want %q", err, want)
		}
	}
	if handlers.Fail(nil) != nil {
		t.Error("Fail(nil) is not nil")
	}
}
