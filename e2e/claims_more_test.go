//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestClaimsParked has claims and renewals wait: for a job, for a cancel, for the end of their process or
// of the web's.
func TestClaimsParked(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, one := in.web(t)
	second, two := in.web(t)
	claimed(t, one, "photos.caption", "")
	c := &claimer{t: t, url: one, name: "host:1:a"}
	parked := func(url, name string) <-chan []answer.ClaimedJob {
		got := make(chan []answer.ClaimedJob, 1)
		go func() {
			other := &claimer{t: t, url: url, name: name}
			got <- other.claim(drawKey(), 1, 1, "25s", "photos.*")
		}()
		eventually(t, name+" is listed", func() bool {
			r := request(t, "GET", one+httpapi.PathQueues, nil)
			var list httpapi.QueueList
			if err := json.Unmarshal(r.body, &list); err != nil {
				t.Fatal(err)
			}
			for _, w := range list.Workers {
				if w.Host+fmt.Sprint(w.PID) == strings.Join(strings.Split(name, ":")[:2], "") {
					return true
				}
			}
			return false
		})
		return got
	}
	a, b := parked(one, "a:1:x"), parked(two, "b:2:x")
	if r := request(t, "GET", two+httpapi.PathWorkers, nil); !strings.Contains(string(r.body),
		`"host":"a","pid":1`) {
		t.Errorf("workers: %s", r.body)
	}
	first := posted(t, one, `{"type":"photos.caption"}`)
	second2 := posted(t, one, `{"type":"photos.caption"}`)
	jobs := append(<-a, <-b...)
	if len(jobs) != 2 || jobs[0].ID == jobs[1].ID || jobs[0].ID != first.ID && jobs[0].ID != second2.ID {
		t.Fatalf("claimed %+v", jobs)
	}

	heard := make(chan []answer.RenewedJob, 1)
	go func() {
		heard <- c.renew("10s", answer.RenewJob{ID: jobs[0].ID, Claim: jobs[0].Claim},
			answer.RenewJob{ID: jobs[1].ID, Claim: jobs[1].Claim})
	}()
	if r := request(t, "POST", two+httpapi.CancelPath(jobs[1].ID), nil); r.StatusCode >= 300 {
		t.Fatalf("cancel: %s", r.Status)
	}
	if told := <-heard; told[0].Stop != "" || told[1].Stop != answer.StopCanceled {
		t.Errorf("told %+v", told)
	}
	if ended := c.finish(answer.FinishJob{ID: jobs[1].ID, Claim: jobs[1].Claim,
		Result: json.RawMessage("1")}); ended.State != job.Canceled {
		t.Errorf("a canceled job ends %+v", ended)
	}

	stops := parked(two, "s:3:x")
	if status := c.post(httpapi.PathClaimsStop, answer.StopRequest{Worker: "s:3:x"}, nil); status !=
		http.StatusNoContent {
		t.Errorf("stop: %d", status)
	}
	if got := <-stops; len(got) > 0 {
		t.Errorf("stopped, and handed %+v", got)
	}
	posted(t, one, `{"type":"photos.caption"}`)
	stopped := &claimer{t: t, url: one, name: "s:3:x"}
	if got := stopped.claim(drawKey(), 1, 1, "", "photos.*"); len(got) > 0 {
		t.Errorf("stopped, and handed %+v", got)
	}
	if got := c.one("photos.*"); got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
	last := parked(two, "l:4:x")
	second.signal(syscall.SIGTERM)
	if got := <-last; len(got) > 0 {
		t.Errorf("handed %+v by a web that stops", got)
	}
	if code := second.end(t, time.Minute); code != 0 {
		t.Errorf("web ends with %d", code)
	}
}

