//go:build !linux

package cgroup

import "fmt"

type hierarchy struct{}

// Open finds none here.
func Open() (*Set, error) { return nil, fmt.Errorf("%w: only Linux has some", ErrNone) }

// A Group is none here.
type Group struct{}

func (s *Set) newGroup(int) *Group { return &Group{} }

func (g *Group) limit(Limits) error { return ErrNone }

func (g *Group) close() error { return nil }

// Start only starts it.
func (g *Group) Start(start func() (pid int, err error)) (pid int, err error) { return start() }

// Killed is 0.
func (g *Group) Killed() int64 { return 0 }
