//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/internal/localredis"
	"longshore/job"
)

// A siege is an installation under kills, and programs that claim its jobs.
type siege struct {
	t    *testing.T
	in   *installation
	jobs int

	mu   sync.Mutex
	webs []*process
	urls []string
	ends map[job.ID]int     // jobs that a program was told have ended by it
	dead []answer.FinishJob // what programs would have said that died
}

// TestClaimsKilled has web processes and Redis killed while programs claim jobs and say their ends, and
// programs that die with what they have claimed: each job ends once, by who holds it, and a dead program
// that comes back is refused. LONGSHORE_CLAIMS=10000 says how many jobs there are.
func TestClaimsKilled(t *testing.T) {
	t.Parallel()
	in := installOn(t, localredis.Options{DataDir: t.TempDir()})
	s := &siege{t: t, in: in, jobs: 240, ends: map[job.ID]int{}}
	if n := os.Getenv("LONGSHORE_CLAIMS"); n != "" {
		if _, err := fmt.Sscan(n, &s.jobs); err != nil {
			t.Fatal(err)
		}
	}
	syncAlways(t, s.in)
	for range 2 {
		web, url := s.in.web(t)
		s.webs, s.urls = append(s.webs, web), append(s.urls, url)
	}
	claimed(t, s.urls[0], "photos.caption", `,"timeout":"10m"`)
	s.submit()
	deadline := time.Now().Add(5*time.Minute + time.Duration(s.jobs)*20*time.Millisecond)
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() { s.program(n, deadline) })
	}
	kills, outages := 0, 0
	for ; s.left() > 0 && time.Now().Before(deadline); kills++ {
		<-time.After(300 * time.Millisecond)
		if kills > 8 && s.waits() { // each outage gives leases their time anew
			<-time.After(5 * time.Second)
			kills--
			continue
		}
		if kills%8 == 3 {
			s.outage()
			outages++
		}
		s.restart(kills % 2)
	}
	wg.Wait()
	if s.left() > 0 || kills < 2 || outages == 0 || len(s.dead) == 0 {
		t.Fatalf("%d jobs are left after %d kills, %d outages, %d deaths", s.left(), kills, outages, len(s.dead))
	}
	s.judge()
	t.Logf("%d kills, %d of Redis, %d jobs of programs that died", kills, outages, len(s.dead))
}

// waits reports whether all that is left are jobs of programs that died: their leases are to end.
func (s *siege) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ghost := range s.dead {
		if s.ends[ghost.ID] == 0 {
			return s.jobs-len(s.ends) <= len(s.dead)
		}
	}
	return false
}

func (s *siege) submit() {
	s.t.Helper()
	for from := 0; from < s.jobs; from += 1000 {
		var lines bytes.Buffer
		for i := from; i < min(from+1000, s.jobs); i++ {
			fmt.Fprintf(&lines, `{"type":"photos.caption","payload":{"n":%d}}`+"\n", i)
		}
		r := request(s.t, "POST", s.urls[0]+"/v1/jobs/batch", &lines, "Content-Type: application/x-ndjson")
		if r.StatusCode != 200 {
			s.t.Fatalf("batch: %s %s", r.Status, r.body)
		}
	}
}

func (s *siege) url(i int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urls[i%len(s.urls)]
}

func (s *siege) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs - len(s.ends)
}

// send repeats a request, at one web and the other, until there is an answer; body is given the number of
// the try.
func (s *siege) send(path string, body func(try int) any, to any) {
	for try := 1; try <= 200; try++ {
		text, _ := json.Marshal(body(try))
		r, err := tryRequest(s.t, "POST", s.url(try)+path, bytes.NewReader(text), "Content-Type: application/json")
		if err == nil && r.StatusCode < 500 {
			_ = json.Unmarshal(r.body, to)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// program claims jobs and says that they have succeeded; now and then it dies with some, and another one
// begins.
func (s *siege) program(n int, deadline time.Time) {
	for life, claims := 0, 0; s.left() > 0 && time.Now().Before(deadline); claims++ {
		name := fmt.Sprintf("p:%d:%d", n, life)
		var got answer.Claimed
		key := drawKey()
		s.send(httpapi.PathClaims, func(try int) any {
			return answer.ClaimRequest{Types: []string{"photos.*"}, N: 4, Wait: "2s", Key: key, Try: try, Worker: name}
		}, &got)
		dies := claims%100 == 7 && len(got.Jobs) > 0
		for _, one := range got.Jobs {
			end := answer.FinishJob{ID: one.ID, Claim: one.Claim, Result: json.RawMessage(`"` + name + `"`)}
			if dies {
				end.Result = json.RawMessage(`"a ghost"`)
				s.mu.Lock()
				s.dead = append(s.dead, end)
				s.mu.Unlock()
				continue
			}
			var told answer.Finished
			s.send(httpapi.PathClaimsFinish, func(int) any {
				return answer.FinishRequest{Jobs: []answer.FinishJob{end}}
			}, &told)
			if len(told.Jobs) == 1 && told.Jobs[0].State == job.Succeeded {
				s.mu.Lock()
				s.ends[one.ID]++
				s.mu.Unlock()
			}
		}
		if dies {
			life++
		}
	}
}

// outage kills Redis and starts it again.
func (s *siege) outage() {
	s.t.Helper()
	if err := s.in.redis.Kill(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.in.redis.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	syncAlways(s.t, s.in)
}

// restart kills a web process and starts another one.
func (s *siege) restart(i int) {
	s.t.Helper()
	s.webs[i].signal(os.Kill)
	<-s.webs[i].done
	web, url := s.in.web(s.t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.webs[i], s.urls[i] = web, url
}

// judge has the dead come back, and wants each job ended once, by one that lived.
func (s *siege) judge() {
	s.t.Helper()
	for _, ghost := range s.dead {
		var told answer.Finished
		s.send(httpapi.PathClaimsFinish, func(int) any {
			return answer.FinishRequest{Jobs: []answer.FinishJob{ghost}}
		}, &told)
		if len(told.Jobs) != 1 || told.Jobs[0].Problem == nil {
			s.t.Errorf("a dead program's end is taken: %+v", told)
		}
	}
	c := clientOf(s.t, s.url(0))
	for id, n := range s.ends {
		snap, err := c.Get(s.t.Context(), id)
		if err != nil || snap.State != job.Succeeded || n != 1 || string(snap.Result) == `"a ghost"` {
			s.t.Errorf("%s: ended %d times, %+v, %v", id, n, snap, err)
		}
	}
}
