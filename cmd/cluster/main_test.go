package main

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDescriptor holds that the socket stays one that doesn't block, whenever it is
// handed on.
func TestDescriptor(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := descriptor(l)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 {
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Fatalf("it blocks: flags %x, %v", flags, err)
		}
	}
}
