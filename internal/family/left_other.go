//go:build !linux

package family

// mayBeLeft can't be told cheaply here.
func (f *Family) mayBeLeft() bool { return true }

func ticks() int64 { return 0 }

// A Tree is what a head and all below it have at a moment.
type Tree struct {
	Processes int
	Resident  int64 // bytes: the head's, and what the others have for themselves
	Peak      int64 // the same, with the head's peak
}

// Tree looks at all processes of the machine. It may count more than most.
func (f *Family) Tree(int) Tree {
	now, peak, ok := Resident(f.head)
	if !ok {
		return Tree{}
	}
	found := below(processes(), f.head)
	f.note(found)
	t := Tree{Processes: 1 + len(found), Resident: now}
	for _, p := range found {
		t.Resident += ownMemory(p)
	}
	t.Peak = t.Resident + max(0, peak-now)
	return t
}

// Threads is not known here.
func Threads() uint64 { return 0 }
