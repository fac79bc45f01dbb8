// Package isolate runs pieces of work in child processes that can be killed.
// It knows nothing of jobs: work and answer are bytes.
//
// A Pool keeps one warm child for each slot. A child is this program's own
// binary, started with an environment of its own; the first call of main, Main,
// notices that and serves. Parent and child talk over a socket pair, in frames
// (frame.go); a file may travel along as an open descriptor.
//
// The parent owns the clock. When the context of a Run ends, the child is asked
// to stop; after a grace the child and everything that descends from it is
// killed, reaped, and a fresh child takes its place. A child that dies takes its
// one piece of work with it. A child whose parent dies, or that hears of no
// renewal in time, dies too.
//
// Linux keeps the whole promise. Elsewhere a child is killed with its process
// group, and memory is looked at now and then: docs/isolation.md has the list.
package isolate
