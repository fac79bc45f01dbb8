package redisdb

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Forms of a URL, for messages. That of Sentinel is what Python's and Node's clients
// read too.
const urlForms = "redis://[user:password@]host:port[/db], rediss://… for TLS, unix:///path, " +
	"redis+sentinel://[user:password@]host:port,…/master-name[/db] or redis+cluster://[user:password@]host:port,…"

// The ports where none is written.
const (
	redisPort    = "6379"
	sentinelPort = "26379"
)

// A place is what a URL says.
type place struct {
	redis.Options          // of the server with the data; Addr is empty where several are named
	nodes         []string // sentinels, or nodes of a Cluster to begin with
	master        string   // its name among the sentinels; empty without them
	// Who the sentinels are told that we are; empty: nobody.
	sentinelUser, sentinelPassword string
}

// parse reads a URL by go-redis' rules, but lets it set only addresses, the
// credentials and the database. Its own errors quote the URL, so they are
// replaced by ones that quote nothing.
func parse(raw string) (place, error) {
	if raw == "" {
		return place{}, errors.New("redis URL is empty; expected " + urlForms)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return place{}, errors.New("redis URL has no scheme; expected " + urlForms)
	}
	switch scheme {
	case "redis", "rediss", "unix":
		return parseServer(raw)
	case "redis+sentinel", "rediss+sentinel":
		return parseNodes(strings.TrimSuffix(scheme, "+sentinel"), rest, sentinelPort)
	case "redis+cluster", "rediss+cluster":
		return parseNodes(strings.TrimSuffix(scheme, "+cluster"), rest, redisPort)
	}
	return place{}, errors.New("redis URL has another scheme; expected " + urlForms)
}

var (
	errUnreadable = errors.New(
		"redis URL can't be read (special characters in the password must be percent-encoded); " +
			"expected " + urlForms)
	errPath = errors.New("redis URL has a bad path; expected " + urlForms)
)

// parseServer reads the URL of one server.
func parseServer(raw string) (place, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return place{}, errUnreadable
	}
	for name, values := range u.Query() {
		if name != "db" {
			return place{}, errors.New(
				"redis URL has a parameter other than db; the rest is set by Longshore")
		}
		if n, err := strconv.Atoi(values[len(values)-1]); err != nil || n < 0 {
			return place{}, errors.New("redis URL has a bad database number")
		}
	}
	o, err := redis.ParseURL(raw)
	if err != nil || o.DB < 0 {
		return place{}, errPath
	}
	return place{Options: *o}, nil
}

// parseNodes reads what follows the scheme of a URL that names several servers,
// which no parser of URLs knows. Of the default port one can tell the two kinds.
func parseNodes(scheme, rest, port string) (place, error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	hosts := rest[strings.LastIndexByte(rest[:end], '@')+1 : end]
	credentials := rest[:end-len(hosts)]
	u, err := url.Parse(scheme + "://" + credentials + "host" + rest[end:])
	if err != nil || u.Fragment != "" {
		return place{}, errUnreadable
	}
	p := place{}
	p.Username = u.User.Username()
	p.Password, _ = u.User.Password()
	if scheme == "rediss" {
		// each server's own name is filled in at its dial
		p.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		node, err := url.Parse("redis://" + host)
		if err != nil || node.Hostname() == "" || node.Host != host {
			return place{}, errors.New("redis URL has a bad address; expected " + urlForms)
		}
		if n := node.Port(); n != "" {
			p.nodes = append(p.nodes, net.JoinHostPort(node.Hostname(), n))
			continue
		}
		p.nodes = append(p.nodes, net.JoinHostPort(node.Hostname(), port))
	}
	if port == redisPort {
		if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return place{}, errors.New(
				"redis URL of a Cluster has a path or a parameter: it has neither databases nor settings")
		}
		return p, nil
	}
	return p, p.readMaster(u)
}

// readMaster reads the path and the query of a Sentinel's URL.
func (p *place) readMaster(u *url.URL) error {
	master, db, named := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if master == "" {
		return errors.New("redis URL of a Sentinel names no master; expected " + urlForms)
	}
	p.master = master
	if named {
		n, err := strconv.Atoi(db)
		if err != nil || n < 0 {
			return errPath
		}
		p.DB = n
	}
	for name, values := range u.Query() {
		switch last := values[len(values)-1]; name {
		case "sentinel_user":
			p.sentinelUser = last
		case "sentinel_password":
			p.sentinelPassword = last
		default:
			return errors.New(
				"redis URL has a parameter that is not of the sentinels' login; the rest is set by Longshore")
		}
	}
	return nil
}

// Address returns the part of a Redis URL that may be shown: host, port and
// database, the path of the socket, or the servers that it names. It returns ""
// for a bad URL.
func Address(rawURL string) string {
	p, err := parse(rawURL)
	if err != nil {
		return ""
	}
	address := p.Addr
	switch {
	case p.master != "":
		address = p.master + " of the sentinels " + strings.Join(p.nodes, ",")
	case p.nodes != nil:
		address = "the Cluster of " + strings.Join(p.nodes, ",")
	}
	if p.DB == 0 {
		return address
	}
	return address + "/" + strconv.Itoa(p.DB)
}
