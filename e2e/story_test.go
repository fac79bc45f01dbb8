//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// TestStoryOfAShop is what users of every queue ask for, in one story: orders of a customer are billed
// in their order; one waits for a person's yes, who gives it by a link in a mail; one is run again with
// a changed payload; the key of the payment is never shown; and a message goes out when nobody serves
// what waits.
func TestStoryOfAShop(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "functions")
	write(t, filepath.Join(folder, "shop.bill"), map[string]string{
		"function.json": `{"input": "none", "max_attempts": 1, "payload": {"type": "object", "properties": {
  "order": {"type": "integer"}, "amount": {"type": "integer"}, "card": {"type": "string", "writeOnly": true}}}}`,
		"main.py": `#!/usr/bin/env python3
import json, os, sys
with open(os.environ["LONGSHORE_PAYLOAD"]) as f: given = json.load(f)
if given["card"] != "planted-4711": sys.exit("no card")
if given["amount"] < 0: sys.exit("an amount below nothing")
print(json.dumps({"billed": given["amount"]}))
`})
	s := newSink(t, taken)
	heard := hears(t, s)
	in := install(t, "LONGSHORE_TOKEN="+webToken, "FUNCTIONS_DIR="+folder, signing, allowing,
		"ALERT_URLS="+s.URL, "ALERT_AGE=2s", "ACCESS_SECRET=a-secret-for-tests-of-32-characters")
	_, site := in.web(t)
	c := clientOf(t, site)
	in.env = append(in.env, "LONGSHORE_URL="+site)
	if _, err := c.PutLimit(t.Context(), "orders", client.LimitSpec{Per: []string{"key"}, Concurrency: 1,
		Keep: "end"}); err != nil {
		t.Fatal(err)
	}
	worker := in.worker(t)
	served(t, site, "shop.bill")
	worker.signal(syscall.SIGTERM)
	worker.end(t, time.Minute)
	bill := func(order, amount int, change func(*client.Submission)) job.ID {
		t.Helper()
		sub := client.Submission{Type: "shop.bill", LimitKey: "customer 7",
			Payload: map[string]any{"order": order, "amount": amount, "card": "planted-4711"}}
		if change != nil {
			change(&sub)
		}
		return submit(t, c, sub).ID
	}
	orders := []job.ID{bill(1, 10, nil), bill(2, -20, nil), bill(3, 30, nil)}
	large := bill(4, 90_000, func(s *client.Submission) { s.Hold, s.LimitKey = "over 50,000: is it right?", "" })

	eventually(t, "a message says that nobody serves what waits", func() bool {
		n, _ := heard.count("firing " + "unserved:shop.bill")
		return n == 1
	})
	in.worker(t)
	ends := make([]job.Snapshot, len(orders))
	for i, id := range orders {
		ends[i] = wait(t, c, id)
		if i > 0 && ends[i].StartedAt.Before(*ends[i-1].FinishedAt) {
			t.Errorf("order %d began before the one before had ended", i+1)
		}
	}
	if ends[0].State != job.Succeeded || ends[1].State != job.Failed || ends[2].State != job.Succeeded {
		t.Errorf("orders ended %s, %s, %s", ends[0].State, ends[1].State, ends[2].State)
	}
	code, out, stderr := call(t, "", in.env, "enqueue", "retry", string(orders[1]), "--set", "amount=20")
	if code != 0 {
		t.Fatalf("retry: %d %s", code, stderr)
	}
	if snap := wait(t, c, job.ID(strings.TrimSpace(out))); string(snap.Result) != `{"billed":20}` ||
		snap.LimitKey != "customer 7" {
		t.Errorf("run again with another amount: %+v", snap)
	}

	r := request(t, "POST", site+httpapi.PathTokens, strings.NewReader(fmt.Sprintf(
		`{"jobs":["%s"],"scopes":["jobs:release"],"ttl":"720h"}`, large)))
	var token client.Token
	if err := json.Unmarshal(r.body, &token); err != nil || r.StatusCode != http.StatusCreated {
		t.Fatalf("token: %s", r.body)
	}
	page, err := http.Get(site + httpapi.ReleasePath(large) + "?access_token=" + token.Token)
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if snap := look(t, c, large); page.StatusCode != 200 || !snap.Held() {
		t.Errorf("the link is opened: %s, %+v", page.Status, snap.Hold)
	}
	pressed, err := http.PostForm(site+"/ui/release/"+string(large), url.Values{"access_token": {token.Token}})
	if err != nil {
		t.Fatal(err)
	}
	pressed.Body.Close()
	if snap := wait(t, c, large); pressed.StatusCode != 200 || string(snap.Result) != `{"billed":90000}` {
		t.Errorf("the button is pressed: %s, %+v", pressed.Status, snap)
	}

	for _, path := range []string{httpapi.JobPath(large), httpapi.JobPath(large) + "/payload",
		httpapi.JobPath(large) + "/timeline", httpapi.JobPath(orders[1]) + "/logs", httpapi.PathJobs} {
		if r := request(t, "GET", site+path, nil); strings.Contains(string(r.body), "planted-4711") {
			t.Errorf("%s shows the card: %s", path, r.body)
		}
	}
	eventually(t, "a message says that it is over", func() bool {
		n, _ := heard.count("resolved " + "unserved:shop.bill")
		return n == 1
	})
}
