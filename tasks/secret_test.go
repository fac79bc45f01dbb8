package tasks_test

import (
	"slices"
	"testing"

	"longshore/job"
	"longshore/tasks"
)

type secretPayload struct {
	User     string            `json:"user"`
	Password string            `json:"password" secret:"true"`
	More     map[string]hidden `json:"more,omitempty"`
	List     []hidden          `json:"list,omitempty"`
}

type hidden struct {
	Name string `json:"name,omitempty"`
	Pin  int    `json:"pin" secret:"true"`
}

// TestSecrets finds the secret values of a payload, as Go's tags and as a published schema say them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	info, err := tasks.Definition[secretPayload]{Type: "a.secret", Lane: job.LaneIO}.Info()
	if err != nil {
		t.Fatal(err)
	}
	published := tasks.Info{Type: "b.secret", Schema: info.Schema, Lane: info.Lane, Input: info.Input,
		TimeoutMS: info.TimeoutMS, MaxAttempts: info.MaxAttempts}
	c, err := tasks.NewCatalog(info, published)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []string{"a.secret", "b.secret"} {
		got := c.Secrets(typ, []byte(`{"user":"u","password":"p","more":{"x/y":{"name":"n","pin":1}},"list":[{"pin":2}]}`))
		if want := []string{"/list/0/pin", "/more/x~1y/pin", "/password"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", typ, got, want)
		}
		if got := c.Secrets(typ, []byte(`{"user":"u"}`)); len(got) != 0 {
			t.Errorf("%s: %q", typ, got)
		}
	}
	if got := c.Secrets("math.primes", []byte(`{"n":1}`)); got != nil {
		t.Errorf("of a type without secrets: %q", got)
	}
}
