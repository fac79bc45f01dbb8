package client

import (
	"context"
	"fmt"

	"longshore/answer"
	"longshore/internal/httpapi"
)

// What limits are.
type (
	// A Limit bounds what may wait.
	Limit = answer.Limit
	// A LimitSpec says how much may wait.
	LimitSpec = answer.LimitSpec
	// A LimitRate is how often jobs may start.
	LimitRate = answer.LimitRate
	// A LimitMatch says which jobs a limit is for.
	LimitMatch = answer.LimitMatch
)

// Limits lists the limits, with how much waits.
func (c *Client) Limits(ctx context.Context) ([]Limit, error) {
	list, err := ask[answer.LimitList](ctx, c, "list limits", httpapi.PathLimits, nil)
	return list.Limits, err
}

// Limit returns one, with how much waits.
func (c *Client) Limit(ctx context.Context, name string) (Limit, error) {
	return ask[Limit](ctx, c, "limit "+name, httpapi.LimitPath(name), nil)
}

// PutLimit makes or changes a limit. One that says the same already stays as it is, so it may be called at
// each start.
func (c *Client) PutLimit(ctx context.Context, name string, spec LimitSpec) (l Limit, err error) {
	if err := c.put(ctx, httpapi.LimitPath(name), spec, &l); err != nil {
		return l, fmt.Errorf("put limit %s: %w", name, err)
	}
	return l, nil
}

// DeleteLimit removes a limit.
func (c *Client) DeleteLimit(ctx context.Context, name string) error {
	if err := c.remove(ctx, httpapi.LimitPath(name)); err != nil {
		return fmt.Errorf("delete limit %s: %w", name, err)
	}
	return nil
}
