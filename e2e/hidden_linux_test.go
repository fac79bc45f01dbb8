package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"longshore/client"
	"longshore/job"
)

// As a user without rights, web and worker do their work, children and
// vipsthumbnail included, and no other process of that user can read what they
// were started with: the installation's secrets.
func TestProcessesAreHidden(t *testing.T) {
	t.Parallel()
	in := install(t)
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	var credential *syscall.Credential
	folder := t.TempDir()
	if os.Geteuid() == 0 {
		credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		// Test folders are their owner's only.
		if folder, err = os.MkdirTemp("", "longshore-hidden-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		socket := strings.TrimPrefix(in.redis.URL(), "unix://")
		if err := errors.Join(os.Chown(folder, nobody, nobody), os.Chmod(filepath.Dir(socket), 0o711),
			os.Chmod(socket, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	env := slices.Concat(in.env, []string{"BLOB_URL=file://" + filepath.Join(folder, "blobs"),
		"TMPDIR=" + folder, "HOME=" + folder})
	start := func(name string) *process {
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path)
		cmd.Dir = folder
		return startAs(t, cmd, env, credential)
	}
	web := start("web")
	address := addressIn(t, web.await(t, `"msg":"web listens"`), `"address":"`)
	worker := start("worker")
	worker.await(t, `"msg":"worker takes jobs"`)

	c := clientOf(t, address)
	for _, format := range []string{"png", "jpeg"} {
		snap, err := c.SubmitFile(t.Context(), client.Submission{Type: "image.resize",
			Payload: map[string]any{"width": 8, "format": format}},
			bytes.NewReader(pngOf(t, 64, 64)), -1)
		if err != nil {
			t.Fatal(err)
		}
		if snap = wait(t, c, snap.ID); snap.State != job.Succeeded || len(snap.Outputs) != 1 {
			t.Errorf("the image ended as %+v", snap)
		}
	}
	for name, p := range map[string]*process{"web": web, "worker": worker} {
		file := "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/environ"
		look := exec.CommandContext(t.Context(), "cat", file)
		look.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		if out, err := look.Output(); err == nil || bytes.Contains(out, []byte("REDIS_URL")) {
			t.Errorf("%s: another process of its user reads %d bytes of its environment", name, len(out))
		}
		if _, err := os.ReadFile(file); credential == nil && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What may be looked into shows that the look is one.
	plain := exec.Command("sleep", "60")
	open := startAs(t, plain, []string{"REDIS_URL=x"}, credential)
	look := exec.CommandContext(t.Context(), "cat", "/proc/"+strconv.Itoa(open.cmd.Process.Pid)+"/environ")
	look.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := look.Output(); err != nil || !bytes.Contains(out, []byte("REDIS_URL")) {
		t.Errorf("a plain process: %q, %v", out, err)
	}
	worker.signal(syscall.SIGTERM)
	if code := worker.end(t, 30*time.Second); code != 0 {
		t.Errorf("the worker ended with %d", code)
	}
}
