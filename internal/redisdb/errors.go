package redisdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Reasons why Redis can't serve, as Reason returns them. They are stable: logs
// and metrics carry them.
const (
	ReasonNetwork        = "network"          // no connection, or it broke
	ReasonTimeout        = "timeout"          // no answer in time
	ReasonPoolTimeout    = "pool_timeout"     // all connections of the budget were busy
	ReasonClosed         = "closed"           // our client was closed
	ReasonTLS            = "tls"              // bad certificate or no TLS at all
	ReasonLoading        = "loading"          // still reads its data from disk
	ReasonReadOnly       = "read_only"        // a replica, after a failover
	ReasonOutOfMemory    = "out_of_memory"    // maxmemory reached
	ReasonMisconfigured  = "misconfigured"    // can't write its data to disk
	ReasonClusterDown    = "cluster_down"     // slots without a node
	ReasonMoved          = "moved"            // slot is on another node
	ReasonMasterDown     = "master_down"      // replica without its master
	ReasonNoReplicas     = "no_replicas"      // too few replicas for a write
	ReasonNoAuth         = "no_auth"          // wrong or no password
	ReasonNoPermission   = "no_permission"    // the user's ACL forbids it
	ReasonBusy           = "busy"             // a script runs for too long
	ReasonTooManyClients = "too_many_clients" // its connection limit is reached
)

// replies maps the first word of an error reply to a reason.
var replies = []struct{ prefix, reason string }{
	{"LOADING ", ReasonLoading},
	{"READONLY ", ReasonReadOnly},
	{"OOM ", ReasonOutOfMemory},
	{"MISCONF ", ReasonMisconfigured},
	{"CLUSTERDOWN ", ReasonClusterDown},
	{"TRYAGAIN ", ReasonMoved},
	{"MOVED ", ReasonMoved},
	{"ASK ", ReasonMoved},
	{"MASTERDOWN ", ReasonMasterDown},
	{"NOREPLICAS ", ReasonNoReplicas},
	{"NOAUTH ", ReasonNoAuth},
	{"WRONGPASS ", ReasonNoAuth},
	{"NOPERM ", ReasonNoPermission},
	{"ERR The user executing the script can't", ReasonNoPermission}, // of a script, Redis 7.0
	{"ERR ACL failure in script", ReasonNoPermission},               // the same, Redis 7.2
	{"BUSY ", ReasonBusy},
	{"UNKILLABLE ", ReasonBusy},
	{"ERR max number of clients reached", ReasonTooManyClients},
	{"ERR invalid password", ReasonNoAuth},
	{"ERR Client sent AUTH, but no password is set", ReasonNoAuth},
	{"ERR AUTH ", ReasonNoAuth},
}

// texts maps what is left of a network error once somebody has put it into
// another error as text.
var texts = []struct{ part, reason string }{
	{redis.ErrPoolTimeout.Error(), ReasonPoolTimeout},
	{redis.ErrPoolExhausted.Error(), ReasonPoolTimeout},
	{redis.ErrClosed.Error(), ReasonClosed},
	{errNotReplicated.Error(), ReasonNoReplicas},
	{"i/o timeout", ReasonTimeout},
	{context.DeadlineExceeded.Error(), ReasonTimeout},
	{"connection refused", ReasonNetwork},
	{"connection reset by peer", ReasonNetwork},
	{"broken pipe", ReasonNetwork},
	{"use of closed network connection", ReasonNetwork},
	{"no such host", ReasonNetwork},
	{"dial tcp", ReasonNetwork},
	{"dial unix", ReasonNetwork},
}

// Unavailable reports whether an error means that Redis can't serve now, for
// whatever reason: the same call may well succeed later. A canceled context is
// no such error, a deadline that passed while waiting for Redis is one.
func Unavailable(err error) bool { return Reason(err) != "" }

// Reason returns why Redis can't serve, one of the Reason constants, or "" for
// an error of another kind (and for nil).
func Reason(err error) string {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) {
		return ""
	}
	switch {
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return ReasonPoolTimeout
	case errors.Is(err, redis.ErrClosed):
		return ReasonClosed
	case errors.Is(err, errNotReplicated):
		return ReasonNoReplicas
	}
	if reply, ok := errors.AsType[redis.Error](err); ok {
		return replyReason(reply.Error())
	}
	if r := networkReason(err); r != "" {
		return r
	}
	return textReason(err.Error())
}

func replyReason(text string) string {
	for _, r := range replies {
		if strings.HasPrefix(text, r.prefix) {
			return r.reason
		}
	}
	return ""
}

func networkReason(err error) string {
	if isTLS(err) {
		return ReasonTLS
	}
	if ne, ok := errors.AsType[net.Error](err); ok {
		if ne.Timeout() {
			return ReasonTimeout
		}
		return ReasonNetwork
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ReasonTimeout
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return ReasonNetwork
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return ReasonNetwork
	}
	return ""
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

// textReason finds the reason in a text. asynq passes most errors of Redis on
// as text only ("redis eval error: …"), so no type is left to ask for.
func textReason(text string) string {
	for _, t := range texts {
		if strings.Contains(text, t.part) {
			return t.reason
		}
	}
	if text == "EOF" || strings.HasSuffix(text, ": EOF") {
		return ReasonNetwork
	}
	for _, r := range replies {
		if strings.HasPrefix(text, r.prefix) || strings.Contains(text, ": "+r.prefix) {
			return r.reason
		}
	}
	return ""
}
