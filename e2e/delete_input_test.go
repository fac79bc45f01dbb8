//go:build linux

package e2e

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"longshore/client"
	"longshore/internal/httpapi"
	"longshore/job"
)

// inputs are the names of those files of jobs that are inputs.
func (in *installation) inputs(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(in.files(t), func(name string) bool { return filepath.Base(name) != "in" })
}

// erased waits until a job tells that its input is gone.
func erased(t *testing.T, c *client.Client, id job.ID) (snap job.Snapshot) {
	t.Helper()
	eventually(t, "the job tells that its input is gone", func() bool {
		snap = look(t, c, id)
		return snap.InputDeletedAt != nil
	})
	return snap
}

// TestDeleteInput has inputs deleted before their jobs, whichever way they come.
func TestDeleteInput(t *testing.T) {
	t.Parallel()
	in := install(t)
	_, url := in.web(t)
	in.worker(t)
	c := clientOf(t, url)
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	parts.WriteField("delete_input", job.DeleteAtEnd)
	file, _ := parts.CreateFormFile("file", "a.txt")
	file.Write([]byte("hello"))
	parts.Close()
	checksum := client.Submission{Type: "file.checksum", DeleteInput: job.DeleteOnSuccess}
	for name, begin := range map[string]func() (job.Snapshot, error){
		"query": func() (job.Snapshot, error) {
			return request(t, "POST", url+"/v1/jobs/file.checksum?delete_input=on_success",
				strings.NewReader("hello")).snapshot(t), nil
		},
		"form": func() (job.Snapshot, error) {
			return request(t, "POST", url+"/v1/jobs/file.checksum", &form,
				"Content-Type: "+parts.FormDataContentType()).snapshot(t), nil
		},
		"client": func() (job.Snapshot, error) {
			return c.SubmitFile(t.Context(), checksum, strings.NewReader("hello"), 5)
		},
		"pieces": func() (job.Snapshot, error) {
			return c.Upload(t.Context(), checksum, strings.NewReader("hello"), 5)
		},
	} {
		snap, err := begin()
		if err != nil {
			t.Fatal(name, err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Succeeded || snap.DeleteInput == "" {
			t.Errorf("%s: %+v", name, snap)
		}
		snap = erased(t, c, snap.ID)
		if snap.InputDeletedAt.Before(*snap.FinishedAt) {
			t.Errorf("%s: gone at %v, ended at %v", name, snap.InputDeletedAt, snap.FinishedAt)
		}
		eventually(t, name+": the file is gone", func() bool { return len(in.inputs(t)) == 0 })
		request(t, "POST", url+httpapi.RetryPath(snap.ID), nil).problem(t, http.StatusUnprocessableEntity,
			httpapi.InputGone)
	}
	for name, r := range map[string]reply{
		"no such time": request(t, "POST", url+"/v1/jobs/file.checksum?delete_input=soon", strings.NewReader("x")),
		"no file": request(t, "POST", url+"/v1/jobs",
			strings.NewReader(`{"type":"math.primes","payload":{"n":5},"delete_input":"at_end"}`)),
		"another's": request(t, "POST", url+"/v1/jobs", strings.NewReader(
			`{"type":"log.analyze","delete_input":"at_end","input":{"job":"`+string(job.NewID(time.Now()))+`"}}`)),
	} {
		if p := r.problem(t, http.StatusUnprocessableEntity, httpapi.Invalid); len(p.Errors) == 0 ||
			p.Errors[0].Pointer != "/delete_input" && p.Errors[0].Pointer != "?delete_input" {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	// The outputs of a job whose input is gone are there still, for who works on them again too.
	owner, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.compress", DeleteInput: job.DeleteAtEnd},
		strings.NewReader("hello"), 5)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c, owner.ID)
	erased(t, c, owner.ID)
	second := wait(t, c, submit(t, c, client.Submission{Type: "log.analyze", InputJob: owner.ID}).ID)
	again := request(t, "POST", url+httpapi.RetryPath(second.ID), nil).snapshot(t)
	if again = wait(t, c, again.ID); again.State != second.State {
		t.Errorf("it ended %s, and run again %s", second.State, again.State)
	}
	kept, err := c.SubmitFile(t.Context(), client.Submission{Type: "file.checksum"}, strings.NewReader("hello"), 5)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, c, kept.ID)
	if files := in.inputs(t); len(files) != 1 {
		t.Errorf("%v, want the one that is kept", files)
	}
}

// TestDeleteInputOfRetries keeps the input of what failed for those that retry it, by the policy of a
// function, and has it deleted when one of them has succeeded, although web and worker are killed at that
// moment.
func TestDeleteInputOfRetries(t *testing.T) {
	t.Parallel()
	in := install(t, "LEASE=4s")
	folder := filepath.Join(t.TempDir(), "functions", "test.sometimes")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"function.json": `{"input": "required", "delete_input": "on_success", "command": ["./run.sh"], "sandbox": "off"}`,
		"run.sh":        "#!/bin/sh\ncat >/dev/null\ngrep -q fail \"$LONGSHORE_PAYLOAD\" && exit 65\nexit 0\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	web, url := in.web(t)
	worker := in.worker(t, "FUNCTIONS_DIR="+filepath.Dir(folder))
	served(t, url, "test.sometimes")
	c := clientOf(t, url)
	first, err := c.SubmitFile(t.Context(),
		client.Submission{Type: "test.sometimes", Payload: map[string]any{"do": "fail"}}, strings.NewReader("precious"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if snap := wait(t, c, first.ID); snap.State != job.Failed || snap.DeleteInput != job.DeleteOnSuccess {
		t.Fatalf("%+v", snap)
	}
	retry := func(id job.ID, body string) job.Snapshot {
		t.Helper()
		return wait(t, c, request(t, "POST", url+httpapi.RetryPath(id), strings.NewReader(body)).snapshot(t).ID)
	}
	if snap := retry(first.ID, ""); snap.State != job.Failed || len(in.inputs(t)) != 1 {
		t.Fatalf("%+v, files %v", snap, in.inputs(t))
	}
	last := wait(t, c, request(t, "POST", url+httpapi.RetryPath(first.ID)+"?again=true",
		strings.NewReader(`{"payload":{"do":"well"}}`)).snapshot(t).ID)
	web.cmd.Process.Kill()
	worker.cmd.Process.Kill()
	if last.State != job.Succeeded {
		t.Fatalf("%+v", last)
	}
	_, url = in.web(t)
	c = clientOf(t, url)
	for _, id := range []job.ID{first.ID, last.ID} {
		erased(t, c, id)
		request(t, "POST", url+httpapi.RetryPath(id)+"?again=true", nil).problem(t, http.StatusUnprocessableEntity,
			httpapi.InputGone)
	}
	eventually(t, "the file is gone", func() bool { return len(in.inputs(t)) == 0 })
}
