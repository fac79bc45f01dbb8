package schedules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/access"
	"longshore/internal/httpapi"
)

func TestWrongSpecs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for text, want := range map[string]string{
		`{` + primes +
			`}`: "/cron: expected cron or every",
		`{"cron":"0 0 30 2 *",` + primes +
			`}`: "/cron: at character 5: it never comes",
		`{"cron":"61 * * * *",` + primes +
			`}`: "/cron: at character 1: minute",
		`{"cron":"0 0 * * *","every":"1h",` + primes +
			`}`: "/every: stands beside cron",
		`{"every":"999ms",` + primes +
			`}`: "/every: expected 1s to 8784h",
		`{"every":"soon",` + primes +
			`}`: "/every: expected a duration",
		`{"every":-1,` + primes +
			`}`: "/every: expected 1s",
		`{"cron":"0 0 * * *","timezone":"Mars/Base",` + primes +
			`}`: "/timezone: there is no such time zone",
		`{"cron":"0 0 * * *","timezone":"Local",` + primes +
			`}`: "/timezone: there is no such",
		`{"cron":"0 0 * * *","timezone":"../../etc/passwd",` + primes +
			`}`: "/timezone: there is no such",
		`{"cron":"0 0 * * *","type":"nobody.serves"}`:                  "/type: unknown type",
		`{"cron":"0 0 * * *"}`:                                         "/type: expected the name of a type",
		`{"cron":"0 0 * * *","type":"math.primes","payload":{"n":-1}}`: "/payload/n",
		`{"cron":"0 0 * * *","type":"file.checksum"}`:                  "/input: this type works on a file",
		`{"cron":"0 0 * * *","input":{"job":"x"},` + primes +
			`}`: "/input: a schedule's jobs have no input",
		`{"cron":"0 0 * * *","overlap":"never",` + primes +
			`}`: "/overlap: expected allow, skip or cancel_running",
		`{"cron":"0 0 * * *","catch_up":"some",` + primes +
			`}`: "/catch_up: expected last, none or all",
		`{"cron":"0 * * * *","jitter":"1h",` + primes +
			`}`: "/jitter: expected less than from one tick to the next, 1h",
		`{"cron":"0 0 * * *","jitter":"2h",` + primes +
			`}`: "/jitter: expected a duration up to 1h",
		`{"cron":"0 0 * * *","starts_at":"2025-01-01T00:00:00Z",` + primes +
			`}`: "/starts_at: lies more than a year back",
		`{"cron":"@yearly","starts_at":"9999-12-31T00:00:00Z",` + primes +
			`}`: "/starts_at: lies more than ten years ahead",
		`{"every":"1h","starts_at":"2027-04-01T00:00:00Z","ends_at":"2027-03-31T00:00:00Z",` + primes +
			`}`: "/ends_at: lies before",
		`{"cron":"0 0 * * *","ends_at":"soon",` + primes +
			`}`: "/ends_at: expected a time",
		`{"cron":"0 0 * * *","run_at":"2027-04-01T00:00:00Z",` + primes +
			`}`: "/run_at: unknown field",
		`{"cron":"0 0 * * *","name":"x",` + primes +
			`}`: "/name: unknown field",
		`{"cron":7,` + primes +
			`}`: "/cron: expected string",
		`{"cron":"0 0 * * *","priority":"urgent",` + primes +
			`}`: "/priority",
		`{"cron":"0 0 * * *","cron":"0 0 * * *",` + primes +
			`}`: "",
		`[]`: "",
		`{`:  "",
	} {
		_, _, err := b.Put(t.Context(), b.by, "x", []byte(text))
		if err == nil || !strings.Contains(textOf(err), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
		if status := httpapi.AsError(err).Status; err != nil && status != 422 && status != 400 {
			t.Errorf("%s: status %d", text, status)
		}
	}
	for _, name := range []string{"", "..", "a/b", "a b", "ü", strings.Repeat("a", 65)} {
		if _, _, err := b.Put(t.Context(), b.by, name, []byte(`{"every":"1h",`+primes+`}`)); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if list, err := b.List(t.Context(), b.by, ""); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// One tenant's schedules are none of another's, and their jobs are the tenant's.
func TestTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	acme := Asker{Who: &access.Principal{Kind: access.KindKey, ID: "k", Tenant: "acme",
		Scopes: access.Operate},
		View: access.View{Tenant: "acme"}, Tenant: "acme"}
	other := Asker{Who: &access.Principal{Kind: access.KindKey, ID: "o", Tenant: "other",
		Types: []string{"file.*"}},
		View: access.View{Tenant: "other"}, Tenant: "other"}
	if _, _, err := b.Put(t.Context(), acme, "a", []byte(`{"every":"1m",`+primes+`}`)); err != nil {
		t.Fatal(err)
	}
	b.put("a", `{"every":"1h",`+primes+`}`)
	if _, _, err := b.Put(t.Context(), other, "a",
		[]byte(`{"every":"1h",`+primes+`}`)); httpapi.AsError(err).Code != httpapi.Forbidden {
		t.Errorf("a type that the key may not submit: %v", err)
	}
	if list, err := b.List(t.Context(), other, ""); err != nil || len(list) != 0 {
		t.Errorf("other sees %v, %v", list, err)
	}
	_, err := b.Get(t.Context(), other, "a")
	_, err2 := b.Pause(t.Context(), other, "a", "")
	_, _, err3 := b.Trigger(t.Context(), other, "a", "")
	for _, err := range []error{err, err2, err3, b.Delete(t.Context(), other, "a")} {
		if httpapi.AsError(err).Code != httpapi.NotFound {
			t.Errorf("other's: %v", err)
		}
	}
	if list, err := b.List(t.Context(), b.by, ""); err != nil || len(list) != 2 {
		t.Errorf("root sees %v, %v", list, err)
	}
	b.turn(time.Minute)
	s, err := b.Get(t.Context(), acme, "a")
	if err != nil || s.Tenant != "acme" || s.Made != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if snap, err := b.Store.Get(t.Context(), s.LastJob); err != nil || snap.Tenant != "acme" {
		t.Errorf("%+v, %v", snap, err)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	apply := func(prune bool, names ...string) answer.ScheduleApplied {
		t.Helper()
		items := make([]string, len(names))
		for i, name := range names {
			items[i] = `{"name":"` + name + `","every":"1h",` + primes + `}`
		}
		done, err := b.Apply(t.Context(), b.by,
			[]byte(fmt.Sprintf(`{"source":"crontab","prune":%v,"schedules":[%s]}`, prune,
				strings.Join(items, ","))))
		if err != nil {
			t.Fatal(textOf(err))
		}
		return done
	}
	b.put("by-hand", `{"every":"1h",`+primes+`}`)
	if done := apply(true, "a", "b", "c"); len(done.Created) != 3 || len(done.Removed) != 0 {
		t.Errorf("%+v", done)
	}
	// One dropped, one renamed: what is left is marked, and goes on.
	if done := apply(false, "a", "beta"); len(done.Unchanged) != 1 || len(done.Created) != 1 ||
		len(done.Left) != 2 {
		t.Errorf("%+v", done)
	}
	if s := b.get("b"); !s.NotInSource || len(s.Next) != 5 {
		t.Errorf("%+v", s)
	}
	if done := apply(true, "a", "c"); len(done.Removed) != 2 || len(done.Changed)+len(done.Unchanged) != 2 {
		t.Errorf("%+v", done)
	}
	list, err := b.List(t.Context(), b.by, "")
	names := ""
	for _, s := range list {
		names += fmt.Sprint(s.Name, s.NotInSource, " ")
	}
	if err != nil || names != "afalse by-handfalse cfalse " {
		t.Errorf("%s, %v", names, err)
	}
	for text, want := range map[string]string{
		`{"schedules":[]}`: "/source: expected the name",
		`{"source":"x"}`:   "/schedules: expected a list",
		`{"source":"x","schedules":[{"every":"1h",` + primes +
			`}]}`: "/schedules/0/name: expected",
		`{"source":"x","schedules":[{"name":"z","every":"1h",` + primes + `},{"name":"z","every":"1h",` +
			primes + `}]}`: "/schedules/1/name: stands there twice",
		`{"source":"x","schedules":[{"name":"ok","every":"1h",` + primes +
			`},{"name":"z","cron":"0 0 31 4 *",` + primes + `}]}`: "/schedules/1/cron: at character 5",
		`{"source":"x","schedules":[{"name":"z","every":"1h","type":"none.such"}]}`: "/schedules/0/type: unknown type",
		`{"source":"x","schedules":[7]}`:                                            "/schedules/0",
		`{"source":"x","schedules":{}}`:                                             "/schedules: expected a list",
		`{"source":"x","prune":1,"schedules":[]}`:                                   "/prune",
		`{"source":"x","purge":true,"schedules":[]}`:                                "/purge: unknown field",
		`{"source":"x","schedules":[{"name":"a","every":"1h",` + primes +
			`}]}`: `a came with the source "crontab"`,
	} {
		if _, err := b.Apply(t.Context(), b.by, []byte(text)); err == nil || !strings.Contains(textOf(err),
			want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if list, _ := b.List(t.Context(), b.by, "x"); len(list) != 0 {
		t.Errorf("a list that is wrong has made %v", list)
	}
}
