//go:build !linux

package program

// lowerPriority does nothing here.
func lowerPriority(int) {}
