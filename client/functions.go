package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"longshore/answer"
	"longshore/internal/httpapi"
)

// Deployed functions as the server tells of them.
type (
	// A Function is a deployed function with its versions.
	Function = answer.Function
	// A FunctionVersion is one content of it.
	FunctionVersion = answer.FunctionVersion
	// A RemovedFunction says what waits for one that is deployed no more.
	RemovedFunction = answer.RemovedFunction
)

// Functions returns the current versions of the deployed functions, sorted by type.
func (c *Client) Functions(ctx context.Context) ([]FunctionVersion, error) {
	var list httpapi.FunctionList
	if _, err := c.exchange(ctx, get(httpapi.PathFunctions, nil), &list); err != nil {
		return nil, fmt.Errorf("list functions: %w", err)
	}
	return list.Functions, nil
}

// Function returns the versions of a deployed function that are kept.
func (c *Client) Function(ctx context.Context, typ string) (f Function, err error) {
	if _, err := c.exchange(ctx, get(httpapi.FunctionPath(typ), nil), &f); err != nil {
		return f, fmt.Errorf("read function %s: %w", typ, err)
	}
	return f, nil
}

// DeployFunction makes a module, or a tar.gz of a folder, the current version of a type;
// size is its length in bytes, -1 = not known. ifCurrent is the number that must be current,
// 0 = none; nil = any. What is current already gets no new number, so a deployment may be
// repeated.
func (c *Client) DeployFunction(ctx context.Context, typ string, in io.Reader, size int64,
	ifCurrent *int64) (v FunctionVersion, err error) {
	call := call{method: http.MethodPut, path: httpapi.FunctionPath(typ), header: ifMatch(ifCurrent),
		body: newBody(in, size)}
	call.safe = call.body.seek != nil
	if _, err := c.exchange(ctx, call, &v); err != nil {
		return v, fmt.Errorf("deploy %s: %w", typ, err)
	}
	return v, nil
}

// RollbackFunction makes the content of an older version current, under a new number.
func (c *Client) RollbackFunction(ctx context.Context, typ string, to int64) (v FunctionVersion, err error) {
	body := struct {
		To int64 `json:"to"`
	}{to}
	if err := c.post(ctx, httpapi.FunctionPath(typ)+"/rollback", body, &v); err != nil {
		return v, fmt.Errorf("roll %s back: %w", typ, err)
	}
	return v, nil
}

// RemoveFunction takes no more jobs for a deployed function. Those that are there wait.
func (c *Client) RemoveFunction(ctx context.Context, typ string) (gone RemovedFunction, err error) {
	call := call{method: http.MethodDelete, path: httpapi.FunctionPath(typ)}
	if _, err := c.exchangeOnce(ctx, call, &gone); err != nil {
		return gone, fmt.Errorf("remove function %s: %w", typ, err)
	}
	return gone, nil
}

func ifMatch(number *int64) http.Header {
	if number == nil {
		return http.Header{}
	}
	return http.Header{"If-Match": {`"` + strconv.FormatInt(*number, 10) + `"`}}
}
