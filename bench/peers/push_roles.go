package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"longshore/internal/connect"
	"longshore/internal/jobstore"
	"longshore/job"
)

// The roles of the measures of waiting; see push.go. What takes part in one
// measure agrees on the jobs by a file with an id a line.

func readIDs(name string) ([]job.ID, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var ids []job.ID
	for _, line := range strings.Fields(string(text)) {
		ids = append(ids, job.ID(line))
	}
	return ids, nil
}

// pace calls f for each index from 0 to n-1 at an even rate a second, each call
// in a goroutine of its own, and waits for all.
func pace(n, rate int, f func(i int)) {
	var calls sync.WaitGroup
	defer calls.Wait()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for i := 0; i < n; {
		<-tick.C
		for due := int(time.Since(began).Seconds() * float64(rate)); i < min(due, n); i++ {
			k := i
			calls.Go(func() { f(k) })
		}
	}
}

// pushLease is the lease of the jobs that finishAll starts: nobody renews them.
const pushLease = time.Hour

// finishAll is the side of the workers: it makes the jobs running, says so,
// and at a line from the harness finishes them at the rate. A job's result is the time just
// before its finish was called.
func finishAll(ctx context.Context, url, file string, rate int) error {
	ids, err := readIDs(file)
	if err != nil {
		return err
	}
	c := connection(url)
	c.Lease = pushLease
	sys, err := connect.Open(ctx, c)
	if err != nil {
		return err
	}
	defer sys.Close()
	jobs := drafts(len(ids), nil)
	fences := make([]string, len(ids))
	for i := range jobs {
		jobs[i].ID, fences[i] = ids[i], jobstore.NewFence()
	}
	var failed atomic.Pointer[error]
	for part := range slices.Chunk(slices.Collect(indexes(len(ids))), 500) {
		created, errs := sys.Store.CreateMany(ctx, jobs[part[0]:part[len(part)-1]+1])
		var starts sync.WaitGroup
		for k, i := range part {
			if errs[k] != nil {
				return errs[k]
			}
			starts.Go(func() {
				if _, err := sys.Store.Start(ctx, created[k].Ticket, fences[i], false); err != nil {
					failed.Store(&err)
				}
			})
		}
		starts.Wait()
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	pace(len(ids), rate, func(i int) {
		result := fmt.Appendf(nil, `{"t":%d}`, time.Now().UnixNano())
		if _, err := sys.Store.Finish(ctx, ids[i], fences[i], jobstore.End{Outcome: jobstore.Succeeded,
			Result: result}); err != nil {
			failed.Store(&err)
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	<-ctx.Done() // the harness asks /proc what we have used
	return nil
}

func indexes(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// publishAll is the same for the bare prototype: a PUBLISH a job.
func publishAll(ctx context.Context, url, file string, rate int) error {
	ids, err := readIDs(file)
	if err != nil {
		return err
	}
	opt, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	pace(len(ids), rate, func(i int) {
		rdb.Publish(ctx, "bare", fmt.Sprintf("%s %d", ids[i], time.Now().UnixNano()))
	})
	<-ctx.Done()
	return nil
}

// serveBare is the least that could wake waiters: a map of channels and one
// subscription. It keeps no record, so whoever comes late waits in vain.
func serveBare(ctx context.Context, url, address string) error {
	opt, err := redis.ParseURL(url)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opt)
	defer rdb.Close()
	var mu sync.Mutex
	waiting := map[string]chan string{}
	events := rdb.Subscribe(ctx, "bare")
	defer events.Close()
	go func() {
		for m := range events.Channel(redis.WithChannelSize(10_000)) {
			id, at, _ := strings.Cut(m.Payload, " ")
			mu.Lock()
			if c := waiting[id]; c != nil {
				c <- at
			}
			mu.Unlock()
		}
	}()
	s := &http.Server{Addr: address, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, waits := strings.CutPrefix(r.URL.Path, "/v1/jobs/")
		if !waits {
			return // asks whether we are up
		}
		c := make(chan string, 1)
		mu.Lock()
		waiting[id] = c
		mu.Unlock()
		select {
		case <-r.Context().Done():
		case at := <-c:
			fmt.Fprintf(w, `{"id":%q,"done":true,"result":{"t":%s}}`, id, at)
		}
		mu.Lock()
		delete(waiting, id)
		mu.Unlock()
	})}
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	s.ListenAndServe()
	return nil
}

// waitAll is the side of the clients: some connections, each with a long-poll
// parked for one job, then for the next. It prints the latencies from the call
// of finish to the whole response, in µs, as JSON.
func waitAll(ctx context.Context, url, file string, clients int) error {
	ids, err := readIDs(file)
	if err != nil {
		return err
	}
	host := strings.TrimPrefix(url, "http://")
	late := make([]int64, len(ids))
	var parked, asked atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	dialing := make(chan struct{}, 64)
	for c := range clients {
		dialing <- struct{}{}
		wg.Go(func() {
			conn, err := net.Dial("tcp", host)
			<-dialing
			if err != nil {
				errs <- err
				return
			}
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 2048)
			for i := c; i < len(ids); i += clients {
				for ctx.Err() == nil {
					asked.Add(1)
					ns, done, err := waitOne(conn, in, host, ids[i], &parked)
					if err != nil {
						errs <- err
						return
					}
					if done {
						late[i] = ns
						break
					}
				}
			}
		})
	}
	for parked.Load() < int64(clients) && len(errs) == 0 {
		<-time.After(10 * time.Millisecond)
	}
	fmt.Println("parked")
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	slices.Sort(late)
	text, err := json.Marshal(waited{N: len(late), Asked: asked.Load(),
		P50: float64(late[len(late)/2]) / 1e6, P99: float64(late[len(late)*99/100]) / 1e6,
		Max: float64(late[len(late)-1]) / 1e6})
	fmt.Println("late", string(text))
	<-ctx.Done() // the harness asks /proc what we have used
	return err
}

// waited is the outcome of one measure, times in milliseconds.
type waited struct {
	N     int
	Asked int64
	P50   float64
	P99   float64
	Max   float64
}

func waitOne(conn net.Conn, in *bufio.Reader, host string, id job.ID,
	parked *atomic.Int64) (ns int64, done bool, err error) {
	_, err = fmt.Fprintf(conn, "GET /v1/jobs/%s?wait=25s&until=done HTTP/1.1\r\nHost: %s\r\n\r\n", id, host)
	parked.Add(1)
	if err != nil {
		return 0, false, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, false, err
	}
	body, err := io.ReadAll(resp.Body)
	now := time.Now().UnixNano()
	resp.Body.Close()
	if err != nil {
		return 0, false, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, false, fmt.Errorf("%s: %.200s", resp.Status, body)
	}
	_, rest, found := bytes.Cut(body, []byte(`"result":{"t":`))
	if !found {
		return 0, false, nil
	}
	at, err := strconv.ParseInt(string(rest[:bytes.IndexByte(rest, '}')]), 10, 64)
	return now - at, true, err
}
