package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"longshore/internal/jobstore"
)

// A pits is a Poster whose receivers let everybody wait, but for the honest one.
type pits struct {
	find    func(host string) netip.Addr
	honest  string
	now     [2]atomic.Int64 // attempts under way, most at once
	answers time.Duration   // after which they answer; 0 = never
}

func (p *pits) Find(_ context.Context, to string) ([]netip.Addr, Result) {
	u, _ := url.Parse(to)
	return []netip.Addr{p.find(u.Hostname())}, Result{}
}

func (p *pits) Post(ctx context.Context, _, to string, _ []netip.Addr, _ []byte) Result {
	if to == p.honest {
		time.Sleep(20 * time.Millisecond)
		return Result{Status: 200}
	}
	n := p.now[0].Add(1)
	p.now[1].Store(max(p.now[1].Load(), n))
	defer p.now[0].Add(-1)
	patience := attemptTimeout
	if p.answers > 0 {
		patience = p.answers
	}
	select {
	case <-time.After(patience):
	case <-ctx.Done():
	}
	if p.answers > 0 {
		return Result{Status: 200}
	}
	return Result{Code: CodeTimeout}
}

// TestTarPits has 2,000 callbacks to receivers that let us wait, due before an honest
// one's: that is 2 s late at most, now and later, whether we knew it before or not.
func TestTarPits(t *testing.T) {
	t.Parallel()
	one, other := netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("1.1.1.1")
	numbered := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{20, 1, byte(n >> 8), byte(n)}) }
	of := func(format string) func(string) netip.Addr {
		return func(host string) netip.Addr {
			n := 0
			if _, err := fmt.Sscanf(host, format, &n); err != nil {
				return other
			}
			return numbered(n)
		}
	}
	at := func(a netip.Addr) func(string) netip.Addr {
		return func(host string) netip.Addr {
			if host == "honest.example" {
				return other
			}
			return a
		}
	}
	for name, c := range map[string]struct {
		url     func(n int) string
		find    func(string) netip.Addr
		answers time.Duration
		strange bool // whoever is not known yet waits behind so many strangers
		most    int64
	}{
		"ports of one name": {func(n int) string {
			return fmt.Sprintf("http://pit.example:%d/", 2000+n)
		}, at(one), 0, false, 2},
		"ports of one address": {func(n int) string {
			return fmt.Sprintf("http://9.9.9.9:%d/", 20_000+n)
		}, at(one), 0, false, 2},
		"names of one domain": {func(n int) string {
			return fmt.Sprintf("http://p%d.pit.example/", n)
		}, of("p%d.pit.example"), 0, false, 2},
		"domains at one address": {func(n int) string {
			return fmt.Sprintf("http://pit%d.example/", n)
		}, at(one), 0, false, 8},
		"domains at the honest's address": {func(n int) string {
			return fmt.Sprintf("http://pit%d.example/", n)
		}, at(other), 0, true, 8},
		"250 domains and addresses": {func(n int) string {
			return fmt.Sprintf("http://pit%d.example/", n%250)
		}, of("pit%d.example"), 0, false, 384},
		"2,000 domains and addresses": {func(n int) string { return fmt.Sprintf("http://pit%d.example/", n) },
			of("pit%d.example"), 0, true, 384},
		"those that answer at last": {func(n int) string {
			return fmt.Sprintf("http://p%d.pit%d.example/", n, n%60)
		}, at(one), 14 * time.Second, false, 128},
	} {
		for _, warm := range []bool{true, false} {
			if c.strange && !warm {
				continue
			}
			t.Run(fmt.Sprintf("%s, known %v", name, warm), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := &pits{find: c.find, honest: "http://honest.example/", answers: c.answers}
					store := &fakeStore{}
					d := NewDeliverer(store, p, slog.New(slog.DiscardHandler), 0)
					ctx, stop := context.WithCancel(t.Context())
					var running sync.WaitGroup
					running.Go(func() { _ = d.Run(ctx) })
					honest := func() {
						t.Helper()
						id, began := store.add(p.honest), time.Now()
						time.Sleep(5 * time.Second)
						if cb := store.of(id); cb.outcome != jobstore.CallbackDelivered ||
							cb.over.Sub(began) > 2*time.Second {
							t.Errorf("the honest one: %+v, begun %v", cb, began)
						}
					}
					if warm {
						honest()
					}
					for n := range 2000 {
						store.add(c.url(n))
					}
					for range 4 {
						honest()
					}
					time.Sleep(3 * time.Minute)
					honest()
					stop()
					running.Wait()
					if got := p.now[1].Load(); got > c.most {
						t.Errorf("%d attempts at once wait, want at most %d", got, c.most)
					}
				})
			})
		}
	}
}