// TestClaimsOfTenants has keys claim what is theirs, and read and end nothing else.
func TestClaimsOfTenants(t *testing.T) {
	t.Parallel()
	in := install(t, "LONGSHORE_TOKEN="+webToken)
	_, url := in.web(t)
	key := func(args ...string) string {
		t.Helper()
		code, out, msg := call(t, "", in.env, "enqueue", append([]string{"keys", "add"}, args...)...)
		if code != 0 {
			t.Fatalf("keys add: %s", msg)
		}
		return "Authorization: Bearer " + strings.TrimSpace(out)
	}
	root := "Authorization: Bearer " + webToken
	claimed(t, url, "photos.caption", "", root)
	claimed(t, url, "mails.send", "", root)
	acme := &claimer{t: t, url: url, name: "acme:1:a",
		head: []string{key("acme", "--tenant", "acme", "--scope", "jobs:work")}}
	shop := &claimer{t: t, url: url, name: "acme:1:a",
		head: []string{key("shop", "--tenant", "shop", "--scope", "jobs:work")}}
	mails := &claimer{t: t, url: url, name: "m:1:a",
		head: []string{key("mails", "--tenant", "acme", "--scope", "jobs:work", "--type", "mails.*")}}
	if r := request(t, "POST", url+httpapi.PathClaims, strings.NewReader("{}"), "Content-Type: application/json",
		key("reader", "--tenant", "acme", "--scope", "jobs:read")); r.StatusCode != http.StatusForbidden {
		t.Errorf("a key that only reads: %s", r.Status)
	}
	submit := func(typ string) job.ID {
		t.Helper()
		r := request(t, "POST", url+httpapi.PathJobs, strings.NewReader(`{"type":"`+typ+`"}`), root,
			"Content-Type: application/json", httpapi.HeaderTenant+": acme")
		return r.snapshot(t).ID
	}
	photo, mail := submit("photos.caption"), submit("mails.send")
	if got := shop.claim(drawKey(), 1, 9, "", "*"); len(got) > 0 {
		t.Errorf("another tenant is handed %+v", got)
	}
	if got := mails.claim(drawKey(), 1, 9, "", "*"); len(got) != 1 || got[0].ID != mail {
		t.Errorf("a key for mails is handed %+v", got)
	}
	got := acme.one("*")
	if got.ID != photo {
		t.Fatalf("claimed %+v", got)
	}
	for who, c := range map[string]*claimer{"another tenant": shop, "a key for other types": mails} {
		if told := c.finish(answer.FinishJob{ID: photo, Claim: got.Claim, Result: json.RawMessage("1")}); told.Problem ==
			nil || told.Problem.Code != httpapi.NotFound {
			t.Errorf("%s ends it: %+v", who, told)
		}
		if status := c.put(got, "x", "1"); status != http.StatusNotFound {
			t.Errorf("%s sends an output: %d", who, status)
		}
	}
	if told := shop.renew("", answer.RenewJob{ID: photo, Claim: got.Claim}); told[0].Stop != answer.StopLost {
		t.Errorf("another tenant renews: %+v", told)
	}
	if told := acme.finish(answer.FinishJob{ID: photo, Claim: got.Claim, Result: json.RawMessage("1")}); told.State !=
		job.Succeeded {
		t.Errorf("%+v", told)
	}
}

