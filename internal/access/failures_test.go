package access

import (
	"net/netip"
	"testing"
	"time"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	var f Failures
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Now()
	told := 0
	for i := range 1000 {
		v := f.Note(one, now)
		if (v.Wait > 0) != (i >= burst) || v.Wait > refill {
			t.Fatalf("failure %d: wait %v", i, v.Wait)
		}
		told += v.Tell
	}
	if told != 1 {
		t.Errorf("told of %d in the first moment, want 1", told)
	}
	if v := f.Note(other, now); v.Wait != 0 || v.Tell != 1 {
		t.Errorf("another address: %+v", v)
	}
	now = now.Add(refill)
	if first, second := f.Note(one, now), f.Note(one, now); first.Wait != 0 || second.Wait <= 0 {
		t.Errorf("after one is made up for: %+v, then %+v", first, second)
	}
	if v := f.Note(one, now.Add(logPace)); v.Wait != 0 || v.Tell != 1002 {
		t.Errorf("after a minute: %+v, want to tell of 1002", v)
	}
}

// Any number of addresses takes a bounded memory, and is limited all the same.
func TestFailuresOfManyAddresses(t *testing.T) {
	t.Parallel()
	var f Failures
	now := time.Now()
	address := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	refused, lines := 0, 0
	for i := range 3 * maxAddresses {
		v := f.Note(address(i), now)
		if v.Wait > 0 {
			refused++
		}
		if v.Tell > 0 {
			lines++
		}
	}
	if len(f.of) != maxAddresses || refused != 2*maxAddresses-burst || lines != maxAddresses+1 {
		t.Errorf("%d accounts, %d refused, %d lines", len(f.of), refused, lines)
	}
	now = now.Add(2 * logPace)
	if v := f.Note(address(1<<23), now); v.Wait != 0 || v.Tell != 1 || len(f.of) != 1 {
		t.Errorf("later: %+v, %d accounts", v, len(f.of))
	}
}
