package alerts

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/webhook"
)

// A place is a receiver, which notes what it got.
type place struct {
	*httptest.Server
	mu  sync.Mutex
	got []string // "<state> <alert>"
	ids map[string]bool
}

func newPlace(t *testing.T, answer1 func(n int, w http.ResponseWriter, r *http.Request)) *place {
	t.Helper()
	p := &place{ids: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m answer.AlertMessage
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		p.mu.Lock()
		p.got = append(p.got, m.State+" "+m.Alert)
		p.ids[r.Header.Get("Webhook-Id")] = true
		n := len(p.got)
		p.mu.Unlock()
		answer1(n, w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *place) has() (got []string, ids int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(got, p.got...), len(p.ids)
}

func takes(int, http.ResponseWriter, *http.Request) {}

func answers(status int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func deskOf(t *testing.T, s *store, allow []string, urls ...string) *Desk {
	t.Helper()
	signed, err := webhook.NewSender(webhook.Config{Allow: allow,
		Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := webhook.NewSender(webhook.Config{Unsigned: true, Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(signed.CloseIdleConnections)
	t.Cleanup(plain.CloseIdleConnections)
	receivers, err := ParseReceivers(urls)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Redis: s.rdb, Prefix: strings.TrimSuffix(s.key, ":alerts"),
		Log:       slog.New(slog.DiscardHandler),
		Receivers: receivers, Signed: signed, Plain: plain,
		Look: func(_ context.Context, now, _ time.Time, _ bool) (Seen, error) { return Seen{}, nil }})
}

// sends runs senders while f runs.
func sends(t *testing.T, desks []*Desk, f func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, d := range desks {
		if err := d.store.know(ctx, d.Receivers); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { d.sender.run(ctx) })
	}
	f()
	stop()
	wg.Wait()
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.After(time.Minute)
	for !yes() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatal("not within a minute: " + what)
		}
	}
}

// TestSendOnce has four processes send to two receivers of which one hangs: the other gets each message once,
// in its order.
func TestSendOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	let := make(chan struct{})
	good := newPlace(t, takes)
	bad := newPlace(t, func(int, http.ResponseWriter, *http.Request) { <-let })
	goOn := sync.OnceFunc(func() { close(let) })
	t.Cleanup(goOn)
	var desks []*Desk
	for range 4 {
		desks = append(desks, deskOf(t, s, []string{"127.0.0.1"}, good.URL, bad.URL))
	}
	to := map[string]string{}
	for _, r := range desks[0].Receivers {
		to[r.url] = r.name
	}
	sends(t, desks, func() {
		for _, alert := range []string{"x", "y", "z"} {
			for _, state := range []string{firing, resolved} {
				owe(t, s, noteFor(to[good.URL], alert, state), noteFor(to[bad.URL], alert, state))
				for _, d := range desks {
					d.sender.kick()
				}
			}
		}
		eventually(t, "the good one has all", func() bool {
			got, _ := good.has()
			return len(got) == 6
		})
		goOn()
		eventually(t, "the bad one has all", func() bool {
			got, _ := bad.has()
			for _, d := range desks {
				d.sender.kick()
			}
			return len(got) == 6
		})
		eventually(t, "all is settled", func() bool {
			list, err := desks[0].List(t.Context())
			return err == nil && list.Receivers[0].Sent == 6 && list.Receivers[1].Sent == 6
		})
	})
	for _, p := range []*place{good, bad} {
		if got, ids := p.has(); strings.Join(got, ",") !=
			"firing x,resolved x,firing y,resolved y,firing z,resolved z" || ids != 6 {
			t.Errorf("got %v by %d ids", got, ids)
		}
	}
}

// TestBadReceivers has one that redirects, one that is gone, one where nobody may go, and one that takes a
// message the second time: by the same id, and the end of an alert not before its start.
func TestBadReceivers(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	elsewhere := newPlace(t, takes)
	redirects := newPlace(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	gone := newPlace(t, answers(http.StatusGone))
	second := newPlace(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	barred := strings.Replace(elsewhere.URL, "127.0.0.1", "127.0.0.2", 1)
	d := deskOf(t, s, []string{"127.0.0.1"}, redirects.URL, gone.URL, second.URL, barred)
	sends(t, []*Desk{d}, func() {
		for _, state := range []string{firing, resolved} {
			for _, r := range d.Receivers {
				owe(t, s, noteFor(r.name, "x", state))
			}
		}
		d.sender.kick()
		eventually(t, "all is decided", func() bool {
			d.sender.kick()
			list, err := d.List(t.Context())
			by := map[string]answer.AlertReceiver{}
			for _, r := range list.Receivers {
				by["http://"+r.Host] = r
			}
			return err == nil && by[second.URL].Sent == 2 && by[gone.URL].Dropped == 2 &&
				by[barred].Dropped == 2 &&
				by[barred].LastError == string(webhook.CodeAddress) && by[redirects.URL].Waiting == 2 &&
				by[redirects.URL].LastError == string(webhook.CodeRedirect)
		})
	})
	if got, ids := second.has(); strings.Join(got, ",") != "firing x,firing x,resolved x" || ids != 2 {
		t.Errorf("got %v by %d ids", got, ids)
	}
	if got, _ := elsewhere.has(); len(got) > 0 {
		t.Errorf("a redirect was followed: %v", got)
	}
}

// TestTest has a test sent by another process, to one receiver that takes it and one that does not: it
// is tried once.
func TestTest(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	good := newPlace(t, takes)
	bad := newPlace(t, answers(http.StatusBadGateway))
	d, asked := deskOf(t, s, []string{"127.0.0.1"}, good.URL, bad.URL), deskOf(t, s, nil)
	if none, err := asked.Test(t.Context()); err != nil || len(none.Receivers) > 0 {
		t.Errorf("%+v, %v", none, err)
	}
	sends(t, []*Desk{d}, func() {
		tested, err := asked.Test(t.Context())
		if err != nil || len(tested.Receivers) != 2 {
			t.Fatal(tested, err)
		}
		for _, r := range tested.Receivers {
			want := answer.AlertTested{Host: r.Host, Kind: "webhook", Outcome: "delivered", Status: 200}
			if "http://"+r.Host == bad.URL {
				want.Outcome, want.Status, want.Code = "failed", http.StatusBadGateway, "http_status"
			}
			if r != want {
				t.Errorf("%+v, want %+v", r, want)
			}
		}
	})
	if got, _ := bad.has(); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestReceiversAreRead has good and bad URLs; errors tell none of them.
func TestReceiversAreRead(t *testing.T) {
	t.Parallel()
	list, err := ParseReceivers([]string{"https://a.example/x", "https://a.example/x",
		"slack+https://hooks.slack.com/services/T/B/secret"})
	if err != nil || len(list) != 2 || !NeedSecret(list) || list[1].host != "hooks.slack.com" ||
		!list[1].slack || NeedSecret(list[1:]) {
		t.Errorf("%+v, %v", list, err)
	}
	for _, urls := range [][]string{{"ftp://hunter2"}, {"https://u:hunter2@x"}, {"hunter2"}, {"https://"},
		strings.Fields("http://1 http://2 http://3 http://4 http://5 http://6 http://7 http://8 http://9")} {
		if _, err := ParseReceivers(urls); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", urls, err)
		}
	}
}
