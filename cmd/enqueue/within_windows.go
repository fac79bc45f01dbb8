package main

import (
	"context"
	"errors"

	"longshore/config"
)

// errWithin: processes that share a Redis and a folder run on Linux and macOS, and so does what works
// on these itself.
var errWithin = errors.New("on Windows this needs a server: set LONGSHORE_URL to one, " +
	"or run enqueue where the server runs")

func (p *cli) within(context.Context, config.Enqueue) (installation, error) {
	return nil, misconfigured(errWithin)
}

func (d *doctor) installation(context.Context, config.Enqueue) {
	d.warn("redis", "run enqueue doctor on Linux or macOS", "Redis and the blob store are not looked at from Windows")
}

func (p *cli) acceptLoss(context.Context) error      { return misconfigured(errWithin) }
func (p *cli) dropFormat2(context.Context) error     { return misconfigured(errWithin) }
func (p *cli) fix(context.Context) error             { return misconfigured(errWithin) }
func (p *cli) dissect(context.Context, string) error { return misconfigured(errWithin) }

func (p *cli) backup(context.Context, string, string) error { return misconfigured(errWithin) }
func (p *cli) restore(context.Context, string) error        { return misconfigured(errWithin) }
func (p *cli) asynqMove(context.Context, asynqMove) error   { return misconfigured(errWithin) }
