// Command swarm is thousands of clients for the tests: each waits for one job
// by long-poll, as often and over as many connections as it takes, until the
// job has ended. It runs apart from the tests because the race detector allows
// no more than 8,128 goroutines.
//
//	swarm URL FILE     FILE has an id a line; a client for each
//
// It prints "parked" once every client waits. At a line "reset" on its standard
// input it resets half of the connections at random. At the end it prints a
// Report as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"longshore/job"
)

const (
	wait = 20 * time.Second
	// late is how long after its wait a waiter may be answered: on a machine that does
	// something else beside it, too. What it takes on a quiet one is a benchmark's business.
	late = 8 * time.Second
	// arrivalsPerSecond is the rate at which the clients come at first.
	arrivalsPerSecond = 1500
	// patience is for a client that never gets to the end of its job.
	patience = 3 * time.Minute
)

// A Report is what all clients saw.
type Report struct {
	States  map[job.State]int // in which the jobs ended
	Waits   int64             // requests
	Resets  int64             // connections that this program reset
	Refused int64             // connections that failed or were cut, and answers 503
	Late    int               // waits that took longer than they may
	Back    int               // answers with a revision lower than one before
	Example string            // of such a one
	Gave    int64             // clients without an end
	Longest float64           // wait, in seconds
}

type swarm struct {
	host string

	parked, waits, resets, refused atomic.Int64

	mu     sync.Mutex
	conns  map[int]*net.TCPConn
	report Report
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: swarm URL FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(url, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ids := strings.Fields(string(text))
	s := &swarm{host: strings.TrimPrefix(url, "http://"), conns: map[int]*net.TCPConn{},
		report: Report{States: map[job.State]int{}}}
	go s.commands(os.Stdin)
	end := time.Now().Add(patience)
	var clients sync.WaitGroup
	slots := make(chan struct{}, 64) // of those who connect for the first time
	arrivals := time.NewTicker(time.Second / arrivalsPerSecond)
	defer arrivals.Stop()
	for i, id := range ids {
		<-arrivals.C
		slots <- struct{}{}
		clients.Go(func() { s.client(i, id, end, sync.OnceFunc(func() { <-slots })) })
	}
	for s.parked.Load() < int64(len(ids)) && time.Now().Before(end) {
		<-time.After(10 * time.Millisecond)
	}
	fmt.Println("parked")
	clients.Wait()
	s.report.Waits, s.report.Resets, s.report.Refused = s.waits.Load(), s.resets.Load(), s.refused.Load()
	return json.NewEncoder(os.Stdout).Encode(s.report)
}

// commands obeys standard input.
func (s *swarm) commands(in io.Reader) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if lines.Text() != "reset" {
			continue
		}
		s.mu.Lock()
		for _, conn := range s.conns {
			if rand.IntN(2) == 0 {
				conn.SetLinger(0) // RST instead of FIN
				_ = conn.Close()  // it is cut on purpose
				s.resets.Add(1)
			}
		}
		s.mu.Unlock()
		fmt.Println("reset")
	}
}

// client waits for one job until it has ended.
func (s *swarm) client(i int, id string, end time.Time, connected func()) {
	first, rev := sync.OnceFunc(func() { s.parked.Add(1) }), int64(0)
	defer first()
	defer connected()
	for time.Now().Before(end) {
		conn, err := net.DialTimeout("tcp", s.host, 5*time.Second)
		connected()
		if err != nil {
			s.again()
			continue
		}
		s.mu.Lock()
		s.conns[i] = conn.(*net.TCPConn)
		s.mu.Unlock()
		ended := s.poll(conn, id, &rev, first)
		s.mu.Lock()
		delete(s.conns, i)
		s.mu.Unlock()
		conn.Close()
		if ended {
			return
		}
		s.again()
	}
	s.mu.Lock()
	s.report.Gave++
	s.mu.Unlock()
}

// again is what a client does before it comes back.
func (s *swarm) again() {
	s.refused.Add(1)
	<-time.After(100*time.Millisecond + rand.N(400*time.Millisecond))
}

// poll waits over one connection until the job has ended, which it tells, or
// the connection is of no more use.
func (s *swarm) poll(conn net.Conn, id string, rev *int64, asked func()) (ended bool) {
	in := bufio.NewReaderSize(conn, 1024)
	for {
		began := time.Now()
		conn.SetDeadline(began.Add(wait + 10*time.Second)) // to be seen as late, not waited for
		_, err := fmt.Fprintf(conn, "GET /v1/jobs/%s?wait=%s&until=done HTTP/1.1\r\nHost: %s\r\n\r\n", id,
			wait, s.host)
		if err != nil {
			return false
		}
		asked()
		s.waits.Add(1)
		snap, status, err := read(in)
		took := time.Since(began)
		s.mu.Lock()
		s.report.Longest = max(s.report.Longest, took.Seconds())
		if took > wait+late {
			s.report.Late++
			s.report.Example = fmt.Sprintf("%s: %v, %d, %v", id, took, status, err)
		}
		if err == nil && snap.Rev < *rev {
			s.report.Back++
			s.report.Example = fmt.Sprintf("%s: %d after %d", id, snap.Rev, *rev)
		}
		if err == nil && snap.Done {
			s.report.States[snap.State]++
		}
		s.mu.Unlock()
		if err != nil || snap.Done {
			return err == nil
		}
		*rev = max(*rev, snap.Rev)
	}
}

func read(in *bufio.Reader) (snap job.Snapshot, status int, err error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return snap, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return snap, resp.StatusCode, err
	}
	if resp.StatusCode != http.StatusOK {
		return snap, resp.StatusCode, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(body))
	}
	return snap, resp.StatusCode, json.Unmarshal(body, &snap)
}
