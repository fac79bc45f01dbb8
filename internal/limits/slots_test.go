package limits_test

import (
	"slices"
	"strings"
	"testing"

	"longshore/internal/access"
	"longshore/internal/jobstore"
	"longshore/job"
)

// TestClassify names the limits of jobs at once that jobs are some of, and what tells them apart.
func TestClassify(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	for name, text := range map[string]string{
		"customers": `{"concurrency":3,"per":["key"]}`,
		"images":    `{"concurrency":2,"match":{"type":"image.*","queue":"cpu-*"}}`,
		"acme":      `{"concurrency":1,"keep":"end","match":{"key":"acme-*"},"per":["type"]}`,
		"waiting":   `{"depth":7}`,
		"mails":     `{"rate":{"n":100,"per":"1m"},"concurrency":5,"match":{"type":"mail.*"},"per":["tenant"]}`,
	} {
		b.put(operator, name, text)
	}
	room := b.rooms[0]
	classes := func(n jobstore.NewJob) []string {
		room.Classify(&n)
		return n.Limits
	}
	plain := jobstore.NewJob{Type: "text.transform", Lane: job.LaneIO, Priority: job.Default}
	if got := classes(plain); got != nil {
		t.Errorf("a job of no limit: %q", got)
	}
	mail := plain
	mail.Type = "mail.send"
	if got := classes(mail); len(got) != 2 || !strings.HasPrefix(got[0], "*/mails:") ||
		!strings.HasPrefix(got[1], "*/mails:r:") {
		t.Errorf("a mail: %q", got)
	}
	image := plain
	image.Type, image.Lane = "image.resize", job.LaneCPU
	if got := classes(image); !slices.Equal(got, []string{"*/images:-"}) {
		t.Errorf("an image: %q", got)
	}
	keyed, other := image, image
	keyed.LimitKey, other.LimitKey = "acme-1", "acme-2"
	one, two := classes(keyed), classes(other)
	if len(one) != 3 || len(two) != 3 || one[0] != two[0] || one[1] == two[1] || one[2] != two[2] ||
		!strings.HasPrefix(one[0], "*/acme:") { // held to the end: first
		t.Errorf("two keys: %q, %q", one, two)
	}
	other = keyed
	other.Owner = access.Owner{Tenant: "shop"}
	if got := classes(other); len(got) != 3 || got[0] != one[0] || got[1] == one[1] || got[2] != one[2] {
		t.Errorf("another tenant's: %q, %q", got, one)
	}
	keyed.LimitKey = "acme-eu/7?["
	if got := classes(keyed); len(got) != 3 {
		t.Errorf("a key with other signs: %q", got)
	}
	if room.Any(t.Context()) != true {
		t.Error("a limit of what waits isn't seen")
	}
}
