// Package access holds the words of who calls and what he may: scopes, principals, API
// keys as they are written and kept, and the root token of the installation. It looks
// nothing up: package store keeps what is kept in Redis, gate judges credentials. It is
// the only place where tokens are compared.
package access
