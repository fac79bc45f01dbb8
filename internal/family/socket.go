package family

// HoldsSocket reports whether the head, or what descends from it, has the socket of that
// number (its inode) open. Only Linux can tell.
func (f *Family) HoldsSocket(inode uint64) bool {
	if holdsSocket(f.head, inode) {
		return true
	}
	for _, p := range below(processes(), f.head) {
		if holdsSocket(p.pid, inode) {
			return true
		}
	}
	return false
}
