package alerts

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/localredis/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func newStore(t *testing.T) *store {
	t.Helper()
	return &store{redistest.Client(t), redistest.Prefix(t) + ":alerts"}
}

// turn has the next look be somebody's turn at once.
func turn(t *testing.T, s *store) {
	t.Helper()
	if err := s.rdb.HDel(t.Context(), s.key, "look").Err(); err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, s *store) *look {
	t.Helper()
	l, err := s.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func someReceiver(name string) Receiver {
	return Receiver{name: name, url: "http://127.0.0.1:9/" + name, host: "127.0.0.1:9"}
}

func noteFor(to, alert, state string) note {
	return note{To: to, ID: newMessage(), Body: answer.AlertMessage{Alert: alert, State: state, Summary: "s"}}
}

// TestTwoLookers has many processes look at once: one of them gets the turn. And two that have read the
// same: one of them writes, and what it owes is owed once.
func TestTwoLookers(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), t.Context()
	var wg sync.WaitGroup
	turns := make(chan *look, 32)
	for range cap(turns) {
		wg.Go(func() {
			l, err := s.begin(ctx)
			if err != nil {
				t.Error(err)
			}
			turns <- l
		})
	}
	wg.Wait()
	close(turns)
	n := 0
	for l := range turns {
		if l != nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d had the turn", n, cap(turns))
	}
	if err := s.know(ctx, []Receiver{someReceiver("aa")}); err != nil {
		t.Fatal(err)
	}
	turn(t, s)
	first := begin(t, s)
	turn(t, s)
	second := begin(t, s)
	for i, l := range []*look{first, second, first} { // the third is a repeat
		mine, err := s.apply(ctx, l.rev(), map[string]string{"a:x": `{"fired":1}`},
			[]note{noteFor("aa", "x", firing), noteFor("cc", "x", firing)})
		if err != nil || mine != (i == 0) {
			t.Errorf("apply %d: %v, %v", i, mine, err)
		}
	}
	claims, err := s.claim(ctx, "me", []string{"aa", "cc"})
	if err != nil || len(claims) != 1 || len(claims["aa"]) != 1 || !claims["aa"][0].due {
		t.Errorf("%+v, %v", claims, err)
	}
	turn(t, s)
	if l := begin(t, s); l.held()["x"].Fired != 1 || len(l.receivers()) != 1 {
		t.Errorf("%v", l.fields)
	}
}

