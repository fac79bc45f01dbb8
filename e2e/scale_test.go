//go:build linux

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"longshore/internal/httpapi"
	"longshore/job"
)

// TestScale asks how many workers are wanted, as KEDA and HireFire do: none while nothing
// waits, one for a job that nobody is there for, and as many as are busy.
func TestScale(t *testing.T) {
	t.Parallel()
	const token = "hirefire-0123456789abcdef"
	in := install(t)
	web, url := in.web(t, "HIREFIRE_TOKEN="+token)
	ask := func() httpapi.Scale {
		t.Helper()
		r := request(t, "GET", url+httpapi.PathScale, nil)
		var s httpapi.Scale
		if err := json.Unmarshal(r.body, &s); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s %s, %v", r.Status, r.body, err)
		}
		return s
	}
	if s := ask(); s.All != (httpapi.LaneScale{RunMS: 1000}) || len(s.Lanes) != 2 {
		t.Errorf("an empty installation: %+v", s)
	}
	c := clientOf(t, url)
	long := submit(t, c, burner)
	s := ask()
	if s.All.Wanted != 1 || s.Lanes[job.LaneCPU].Waiting != 1 || s.Lanes[job.LaneCPU].Wanted != 1 ||
		s.Lanes[job.LaneIO].Wanted != 0 {
		t.Errorf("a job waits: %+v", s)
	}
	// KEDA's valueLocation is all.wanted, a number.
	var plain map[string]map[string]any
	if err := json.Unmarshal(request(t, "GET", url+httpapi.PathScale, nil).body, &plain); err != nil ||
		plain["all"]["wanted"] != 1.0 {
		t.Errorf("all.wanted is %v, %v", plain["all"]["wanted"], err)
	}
	for path, header := range map[string]http.Header{
		httpapi.PathHireFire + "/" + token + "/info": nil,
		httpapi.PathHireFire:                         {"HireFire-Token": {token}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range header {
			req.Header[name] = values
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var values []map[string]any
		err = json.NewDecoder(resp.Body).Decode(&values)
		resp.Body.Close()
		if err != nil || len(values) != 1 || len(values[0]) != 2 || values[0]["name"] != "worker" ||
			values[0]["value"] != 1.0 {
			t.Errorf("%s is told %v, %v", path, values, err)
		}
	}
	for _, path := range []string{"/wrong/info", "//info", "", "/" + token} {
		if r := request(t, "GET", url+httpapi.PathHireFire+path, nil); r.StatusCode == http.StatusOK {
			t.Errorf("%q is answered: %s", path, r.body)
		}
	}
	if said := web.said(token); len(said) > 0 {
		t.Errorf("the token is in the log: %s", said[0])
	}
	in.worker(t)
	poll(t, c, long.ID, "runs", runs)
	eventually(t, "what the job costs is told", func() bool { return ask().Lanes[job.LaneCPU].RunMS > 4000 })
	if s := ask().Lanes[job.LaneCPU]; s.Busy != 1 || s.Slots < 1 || s.Waiting != 0 || s.Wanted != 1 {
		t.Errorf("a job runs: %+v", s)
	}
	if _, err := c.Cancel(t.Context(), long.ID); err != nil {
		t.Fatal(err)
	}

	_, without := in.web(t)
	if r := request(t, "GET", without+httpapi.PathHireFire+"/"+token+"/info",
		nil); r.StatusCode != http.StatusNotFound || !strings.Contains(string(r.body), "not_found") {
		t.Errorf("without the setting: %s", r.Status)
	}
}
