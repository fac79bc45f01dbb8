package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"longshore/internal/strictjson"
	"longshore/job"
)

// A Catalog is the set of types that a program accepts. It is safe for
// concurrent use: definitions that workers publish are added while it serves.
type Catalog struct {
	mu      sync.RWMutex // guards types, and refused's writing
	types   map[string]entry
	refused map[string]string // why published definitions are not used

	publishing sync.Mutex        // one Publish at a time
	bodies     map[string]string // of the definitions published last
}

type entry struct {
	info   Info
	schema *huma.Schema
	simple *simpleCheck
	// choices is how many schemas a value may be held against; 1 = its own only.
	choices int
	secrets bool // some value may be secret
}

// ErrUnknownType says that no definition has that name.
var ErrUnknownType = errors.New("unknown job type")

// NewCatalog returns a catalog of these types.
func NewCatalog(infos ...Info) (*Catalog, error) {
	c := &Catalog{types: map[string]entry{}}
	var errs []error
	for _, info := range infos {
		errs = append(errs, c.Add(info))
	}
	return c, errors.Join(errs...)
}

// NewBuiltIn returns a catalog of the types that Longshore brings along.
func NewBuiltIn() (*Catalog, error) {
	infos, err := BuiltIn()
	if err != nil {
		return nil, err
	}
	return NewCatalog(infos...)
}

// Add adds a type, or puts a newer definition in the old one's place. A
// definition known from Go code is not displaced by a published one.
func (c *Catalog) Add(info Info) error {
	if err := info.valid(); err != nil {
		return err
	}
	schema, err := parseSchema(info.Schema)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.types[info.Type]; ok && old.info.check != nil && info.check == nil {
		return nil
	}
	c.types[info.Type] = entry{info, schema, newSimpleCheck(info, schema), choices(schema),
		hasSecrets(schema)}
	return nil
}

// Lookup returns a type's definition.
func (c *Catalog) Lookup(typ string) (Info, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.types[typ]
	return e.info, ok
}

// All returns the definitions, sorted by type.
func (c *Catalog) All() []Info {
	c.mu.RLock()
	defer c.mu.RUnlock()
	infos := make([]Info, 0, len(c.types))
	for _, name := range slices.Sorted(maps.Keys(c.types)) {
		infos = append(infos, c.types[name].info)
	}
	return infos
}

// Check returns the payload in compact form ({} for an empty one) if it fits
// the type. Otherwise the error is ErrUnknownType, ErrJSON or Problems.
func (c *Catalog) Check(typ string, payload []byte) ([]byte, error) {
	return c.check(typ, payload, true)
}

// CheckSchema is Check without the type's own check, which may cost more than it
// is worth for a request that is refused anyway.
func (c *Catalog) CheckSchema(typ string, payload []byte) ([]byte, error) {
	return c.check(typ, payload, false)
}

func (c *Catalog) check(typ string, payload []byte, own bool) ([]byte, error) {
	e, err := c.entry(typ)
	if err != nil {
		return nil, err
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if len(payload) > job.MaxDocument {
		return nil, Problems{{"", fmt.Sprintf("payload is over %d bytes; send data as the input",
			job.MaxDocument)}}
	}
	switch err := e.simple.check(payload); {
	case err == nil:
		return compact(payload)
	case errors.Is(err, ErrJSON):
		return nil, err
	}
	return e.check(payload, own)
}

// check is Check by everything that is known of the type.
func (e entry) check(payload []byte, own bool) ([]byte, error) {
	if err := strictjson.Check(payload); err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(payload, &fields); err != nil || fields == nil {
		var wrong *json.UnmarshalTypeError
		// with its digits: no float64 holds it
		if errors.As(err, &wrong) && strings.HasPrefix(wrong.Value, "number ") {
			return nil, Problems{{"", "has a number over all bounds"}}
		}
		return nil, Problems{{"", "expected object"}}
	}
	if e.choices > 1 && e.choices*values(fields) > maxCompared {
		return nil, Problems{
			{"",
				fmt.Sprintf(
					"has too many values for a type that has so many alternatives: over %d comparisons",
					maxCompared)}}
	}
	if problems := validate(e.schema, fields); problems != nil {
		return nil, problems
	}
	if problems := validateMore(e.schema, payload); problems != nil {
		return nil, problems
	}
	if own && e.info.check != nil {
		if err := e.info.check(payload); err != nil {
			if problems := (Problems)(nil); errors.As(err, &problems) {
				return nil, problems
			}
			return nil, Problems{{"", err.Error()}}
		}
	}
	return compact(payload)
}

// FromQuery builds a payload out of query parameters by the type's schema. The
// caller has taken its own parameters out. Check is still to be called.
func (c *Catalog) FromQuery(typ string, query url.Values) ([]byte, error) {
	e, err := c.entry(typ)
	if err != nil {
		return nil, err
	}
	payload, problems := payloadFromQuery(e.schema, query)
	if problems != nil {
		return nil, problems
	}
	return payload, nil
}

func (c *Catalog) entry(typ string) (entry, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.types[typ]
	if !ok {
		return entry{}, ErrUnknownType
	}
	return e, nil
}
