package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"longshore/internal/hub"
	"longshore/internal/jobstore"
	"longshore/internal/web"
	"longshore/tasks"
)

// BenchmarkSubmitHTTP measures jobs a second that 64 clients submit one by one,
// each on a connection of its own. The clients share the process, and are as
// bare as can be.
func BenchmarkSubmitHTTP(b *testing.B) {
	const clients, each = 64, 300
	var all costs
	for b.Loop() {
		sys, _ := open(b, 8)
		builtIn, err := tasks.BuiltIn()
		if err != nil {
			b.Fatal(err)
		}
		info, err := noop.Info()
		if err != nil {
			b.Fatal(err)
		}
		catalog, err := tasks.NewCatalog(append(builtIn, info)...)
		if err != nil {
			b.Fatal(err)
		}
		server, err := web.New(web.Config{Log: sys.Log},
			web.Deps{Submitter: sys.Submitter(jobstore.NewKeeper(sys.Store, sys.Log), catalog, time.Hour, 0),
				Hub: hub.New(sys.Store, sys.Log), Catalog: catalog})
		if err != nil {
			b.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		var serving sync.WaitGroup
		serving.Go(func() { server.Serve(ctx, l) })
		measure := startCost(b, sys.Redis)
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() { post(b, l.Addr().String(), each) })
		}
		wg.Wait()
		all = append(all, measure(clients*each))
		stop()
		serving.Wait()
	}
	all.report(b, "http")
	b.ReportMetric(0, "ns/op")
}

// post submits n jobs over one connection.
func post(b *testing.B, address string, n int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	const body = `{"type":"bench.noop","payload":{}}`
	request := fmt.Sprintf(
		"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r := bufio.NewReader(conn)
	for range n {
		if _, err := io.WriteString(conn, request); err != nil {
			b.Error(err)
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Error(err)
			return
		}
		if resp.StatusCode != http.StatusAccepted {
			text, _ := io.ReadAll(resp.Body)
			b.Errorf("answered %s: %s", resp.Status, text)
			return
		}
		io.Copy(io.Discard, resp.Body)
	}
}
