package submit

import (
	"net/url"
	"strconv"
	"strings"
)

const maxCallbackURL = 2048 // bytes

// checkCallback says what is wrong with a callback URL, or "". Which addresses
// it may lead to is checked when it is dialed: what a name resolves to now says
// nothing about later.
func (d *Submitter) checkCallback(text string) string {
	if text == "" {
		return ""
	}
	if !d.Callbacks {
		return "this installation sends no callbacks: neither CALLBACK_SECRETS nor CALLBACK_KEY is set"
	}
	const form = "expected an http or https URL with a host, without user, password or fragment"
	if len(text) > maxCallbackURL {
		return "expected at most 2048 bytes"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "",
		u.User != nil, strings.Contains(text, "#"), strings.ContainsAny(u.Hostname(), " %"):
		return form
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return form
		}
	}
	return ""
}
