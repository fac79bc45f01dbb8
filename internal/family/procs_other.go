//go:build !linux

package family

import (
	"bytes"
	"hash/crc32"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// processes lists all processes, as POSIX's ps tells them.
func processes() []process {
	text, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,rss=,state=,lstart=").Output()
	if err != nil {
		return nil
	}
	var all []process
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(fields[i])
		}
		began := crc32.ChecksumIEEE([]byte(strings.Join(fields[5:], " ")))
		all = append(all, process{pid: n[0], parent: n[1], group: n[2], began: int64(began),
			resident: int64(n[3]) << 10, zombie: fields[4][0] == 'Z', stopped: fields[4][0] == 'T'})
	}
	return all
}

// lookUp reads one process.
func lookUp(pid int) (process, bool) {
	for _, p := range processes() {
		if p.pid == pid {
			return p, true
		}
	}
	return process{}, false
}

// Resident returns the resident size of a process; its peak is not known.
func Resident(pid int) (now, peak int64, ok bool) {
	text, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0, 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n << 10, n << 10, err == nil
}

func ownMemory(p process) int64 { return p.resident }

// carries can't be told without /proc.
func carries(int, string) bool { return false }

func worksIn(int, string) bool { return false }

// awaitExit: only Linux can wait without reaping.
func awaitExit(int) bool { return false }

// HasChildren is not known; children of the same group die with it.
func HasChildren() bool { return false }

// AdoptOrphans does nothing here: orphans go to init.
func AdoptOrphans() error { return nil }

func reap(int) {}

// KernelKills is not known here.
func KernelKills() int64 { return 0 }

// Uptime is a clock that all processes of a machine share.
func Uptime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// Program is the path of the program that runs.
func Program() (string, error) { return os.Executable() }
