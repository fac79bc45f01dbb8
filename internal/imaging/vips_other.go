//go:build !linux

package imaging

import "os/exec"

// ownGroup leaves the program in our process group: without a parent-death
// signal, whoever kills our group must reach it too.
func ownGroup(*exec.Cmd) {}
