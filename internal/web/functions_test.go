package web_test

import (
	"context"
	"io"

	"longshore/answer"
	"longshore/internal/web/api"
	"longshore/job"
)

// noFunctions is where nothing is deployed.
type noFunctions struct{}

func (noFunctions) Deploy(_ context.Context, d api.Deployment,
	r io.Reader) (answer.FunctionVersion, bool, error) {
	_, err := io.Copy(io.Discard, r)
	return answer.FunctionVersion{Type: d.Type}, true, err
}

func (noFunctions) Rollback(context.Context, api.Deployment, int64) (answer.FunctionVersion, bool, error) {
	return answer.FunctionVersion{}, false, job.ErrNotFound
}

func (noFunctions) Functions(context.Context) ([]answer.FunctionVersion, error) {
	return []answer.FunctionVersion{}, nil
}

func (noFunctions) Versions(context.Context, string) (answer.Function, error) {
	return answer.Function{}, job.ErrNotFound
}

func (noFunctions) Remove(context.Context, api.Deployment) (answer.RemovedFunction, error) {
	return answer.RemovedFunction{}, job.ErrNotFound
}
