package web_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"longshore/job"
)

// BenchmarkParkedLongPolls says what a parked long-poll holds, connection
// included (the client's end costs a few hundred bytes more in this process),
// and how long all take to be answered when their jobs end.
func BenchmarkParkedLongPolls(bb *testing.B) {
	const n = 5000
	b := setup(bb)
	for bb.Loop() {
		snaps, conns := make([]job.Snapshot, n), make([]net.Conn, n)
		before := memory()
		b.mu.Lock()
		b.waited = 0
		b.mu.Unlock()
		for i := range n {
			snaps[i] = newSnapshot(job.Running, 5)
			b.put(snaps[i])
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
			if err != nil {
				bb.Fatal(err)
			}
			conns[i] = conn
			if _, err := io.WriteString(conn, "GET /v1/jobs/"+string(snaps[i].ID)+
				"?wait=25s HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				bb.Fatal(err)
			}
		}
		for waiting := 0; waiting < n; runtime.Gosched() {
			b.mu.Lock()
			waiting = b.waited
			b.mu.Unlock()
		}
		bb.ReportMetric(float64(memory()-before)/n, "B/waiter")
		begun := time.Now()
		for _, snap := range snaps {
			snap.State = job.Succeeded
			b.put(snap)
		}
		for _, conn := range conns {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 200 {
				bb.Fatalf("answer: %v, %v", resp, err)
			}
			resp.Body.Close()
			conn.Close()
		}
		bb.ReportMetric(float64(time.Since(begun).Microseconds())/n, "us/answer")
	}
}

// BenchmarkGetJob is one plain look at a job, over HTTP.
func BenchmarkGetJob(bb *testing.B) {
	b := setup(bb)
	snap := newSnapshot(job.Running, 5)
	b.put(snap)
	req, err := http.NewRequestWithContext(bb.Context(), "GET", b.url+"/v1/jobs/"+string(snap.ID), nil)
	if err != nil {
		bb.Fatal(err)
	}
	for bb.Loop() {
		resp, err := b.client.Do(req)
		if err != nil {
			bb.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// BenchmarkSubmitRaw streams 64 MiB through the server into nothing but memory.
func BenchmarkSubmitRaw(bb *testing.B) {
	b := setup(bb)
	data := strings.Repeat("0123456789abcde\n", 4<<20)
	bb.SetBytes(int64(len(data)))
	for bb.Loop() {
		resp, err := b.client.Post(b.url+"/v1/jobs/log.analyze", "text/plain", strings.NewReader(data))
		if err != nil {
			bb.Fatal(err)
		}
		resp.Body.Close()
	}
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkSubmit is one plain submission over HTTP, by a client that does next to nothing.
func BenchmarkSubmit(bb *testing.B) {
	b := setup(bb)
	host := strings.TrimPrefix(b.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		bb.Fatal(err)
	}
	defer conn.Close()
	const body = `{"type":"math.primes","payload":{"n":1000}}`
	request := fmt.Appendf(nil,
		"POST /v1/jobs HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
	answer := make([]byte, 4096)
	bb.ReportAllocs()
	for bb.Loop() {
		if _, err := conn.Write(request); err != nil {
			bb.Fatal(err)
		}
		n, err := conn.Read(answer)
		if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 202 ")) {
			bb.Fatalf("%v, %.200s", err, answer[:n])
		}
	}
}
