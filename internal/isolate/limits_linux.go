package isolate

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"longshore/internal/family"
)

// A meter measures the resident size of this process.
type meter struct {
	refs   *os.File // /proc/self/clear_refs
	status *os.File // /proc/self/status
	statm  *os.File // /proc/self/statm
}

func (m *meter) open() (err error) {
	if err := family.AdoptOrphans(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	// Where there is not enough memory for all, the kernel is to kill this one
	// and not its parent. Anyone may raise it for himself.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	_ = os.WriteFile("/proc/self/comm", []byte("longshore-child"), 0) // ps shows it
	if m.refs, err = os.OpenFile("/proc/self/clear_refs", os.O_WRONLY, 0); err != nil {
		m.refs = nil // the peak is then that of the process's whole life
	}
	if m.status, err = os.Open("/proc/self/status"); err != nil {
		return err
	}
	m.statm, err = os.Open("/proc/self/statm")
	return err
}

// begin forgets the peak so far: clear_refs in proc(5).
func (m *meter) begin() {
	if m.refs != nil {
		_, _ = m.refs.WriteAt([]byte("5"), 0)
	}
}

// smallWork is CPU time in which no more memory can be filled than it is worth
// to measure exactly.
const smallWork = 2 * time.Millisecond

// end returns the resident size now and at its peak since begin. Of small work
// it takes the size now for both: that costs a third.
func (m *meter) end(cpu time.Duration) (now, peak int64) {
	var buf [4096]byte
	if cpu < smallWork {
		n, _ := m.statm.ReadAt(buf[:128], 0)
		now = statmResident(buf[:n])
		return now, now
	}
	n, _ := m.status.ReadAt(buf[:], 0)
	peak, _ = family.StatusField(buf[:n], "VmHWM:")
	now, _ = family.StatusField(buf[:n], "VmRSS:")
	return now, peak
}

// statmResident reads the second field of a statm file, in bytes.
func statmResident(text []byte) int64 {
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// capMemory limits what this process may ask of the kernel beyond what it has:
// RLIMIT_DATA, private writable memory. (RLIMIT_AS would count the address space
// that Go reserves and never uses.) Each program started from here has the limit
// for itself.
func capMemory(bytes int64) error {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	data, _ := family.StatusField(text, "VmData:")
	most := uint64(data + bytes)
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	return nil
}

// ownPriority is the nice value: Linux's system call counts the other way round.
func ownPriority() int {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return 20 - raw
}
