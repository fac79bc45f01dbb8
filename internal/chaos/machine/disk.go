//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"longshore/internal/chaos/history"
)

// ballast is the file that fills a disk.
const ballast = "ballast"

// mount gives folders a disk of their own, in memory, where the run may do that.
func (m *Machine) mount(dirs ...string) error {
	if m.config.Space == 0 {
		return nil
	}
	for _, dir := range dirs {
		path := filepath.Join(m.config.Dir, dir)
		if err := syscall.Mount("chaos", path, "tmpfs", 0,
			fmt.Sprintf("size=%d,mode=700", m.config.Space)); err != nil {
			return fmt.Errorf("mount a small disk, which only root may: %w", err)
		}
		m.mounts = append(m.mounts, path)
	}
	return nil
}

func (m *Machine) unmount() (err error) {
	for _, path := range m.mounts {
		err = errors.Join(err, syscall.Unmount(path, syscall.MNT_DETACH))
	}
	m.mounts = nil
	return err
}

// FillBlobs and FillData leave no space on the disk of the blobs, or of Redis's data, until
// what they return is called.
func (m *Machine) FillBlobs() (func() error, error) { return m.fill(blobs) }

// FillData is FillBlobs for Redis's data.
func (m *Machine) FillData() (func() error, error) { return m.fill(data) }

func (m *Machine) fill(dir string) (func() error, error) {
	path := filepath.Join(m.config.Dir, dir, ballast)
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return nil, err
		}
	}
	return func() error { return os.Remove(path) }, nil
}

// LosePower kills Redis and takes from its append-only files all that it had not made
// durable: what the library of Synced has seen no fsync for. Restart starts it again.
func (m *Machine) LosePower() (lost int64, err error) {
	if err := m.Redis.Kill(); err != nil {
		return 0, err
	}
	err = filepath.WalkDir(filepath.Join(m.config.Dir, data),
		func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".incr.aof") {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			var durable int64
			if text, err := os.ReadFile(filepath.Join(m.config.Dir, "synced-"+d.Name())); err == nil {
				durable, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			}
			lost += max(0, info.Size()-durable)
			return os.Truncate(path, min(durable, info.Size()))
		})
	return lost, err
}

// LeftBehind tells what should not be there after all programs have ended.
func (m *Machine) LeftBehind() {
	left := func(way, what string) {
		m.log.Add(history.Event{Kind: history.Left, Way: way, Text: what})
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		left("child", err.Error())
	}
	mark := "CHAOS_WITNESS=" + m.Witness
	for _, e := range entries {
		if env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")); err == nil &&
			strings.Contains(string(env), mark) {
			line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // it may have ended since
			left("child", e.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	found, err := filepath.Glob(filepath.Join(m.config.Dir, work, "*"))
	if err != nil {
		left("work folder", err.Error())
	}
	for _, path := range found {
		left("work folder", path)
	}
}

// CommandLines looks for secrets where every user of a machine can read.
func (m *Machine) CommandLines() {
	for _, p := range append(append([]*Process(nil), m.Webs...), m.Workers...) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
		if err == nil && (strings.Contains(string(line), Token) || strings.Contains(string(line), hidden)) {
			m.log.Add(history.Event{Kind: history.Secret, Proc: p.Name(), Text: "in its command line"})
		}
	}
}

// Sample notes what each program holds: memory, descriptors, threads.
func (m *Machine) Sample() {
	for _, p := range append(append([]*Process(nil), m.Webs...), m.Workers...) {
		proc := fmt.Sprintf("/proc/%d", p.PID())
		gauge := func(way string, n int64) {
			m.log.Add(history.Event{Kind: history.Gauge, Proc: p.Name(), Way: way, N: n})
		}
		if files, err := os.ReadDir(proc + "/fd"); err == nil {
			gauge("fds", int64(len(files)))
		}
		status, err := os.ReadFile(proc + "/status")
		if err != nil {
			continue // it is down for a moment
		}
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(line, ":")
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			switch {
			case err != nil:
			case name == "VmRSS":
				gauge("rss", n<<10)
			case name == "Threads":
				gauge("threads", n)
			}
		}
	}
}

// AcceptLoss says that what Redis has lost is gone, as an operator would.
func (m *Machine) AcceptLoss(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(m.config.Programs, "enqueue"), "doctor", "--accept-loss")
	cmd.Env = m.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("accept the loss: %w: %s", err, out)
	}
	return nil
}

// EmptyRedis kills Redis and takes all its data. Restart starts it again.
func (m *Machine) EmptyRedis() error {
	if err := m.Redis.Kill(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(m.config.Dir, data, "appendonlydir"))
}
