package isolate

import "testing"

// TestPeakIsTheWorks holds that one piece of work's peak does not count for the
// next one's.
func TestPeakIsTheWorks(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("the race detector keeps memory, so the child is replaced")
	}
	p := open(t, Config{})
	big, err := p.say(t, "pass")
	if err != nil {
		t.Fatal(err)
	}
	small, err := p.say(t, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if big.Usage.PeakResident < 64<<20 || small.Usage.PeakResident > 40<<20 {
		t.Errorf("peaks %d and %d", big.Usage.PeakResident, small.Usage.PeakResident)
	}
}
