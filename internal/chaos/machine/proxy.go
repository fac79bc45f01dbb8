//go:build linux

package machine

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy stands between the programs and Redis, and does to their connections what a
// network may.
type Proxy struct {
	listener net.Listener
	network  string // of Redis
	address  string

	latency atomic.Int64 // nanoseconds, each way
	cut     atomic.Bool  // connections are cut after some bytes of replies
	deaf    atomic.Bool  // messages of pub/sub get lost
	struck  atomic.Int64 // connections that were cut, or went silent, or messages that got lost

	mu     sync.Mutex
	random *rand.Rand
	links  map[*link]struct{}
	all    sync.WaitGroup
}

// A link is one connection through the proxy.
type link struct {
	client, server net.Conn
	dead           atomic.Bool // half open: nothing passes any more, and nobody is told
	budget         atomic.Int64
}

// mostBudget is how many bytes of replies a connection gets at most before it is cut.
const mostBudget = 20_000

// newProxy listens on a free port, for a Redis that url names.
func newProxy(url string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, network: "unix", address: strings.TrimPrefix(url, "unix://"),
		random: rand.New(rand.NewPCG(seed, 1)), links: map[*link]struct{}{}}
	if tcp, ok := strings.CutPrefix(url, "redis://"); ok {
		p.network, p.address = "tcp", tcp
	}
	p.all.Go(p.accept)
	return p, nil
}

// URL is what the programs take for Redis.
func (p *Proxy) URL() string { return "redis://" + p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // Close ends it
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		return // as if nobody listened
	}
	defer server.Close()
	l := &link{client: client, server: server}
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.lend(l)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, client, server, false) })
	p.pass(l, server, client, true)
	both.Wait()
}

// lend gives a connection its bytes; p.mu is held.
func (p *Proxy) lend(l *link) { l.budget.Store(20 + p.random.Int64N(mostBudget)) }

// A chunk is what came at a time.
type chunk struct {
	data []byte
	came time.Time
}

// pass copies one direction until an end of it breaks; then it breaks the other.
func (p *Proxy) pass(l *link, from, to net.Conn, replies bool) {
	chunks := make(chan chunk, 64)
	var writer sync.WaitGroup
	writer.Go(func() {
		for c := range chunks {
			if wait := p.latency.Load() - int64(time.Since(c.came)); wait > 0 {
				<-time.After(time.Duration(wait))
			}
			if !p.deliver(l, to, c.data, replies) {
				from.Close()
				to.Close()
			}
		}
	})
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			chunks <- chunk{buffer[:n], time.Now()}
		}
		if err != nil {
			break
		}
	}
	close(chunks)
	writer.Wait()
	if l.dead.Load() { // a peer that went silent says nothing of its end either
		return
	}
	from.Close()
	to.Close()
}

// message is how a message of pub/sub begins, in RESP2 and RESP3.
var message = [][]byte{[]byte("*3\r\n$7\r\nmessage\r\n"), []byte(">3\r\n$7\r\nmessage\r\n")}

// deliver passes bytes on, or not; it says whether the connection is to go on.
func (p *Proxy) deliver(l *link, to io.Writer, data []byte, replies bool) bool {
	if l.dead.Load() {
		return true
	}
	if replies && p.deaf.Load() && (bytes.HasPrefix(data, message[0]) || bytes.HasPrefix(data, message[1])) {
		p.struck.Add(1)
		return true
	}
	if replies && p.cut.Load() {
		left := l.budget.Add(-int64(len(data)))
		if left < 0 {
			keep := max(0, int64(len(data))+left)
			_, _ = to.Write(data[:min(keep, int64(len(data)))]) // the connection ends anyway
			p.struck.Add(1)
			return false
		}
	}
	_, err := to.Write(data)
	return err == nil
}

// Slow delays all bytes, each way; 0 = not.
func (p *Proxy) Slow(d time.Duration) { p.latency.Store(int64(d)) }

// Cut cuts each connection within its next 20,000 bytes of replies, for as long as it is on.
func (p *Proxy) Cut(on bool) int64 {
	p.mu.Lock()
	for l := range p.links {
		p.lend(l)
	}
	p.mu.Unlock()
	p.cut.Store(on)
	return p.struck.Swap(0)
}

// Deafen loses all messages of pub/sub, for as long as it is on. It returns how many were
// lost before.
func (p *Proxy) Deafen(on bool) int64 {
	p.deaf.Store(on)
	return p.struck.Swap(0)
}

// HalfOpen lets all connections that there are fall silent for ever. New ones work.
func (p *Proxy) HalfOpen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.dead.Store(true)
	}
	return len(p.links)
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for l := range p.links {
		err = errors.Join(err, ignoreClosed(l.client.Close()), ignoreClosed(l.server.Close()))
	}
	p.mu.Unlock()
	p.all.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