// TestClaims has two processes send: a receiver is one's own until it says how that went, or its claim ends.
func TestClaims(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), t.Context()
	if err := s.know(ctx, []Receiver{someReceiver("aa"), someReceiver("bb")}); err != nil {
		t.Fatal(err)
	}
	owe(t, s, noteFor("aa", "x", firing), noteFor("aa", "x", resolved), noteFor("bb", "x", firing))
	mine := claim(t, s, "me", "aa")
	if len(mine["aa"]) != 2 || mine["aa"][0].Body.State != firing || mine["aa"][1].Body.State != resolved {
		t.Fatalf("%+v", mine)
	}
	if others := claim(t, s, "other", "aa", "bb"); len(others) != 1 || len(others["bb"]) != 1 {
		t.Errorf("%+v", others)
	}
	settle := func(token string, o owed, is outcome, want bool) {
		t.Helper()
		if got, err := s.settle(ctx, token, o, is); err != nil || got != want {
			t.Errorf("%v, %v", got, err)
		}
	}
	settle("other", mine["aa"][0], outcome{status: 200}, false)
	settle("me", mine["aa"][0], outcome{status: 500, code: "http_status", again: true, delay: time.Hour}, true)
	settle("me", mine["aa"][0], outcome{status: 500, code: "http_status", again: true, delay: time.Hour}, true)
	settle("me", mine["aa"][1], outcome{code: "address_refused"}, true)
	settle("me", mine["aa"][1], outcome{code: "address_refused"}, true) // a repeat counts nothing
	if err := s.release(ctx, "other", "aa"); err != nil {
		t.Fatal(err)
	}
	owe(t, s, noteFor("aa", "y", firing))
	if none := claim(t, s, "other", "aa"); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if err := s.release(ctx, "me", "aa"); err != nil {
		t.Fatal(err)
	}
	again := claim(t, s, "other", "aa")["aa"]
	if len(again) != 2 || again[0].due || again[0].tries != 1 || !again[1].due ||
		again[0].ID != mine["aa"][0].ID {
		t.Errorf("%+v", again)
	}
	// who has a claim dies: it ends by itself
	for name, till := range map[string]time.Duration{"bb": -time.Second, "aa": time.Hour} {
		when := fmt.Sprintf("dead %d", time.Now().Add(till).UnixMilli())
		if err := s.rdb.HSet(ctx, s.key, "c:"+name, when).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if got := claim(t, s, "me", "aa", "bb"); len(got) != 2 { // and a clock that went back holds nobody up
		t.Errorf("%+v", got)
	}
	l, err := s.all(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r := l.receiver("aa"); r.Dropped != 1 || r.Sent != 0 || r.Waiting != 2 ||
		r.LastError != "address_refused" || r.Host != "127.0.0.1:9" || r.Kind != "webhook" {
		t.Errorf("%+v", r)
	}
}

func owe(t *testing.T, s *store, notes ...note) {
	t.Helper()
	if mine, err := s.apply(t.Context(), "*", nil, notes); err != nil || !mine {
		t.Fatal(mine, err)
	}
}

func claim(t *testing.T, s *store, token string, receivers ...string) map[string][]owed {
	t.Helper()
	claims, err := s.claim(t.Context(), token, receivers)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestBounds has more messages wait than there may, and a receiver that no process has any more.
func TestBounds(t *testing.T) {
	t.Parallel()
	s, ctx := newStore(t), t.Context()
	if err := s.know(ctx, []Receiver{someReceiver("aa"), someReceiver("bb")}); err != nil {
		t.Fatal(err)
	}
	for i := range maxNotes + 7 {
		name := fmt.Sprint("alert ", i)
		owe(t, s, noteFor("aa", name, firing), noteFor("bb", name, firing))
	}
	l, err := s.all(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r := l.receiver("aa"); r.Waiting != maxNotes || r.Dropped != 7 {
		t.Errorf("%+v", r)
	}
	if all := claim(t, s, "me", "aa")["aa"]; len(all) != maxNotes || all[0].Body.Alert != "alert 7" {
		t.Errorf("%d, first %+v", len(all), all[0])
	}
	old := time.Now().Add(-forgetReceiver - time.Minute).UnixMilli()
	if err := s.rdb.HSet(ctx, s.key, "s:aa", old).Err(); err != nil {
		t.Fatal(err)
	}
	turn(t, s)
	if l := begin(t, s); len(l.receivers()) != 1 {
		t.Errorf("%v", l.receivers())
	}
	fields, err := s.rdb.HKeys(ctx, s.key).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range fields {
		if strings.Contains(field, ":aa") {
			t.Errorf("%s is kept", field)
		}
	}
}

// TestFullRedis holds that alerts work when there is no room: that is one of them.
func TestFullRedis(t *testing.T) {
	t.Parallel()
	if !redistest.Real() {
		t.Skip("needs a redis-server: the stand-in knows no limit")
	}
	server := redistest.New(t)
	rdb := redistest.ClientOf(t, server.URL())
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	s := &store{rdb, "p:alerts"}
	if l := begin(t, s); l == nil {
		t.Fatal("no turn")
	}
	if err := s.know(t.Context(), []Receiver{someReceiver("aa")}); err != nil {
		t.Fatal(err)
	}
	n := noteFor("aa", "x", firing)
	owe(t, s, n)
	o := claim(t, s, "me", "aa")["aa"]
	if mine, err := s.settle(context.Background(), "me", o[0], outcome{status: 204}); err != nil || !mine {
		t.Error(mine, err)
	}
}
