package submit

import "testing"

func TestPlainName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"report.csv":                       "report.csv",
		"Übersicht 2026 – 終.csv":           "Übersicht 2026 – 終.csv",
		"👩\u200d🔬.png":                     "👩\u200d🔬.png", // a joiner shows nothing wrong
		"a\x00b\nc\rd\te\x1b[2Jf\x7f":      "abcde[2Jf",
		"c1\u0085\u009b31m":                "c131m",
		"invoice\u202efdp.exe":             "invoicefdp.exe",
		"\u2066a\u2069\u200e\u200f\u061cb": "ab",
		"two\u2028lines\u2029":             "twolines",
		"bad\xff\xfebytes":                 "bad\ufffdbytes",
		"":                                 "",
	} {
		if got := plainName(text); got != want {
			t.Errorf("plainName(%q) = %q, want %q", text, got, want)
		}
	}
}