// TestClaimsBadInput has each mistake refused, with the place where it is.
func TestClaimsBadInput(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	claimed(t, url, "photos.caption", "")
	ask := func(method, path, body string, status int, at string) {
		t.Helper()
		r := request(t, method, url+path, strings.NewReader(body), "Content-Type: application/json")
		if r.StatusCode != status || !strings.Contains(string(r.body), at) {
			t.Errorf("%s %s %.100s: %s %s, want %d at %s", method, path, body, r.Status, r.body, status, at)
		}
	}
	good := `"key":"0123456789abcdef","worker":"w"`
	many := strings.Repeat(`"photos.a",`, 100) + `"photos.b"`
	for body, at := range map[string]string{
		`{}`:                                                             "/types",
		`{"types":[],` + good + `}`:                                      "/types",
		`{"types":["no.such"],` + good + `}`:                             "there is no type no.such",
		`{"types":["math.primes"],` + good + `}`:                         "workers serve it",
		`{"types":["a/b"],` + good + `}`:                                 "/types",
		`{"types":[` + many + `],` + good + `}`:                          "/types",
		`{"types":["photos.*"],"key":"short","worker":"w"}`:              "/key",
		`{"types":["photos.*"],"key":"0123456789abcdef","worker":"a b"}`: "/worker",
		`{"types":["photos.*"],"n":101,` + good + `}`:                    "/n",
		`{"types":["photos.*"],"try":-1,` + good + `}`:                   "/try",
		`{"types":["photos.*"],"wait":"soon",` + good + `}`:              "/wait",
		`{"types":["photos.*"],"queues":["No Queue"],` + good + `}`:      "/queues",
		`{"types":["photos.*"],"size":1,` + good + `}`:                   "size",
	} {
		ask("POST", httpapi.PathClaims, body, 422, at)
	}
	ask("POST", httpapi.PathClaims, `{"types":`, 400, "")
	for body, at := range map[string]string{
		`{"served":"workers"}`:                           "/served",
		`{"served":"claims","schema":{"type":"array"}}`:  "schema",
		`{"served":"claims","timeout":"forever"}`:        "/timeout",
		`{"served":"claims","max_attempts":1000}`:        "attempts",
		`{"served":"claims","delete_input":"sometimes"}`: "delete input",
		`{"served":"claims","input":"perhaps"}`:          "input",
	} {
		ask("PUT", httpapi.PathTypes+"/photos.other", body, 422, at)
	}
	ask("PUT", httpapi.PathTypes+"/photos.other", `{"served":"claims","forbid_overlap":true}`, 409, "overlap")
	ask("PUT", httpapi.PathTypes+"/math.primes", `{"served":"claims"}`, 409, "built in")
	ask("PUT", httpapi.PathTypes+"/no%20type", `{"served":"claims"}`, 422, "/type")
	ask("DELETE", httpapi.PathTypes+"/photos.none", "", 404, "")

	snap := posted(t, url, `{"type":"photos.caption"}`)
	c := &claimer{t: t, url: url, name: "w"}
	got := c.one("photos.caption")
	other := `"id":"` + string(snap.ID) + `","claim":"` + got.Claim + `"`
	for body, at := range map[string]string{
		`{"jobs":[]}`:                                "/jobs",
		`{"jobs":[{"id":"x","claim":"y"}]}`:          "/jobs",
		`{"jobs":[{` + other + `},{` + other + `}]}`: "twice",
		`{"jobs":[{` + other + `,"log":{"from":0,"lines":["x"]},"result":1}]}`: "log",
	} {
		ask("POST", httpapi.PathClaimsFinish, body, 422, at)
	}
	for said, at := range map[string]string{
		``:                                   "one of",
		`,"result":1,"fail":{"message":"x"}`: "one of",
		`,"error":{"message":"x","code":"poisoned"}`:               "/error/code",
		`,"retry_in":"-1s"`:                                        "/retry_in",
		`,"release":true,"outputs":[{"name":"x","size":1}]`:        "/outputs",
		`,"result":1,"outputs":[{"name":"x","size":1}]`:            "output_mismatch",
		`,"result":"` + strings.Repeat("x", job.MaxDocument) + `"`: "/result",
	} {
		ask("POST", httpapi.PathClaimsFinish, `{"jobs":[{`+other+said+`}]}`, 200, at)
	}
	if status := c.put(got, "a%2Fb", "x"); status != 422 {
		t.Errorf("an output with a slash: %d", status)
	}
	if r := request(t, "GET", url+httpapi.JobPath(got.ID)+"/claim/input", nil); r.StatusCode != 422 {
		t.Errorf("an input without a claim: %s", r.Status)
	}
	if told := c.finish(answer.FinishJob{ID: got.ID, Claim: got.Claim, RetryIn: "1h"}); told.State != job.Scheduled {
		t.Errorf("%+v", told)
	}
}
