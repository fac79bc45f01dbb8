// Package cgroup puts what is started into control groups of Linux that bound its memory and
// how many processes it may have, where such can be made: with version 1 by root, in the
// groups that this process is in; with version 2 where it is in a group called longshore that
// lies in one that was delegated to it (systemd: Delegate=memory pids, DelegateSubgroup=longshore).
// Groups are kept and used again: to make one takes longer than to start a program.
package cgroup

import (
	"errors"
	"sync"
)

// ErrNone says that no groups can be made here; what wraps it says why.
var ErrNone = errors.New("no control groups")

// Limits of a group.
type Limits struct {
	Memory    int64 // bytes, with what the kernel keeps of files for it, which it gives back first
	Processes int   // and threads
}

// A Set is where the groups of this process are made. It is safe for concurrent use.
type Set struct {
	hierarchies []hierarchy
	prefix      string

	mu     sync.Mutex
	groups map[int]*Group
}

// Get returns the group of a number, with limits. No two that are in use at once may have one
// number.
func (s *Set) Get(number int, l Limits) (*Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[number]
	if g == nil {
		g = s.newGroup(number)
		s.groups[number] = g
	}
	if err := g.limit(l); err != nil {
		return nil, err
	}
	return g, nil
}

// Close removes the groups. Nothing may be in them any more.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for number, g := range s.groups {
		errs = append(errs, g.close())
		delete(s.groups, number)
	}
	return errors.Join(errs...)
}
