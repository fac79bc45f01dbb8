package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"longshore/internal/functions"
	"longshore/internal/functions/deployed"
	"longshore/internal/functions/registry"
)

// Values of Config.Deployed.
const (
	deployedOff = "off"
	deployedAll = "all"
)

func (c *Config) servesDeployed() bool { return c.Deployed != "" && c.Deployed != deployedOff }

// How a worker keeps up with what is deployed.
const (
	deployLook    = 2 * time.Second // between looks, beside what it is notified of
	deployFetch   = time.Minute     // to fetch and unpack one
	deployAgain   = time.Second     // after a failure, doubled each time,
	deployAgainIn = time.Minute     // … up to this
	deployAtOnce  = 4
)

// deploys are the deployed functions of a worker. A nil one has none.
type deploys struct {
	open  func() (*deployed.Cache, error)
	cache string // its folder
	rules deployed.Rules
	wake  chan struct{}

	// Only followDeployed uses these.
	served map[string]*functions.Function
	failed map[string]failedDeploy
}

// failedDeploy is a version that can't be served here for now.
type failedDeploy struct {
	number int64
	sha256 string // numbers may come again
	times  int
	again  time.Time
}

// openDeploys is ready for deployed functions. Their cache is made when there is one: most
// installations have none, and a worker leaves nothing behind.
func (w *worker) openDeploys() *deploys {
	c := w.config
	folder := filepath.Join(os.TempDir(), "longshore-functions-"+strconv.Itoa(os.Geteuid()))
	var mu sync.Mutex
	var cache *deployed.Cache
	open := func() (*deployed.Cache, error) {
		mu.Lock()
		defer mu.Unlock()
		if cache != nil {
			return cache, nil
		}
		opened, err := deployed.OpenCache(folder, c.FunctionsCache, c.FunctionsUser > 0)
		if err == nil {
			cache = opened
		}
		return opened, err
	}
	return &deploys{open: open, cache: folder, wake: make(chan struct{}, 1),
		rules: deployed.Rules{Programs: c.Deployed == deployedAll, Env: c.DeployedEnv,
			Network: c.DeployedNetwork,
			Memory:  c.ChildMemory},
		served: map[string]*functions.Function{}, failed: map[string]failedDeploy{}}
}

func (d *deploys) folder() string {
	if d == nil {
		return ""
	}
	return d.cache
}

// notify has the worker look at once.
func (d *deploys) notify() {
	if d == nil {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// followDeployed serves what is deployed until ctx ends.
func (w *worker) followDeployed(ctx context.Context) {
	d := w.functions.deploys
	if d == nil {
		return
	}
	quiet := false // it was said that the registry can't be read
	for {
		current, err := w.sys.Functions.Current(ctx)
		switch {
		case err == nil:
			quiet = false
			d.follow(ctx, w, current)
		case ctx.Err() == nil && !quiet: // what is served stays
			quiet = true
			w.log.WarnContext(ctx, "what is deployed can't be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-time.After(deployLook):
		}
	}
}

// follow makes what is served that which is current. While a version is fetched the one
// before goes on; a job that was accepted for the new one is given back meanwhile.
func (d *deploys) follow(ctx context.Context, w *worker, current map[string]registry.Current) {
	next := map[string]*functions.Function{}
	var wanted []registry.Current
	for typ, c := range current {
		switch old := d.served[typ]; {
		case old != nil && old.Version == c.Number && old.SHA256 == c.SHA256 && // numbers may come again
			w.functions.Serves(typ, c.Number): // else it could not be opened once a folder had gone
			next[typ] = old
		case !d.due(c):
		default:
			wanted = append(wanted, c)
		}
	}
	fetched := d.fetchAll(ctx, w, wanted)
	for _, f := range fetched {
		next[f.Type] = f
	}
	if maps.Equal(next, d.served) {
		return
	}
	changed := w.functions.SetDeployed(slices.Collect(maps.Values(next)))
	for typ, f := range next {
		if !w.functions.Serves(typ, f.Version) { // the set has said why
			delete(next, typ)
			d.fail(typ, f.Version, f.SHA256)
		} else {
			delete(d.failed, typ)
		}
	}
	d.served = next
	if changed {
		select {
		case w.functions.changed <- struct{}{}:
		default:
		}
	}
}

// fetchAll loads some versions, as many as can be had.
func (d *deploys) fetchAll(ctx context.Context, w *worker, wanted []registry.Current) []*functions.Function {
	var mu sync.Mutex
	var found []*functions.Function
	var wg sync.WaitGroup
	turns := make(chan struct{}, deployAtOnce)
	for _, c := range wanted {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			f, err := d.fetch(ctx, w, c)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				found = append(found, f)
				return
			}
			if ctx.Err() == nil {
				d.fail(c.Info.Type, c.Number, c.SHA256)
				w.log.ErrorContext(ctx, "deployed function can't be served here", "type", c.Info.Type,
					"version", c.Number, "error", err)
			}
		})
	}
	wg.Wait()
	return found
}

func (d *deploys) fetch(ctx context.Context, w *worker, c registry.Current) (*functions.Function, error) {
	ctx, cancel := context.WithTimeout(ctx, deployFetch)
	defer cancel()
	cache, err := d.open()
	if err != nil {
		return nil, err
	}
	u, err := cache.Fetch(ctx, c.Version, w.sys.Blobs)
	if err != nil {
		return nil, err
	}
	f, err := deployed.Load(c.Info.Type, c.Version, u, d.rules, w.functions.Loader())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("version %d: %w", c.Number, err), u.Close())
	}
	return f, nil
}

// due reports whether it is time to try a version that may have failed before.
func (d *deploys) due(c registry.Current) bool {
	old, ok := d.failed[c.Info.Type]
	return !ok || old.number != c.Number || old.sha256 != c.SHA256 || !time.Now().Before(old.again)
}

func (d *deploys) fail(typ string, number int64, sha256 string) {
	f := d.failed[typ]
	if f.number != number || f.sha256 != sha256 {
		f = failedDeploy{number: number, sha256: sha256}
	}
	f.times++
	f.again = time.Now().Add(min(deployAgain<<min(f.times-1, 10), deployAgainIn))
	d.failed[typ] = f
}
