package family

import (
	"context"
	"os"
	"syscall"
	"time"
)

// ReapOrphans takes notice of the end of processes that became ours because
// their parents died, and of which nobody else here knows: orphans of families,
// and all orphans where this process is number 1. A zombie in our own process
// group is left alone, since somebody in this program may wait for it; any other
// is reaped when it was seen twice. It returns when ctx ends.
func ReapOrphans(ctx context.Context) {
	tick := time.NewTicker(orphansEvery)
	defer tick.Stop()
	var seen map[int]int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			seen = reapSeen(seen)
		}
	}
}

// reapSeen reaps the zombies among our children that were seen before, and
// returns the others: when each began, by its number.
func reapSeen(before map[int]int64) (now map[int]int64) {
	us, group := os.Getpid(), syscall.Getpgrp()
	now = map[int]int64{}
	for _, z := range processes() {
		if _, known := heads.Load(z.pid); known || z.parent != us || !z.zombie || z.group == group {
			continue
		}
		if began, ok := before[z.pid]; ok && began == z.began {
			reap(z.pid)
		} else {
			now[z.pid] = z.began
		}
	}
	return now
}

const orphansEvery = 10 * time.Second
