package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"longshore/answer"
)

// maxReceivers is how many there may be.
const maxReceivers = 8

// A Receiver is told of alerts.
type Receiver struct {
	name  string // a digest of the URL
	url   string // which may hold a secret
	host  string
	slack bool // it takes a line of text
}

// ParseReceivers reads URLs as ALERT_URLS has them. Its errors don't tell them.
func ParseReceivers(urls []string) (list []Receiver, err error) {
	for _, text := range urls {
		plain, slack := strings.CutPrefix(text, "slack+")
		u, err := url.Parse(plain)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			return nil, errors.New("expected http, https or slack+https URLs without user and password")
		}
		sum := sha256.Sum256([]byte("longshore receiver of alerts\x00" + text))
		r := Receiver{name: hex.EncodeToString(sum[:6]), url: plain, host: u.Host, slack: slack}
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	if len(list) > maxReceivers {
		return nil, errors.New("expected at most 8 URLs")
	}
	return list, nil
}

// NeedSecret reports whether what one of them gets is signed.
func NeedSecret(list []Receiver) bool {
	return slices.ContainsFunc(list, func(r Receiver) bool { return !r.slack })
}

func (r Receiver) kind() string {
	if r.slack {
		return "slack"
	}
	return "webhook"
}

// body is what the receiver gets.
func (r Receiver) body(m answer.AlertMessage) ([]byte, error) {
	if !r.slack {
		return json.Marshal(m)
	}
	return json.Marshal(map[string]string{"text": slackText(m)})
}

// slackEscape is what Slack asks for; nothing else of a text has a meaning that could do harm but <…> and &.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackText is a message as people read it.
func slackText(m answer.AlertMessage) string {
	text := "[" + m.State + "] " + m.Alert + ": " + m.Summary
	switch m.State {
	case resolved:
		if m.ResolvedAt != nil {
			text += " — over after " + m.ResolvedAt.Sub(m.Since).Round(time.Second).String()
		}
	case firing:
		text += " (since " + m.Since.Format(time.DateTime) + " UTC)\nWhat to do: " + m.WhatToDo
	}
	return slackEscape.Replace(text)
}
