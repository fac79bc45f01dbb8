package loggen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A vocabulary is what the lines of one log are made of.
type vocabulary struct {
	addresses, paths, referrers, agents *zipf

	users []string // with the spaces around: " - name "
}

func newVocabulary(rng *rand.Rand, o Options) *vocabulary {
	v := &vocabulary{users: []string{" - - ", " - - ", " - - ", " - - ", " - - ", " - - ", " - - ",
		" - ada "}}
	v.addresses = newZipf(list(o.Addresses, func(int) string { return address(rng) }))
	v.paths = newZipf(list(o.Paths, func(i int) string { return path(rng, i) }))
	referrers := []string{"-", "-", "https://harbour.example/"}
	v.referrers = newZipf(append(referrers, list(400, func(i int) string {
		return "https://" + nouns[rng.IntN(len(nouns))] + ".example" + path(rng, i)
	})...))
	v.agents = newZipf(list(300, func(int) string { return agent(rng) }))
	return v
}

func list(n int, one func(i int) string) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = one(i)
	}
	return values
}

func address(rng *rand.Rand) string {
	n := rng.Uint32()
	switch n % 16 {
	case 0:
		return fmt.Sprintf("2001:db8:%x:%x::%x", n>>4&0xfff, n>>16&0xff, n>>24)
	case 1:
		return fmt.Sprintf("198.51.100.%d", n>>8&255)
	default:
		return fmt.Sprintf("10.%d.%d.%d", n>>4&255, n>>12&255, n>>20&255)
	}
}

var (
	nouns = strings.Fields("harbour crane quay ferry anchor cargo tide beacon pilot hull mast rudder " +
		"compass chart lantern galley bosun winch pontoon jetty breakwater buoy keel sextant")
	kinds = []string{"", ".html", ".html", ".css", ".js", ".png", ".jpg", ".svg", ".json", ".woff2"}
)

func path(rng *rand.Rand, i int) string {
	if i == 0 {
		return "/"
	}
	var b strings.Builder
	for range 1 + rng.IntN(4) {
		b.WriteString("/" + nouns[rng.IntN(len(nouns))])
	}
	fmt.Fprintf(&b, "-%d%s", i, kinds[rng.IntN(len(kinds))])
	return b.String()
}

func agent(rng *rand.Rand) string {
	major, minor := 90+rng.IntN(60), rng.IntN(6000)
	switch rng.IntN(8) {
	case 0:
		return fmt.Sprintf("tidebot/%d.%d (+https://tide.example/bot)", major/10, minor%10)
	case 1:
		return fmt.Sprintf("curl/8.%d.%d", minor%20, minor%3)
	case 2:
		return fmt.Sprintf(`Ferry \"Nightly\" %d.%d`, major, minor)
	case 3:
		return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", major,
			major)
	case 4:
		return fmt.Sprintf(
			"Mozilla/5.0 (iPhone; CPU iPhone OS %d_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.%d Mobile/15E148 Safari/604.1", major/8, minor%7, major/8, minor%7)
	default:
		return fmt.Sprintf(
			"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.0 Safari/537.36", major, minor)
	}
}
