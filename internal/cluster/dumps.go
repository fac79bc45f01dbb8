package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	maxDumps = 5
	maxDump  = 8 << 20 // bytes
	dumpGlob = "silent-*.txt"
)

// dumps are files in which silent processes have said where they stood.
type dumps struct{ folder string }

// create makes a file, and removes the oldest ones.
func (d dumps) create(name string) (*os.File, error) {
	old, err := filepath.Glob(filepath.Join(d.folder, dumpGlob))
	if err != nil {
		return nil, err
	}
	slices.Sort(old) // their names begin with their time
	for len(old) >= maxDumps {
		os.Remove(old[0])
		old = old[1:]
	}
	at := time.Now().UTC().Format("20060102T150405.000000")
	return os.OpenFile(filepath.Join(d.folder, fmt.Sprintf("silent-%s-%s.txt", at, name)),
		os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// limited takes so much and drops the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n, err := l.w.Write(p[:min(len(p), l.left)])
	l.left -= n
	if err != nil {
		l.left = 0
	}
	return len(p), nil
}