// TestTarPitsOnLoopback is the same over sockets: 40 listeners that say nothing, at
// addresses of their own, by number and by name.
func TestTarPitsOnLoopback(t *testing.T) {
	t.Parallel()
	var urls []string
	resolver := names{"honest.example": {netip.MustParseAddr("127.0.0.1")}}
	var open sync.WaitGroup
	t.Cleanup(open.Wait) // after the listeners
	for n := range 40 {
		a := netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + n)})
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
		if err != nil {
			t.Skipf("this system has one loopback address only: %v", err)
		}
		open.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				open.Go(func() {
					io.Copy(io.Discard, conn)
					conn.Close()
				})
			}
		})
		t.Cleanup(func() { l.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		host := fmt.Sprintf("p%d.pit%d.example", n, n%20)
		resolver[host] = []netip.Addr{a}
		urls = append(urls, "http://"+l.Addr().String()+"/", "http://"+host+":"+port+"/")
	}
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer sink.Close()
	_, port, _ := net.SplitHostPort(sink.Listener.Addr().String())
	sender, err := NewSender(Config{Secrets: []string{secretA}, Allow: []string{"127.0.0.0/8"},
		Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	store := &fakeStore{}
	for n := range 2000 {
		store.add(urls[n%len(urls)])
	}
	d := NewDeliverer(store, sender, slog.New(slog.DiscardHandler), 0)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = d.Run(ctx) })
	defer func() {
		stop()
		running.Wait()
		sender.CloseIdleConnections()
	}()
	began := time.Now()
	for _, host := range []string{"127.0.0.1", "honest.example"} {
		id := store.add("http://" + net.JoinHostPort(host, port) + "/")
		for store.of(id).outcome == "" {
			if time.Since(began) > 60*time.Second {
				t.Fatal("the honest one still waits")
			}
			<-time.After(10 * time.Millisecond)
		}
		if late := store.of(id).over.Sub(began); late > 2*time.Second {
			t.Errorf("%s: %v late", host, late)
		}
		began = time.Now()
	}
}

// TestRedisErrors has one call to Redis fail, each in turn: a callback is late by
// the first, short lease at most and not by a whole one.
func TestRedisErrors(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*moody){
		"the answer of a claim is lost": func(m *moody) { m.claims = 1 },
		"the record can't be read":      func(m *moody) { m.gets = 1 },
		"it can't be kept":              func(m *moody) { m.holds = 1 },
		"it can't be settled":           func(m *moody) { m.settles = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &moody{fakeStore: &fakeStore{}}
				fail(m)
				posts := 0
				p := post(func(context.Context, string, string, []byte) Result {
					posts++
					return Result{Status: 200}
				})
				id, began := m.add("http://a.example/"), time.Now()
				d := NewDeliverer(m, p, slog.New(slog.DiscardHandler), 0)
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = d.Run(ctx) })
				time.Sleep(time.Minute)
				stop()
				running.Wait()
				if cb := m.of(id); cb.outcome != jobstore.CallbackDelivered ||
					cb.over.Sub(began) > claimFirst+time.Second || posts != 1 {
					t.Errorf("%d posts, %+v, begun %v", posts, cb, began)
				}
			})
		})
	}
}
