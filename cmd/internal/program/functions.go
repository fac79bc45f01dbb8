package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"longshore/answer"
	"longshore/config"
	"longshore/internal/connect"
	"longshore/internal/functions/deployed"
	"longshore/internal/functions/registry"
	"longshore/internal/httpapi"
	"longshore/internal/web"
	"longshore/tasks"
)

// deployments is what web has of deployed functions.
type deployments struct {
	sys      *connect.System
	catalog  *tasks.Catalog
	allowed  config.Deploy
	deployer *deployed.Deployer
}

func newDeployments(sys *connect.System, catalog *tasks.Catalog, d config.Deployed) *deployments {
	return &deployments{sys: sys, catalog: catalog, allowed: d.Allowed, deployer: &deployed.Deployer{
		Rules: deployed.Rules{Programs: d.Allowed == config.DeployAll, Env: d.Env,
			Network: bool(d.Network)},
		Registry: sys.Functions, Blobs: sys.Blobs, Log: sys.Log}}
}

func (d *deployments) Close() error { return d.deployer.Close() }

// check refuses what may not be deployed at all.
func (d *deployments) check(ctx context.Context, typ string) error {
	if d.allowed == config.DeployOff {
		return httpapi.NewError(httpapi.Forbidden,
			"nothing is deployed over the API here (FUNCTIONS_DEPLOY=off)")
	}
	current, err := d.sys.Functions.Current(ctx)
	if err != nil {
		return err
	}
	if _, there := current[typ]; there {
		return nil // or a folder that came later, which goes before
	}
	if len(current) >= tasks.MaxPublished/2 {
		return functionError(registry.ErrFull)
	}
	info, known := d.catalog.Lookup(typ)
	if !known || info.Version > 0 {
		return nil
	}
	if !info.Published() {
		return httpapi.NewError(httpapi.Conflict, typ+" is a type of Go code")
	}
	workers, err := d.sys.Queue.Workers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		if slices.Contains(w.Types, typ) {
			return httpapi.NewError(httpapi.Conflict, typ+" is served by a folder, or by Go code, of worker "+
				w.Host)
		}
	}
	return d.sys.Store.ReleaseType(ctx, typ) // so that the folder's definition is not before the deployed one
}

func (d *deployments) Deploy(ctx context.Context, by web.Deployment,
	r io.Reader) (answer.FunctionVersion, bool, error) {
	if err := d.check(ctx, by.Type); err != nil {
		return answer.FunctionVersion{}, false, err
	}
	v, made, err := d.deployer.Deploy(ctx, by.Type, by.By.Who.ID, by.IfCurrent, r)
	return d.done(ctx, "functions.deploy", by, v, made, err)
}

func (d *deployments) Rollback(ctx context.Context, by web.Deployment,
	to int64) (v answer.FunctionVersion, made bool, err error) {
	if d.allowed == config.DeployOff {
		return v, false, d.check(ctx, by.Type)
	}
	n, made, err := d.sys.Functions.Rollback(ctx, by.Type, to, by.By.Who.ID, by.IfCurrent)
	if err != nil {
		return v, false, functionError(err)
	}
	f, err := d.sys.Functions.Current(ctx)
	if err != nil {
		return v, false, err
	}
	c := f[by.Type].Version
	if c.Number != n { // another deployment was faster since
		c = registry.Version{Number: n, Of: to}
	}
	return d.done(ctx, "functions.rollback", by, c, made, nil)
}

// done tells what was done: to the log, to this process's own catalog, and in the answer.
func (d *deployments) done(ctx context.Context, what string, by web.Deployment, v registry.Version, made bool,
	err error) (answer.FunctionVersion, bool, error) {
	if err != nil {
		return answer.FunctionVersion{}, false, functionError(err)
	}
	if made {
		target := fmt.Sprintf("function:%s:%d", by.Type, v.Number)
		if err := d.sys.Access.Note(ctx, by.By, what, target); err != nil {
			d.sys.Log.WarnContext(ctx, "audit log is not written", "action", what, "target", target, "error", err)
		}
	}
	d.reload(ctx)
	return versionOf(by.Type, v, ""), made, nil
}

func (d *deployments) reload(ctx context.Context) {
	if err := d.sys.LoadTypes(ctx, d.catalog); err != nil {
		d.sys.Log.WarnContext(ctx, "published types", "error", err)
	}
}

func (d *deployments) Functions(ctx context.Context) ([]answer.FunctionVersion, error) {
	current, err := d.sys.Functions.Current(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]answer.FunctionVersion, 0, len(current))
	for typ, c := range current {
		all = append(all, versionOf(typ, c.Version, c.Info.Doc))
	}
	slices.SortFunc(all, func(a, b answer.FunctionVersion) int { return strings.Compare(a.Type, b.Type) })
	return all, nil
}

func (d *deployments) Versions(ctx context.Context, typ string) (answer.Function, error) {
	versions, current, err := d.sys.Functions.Versions(ctx, typ)
	f := answer.Function{Type: typ, Current: current, Versions: make([]answer.FunctionVersion, len(versions))}
	for i, v := range versions {
		f.Versions[i] = versionOf(typ, v, "")
	}
	return f, functionError(err)
}

func (d *deployments) Remove(ctx context.Context, by web.Deployment) (answer.RemovedFunction, error) {
	gone := answer.RemovedFunction{Type: by.Type}
	if err := d.sys.Functions.Remove(ctx, by.Type); err != nil {
		return gone, functionError(err)
	}
	target := "function:" + by.Type
	if err := d.sys.Access.Note(ctx, by.By, "functions.remove", target); err != nil {
		d.sys.Log.WarnContext(ctx, "audit log is not written", "action", "functions.remove", "target", target,
			"error", err)
	}
	d.reload(ctx)
	var err error
	gone.Open, err = d.sys.Store.OpenOf(ctx, by.Type)
	return gone, err
}

func versionOf(typ string, v registry.Version, doc string) answer.FunctionVersion {
	return answer.FunctionVersion{Type: typ, Version: v.Number, SHA256: v.SHA256, Size: v.Size, Kind: v.Kind,
		By: v.By, At: v.At, Of: v.Of, Doc: doc}
}

// functionError words what went wrong with a deployment.
func functionError(err error) error {
	var bad *deployed.BadError
	var mismatch *registry.MismatchError
	switch {
	case errors.As(err, &bad):
		return httpapi.InvalidAt("/body", bad.Error())
	case errors.As(err, &mismatch):
		return httpapi.NewError(httpapi.Conflict, mismatch.Error()).WithStatus(http.StatusPreconditionFailed)
	case errors.Is(err, registry.ErrNotFound):
		return httpapi.NewError(httpapi.NotFound, registry.ErrNotFound.Error())
	case errors.Is(err, registry.ErrFull):
		return httpapi.NewError(httpapi.Conflict, registry.ErrFull.Error()+": remove some")
	}
	return err
}
