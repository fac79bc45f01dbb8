package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A bom is a software bill of materials, in the part of CycloneDX 1.5 that we need.
type bom struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// sbom lists the modules that the linker has put into programs, and the Go release.
// It is read from the programs, so it can't be of other versions than they are.
func sbom(version string, programs []string) ([]byte, error) {
	parts := map[string]component{}
	whole := component{Type: "application", Name: "longshore", Version: version}
	for _, name := range programs {
		info, err := buildinfo.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("what %s is made of: %w", filepath.Base(name), err)
		}
		whole.Properties = append(whole.Properties, property{"longshore:program", filepath.Base(name)})
		release := strings.TrimPrefix(info.GoVersion, "go")
		parts["std"] = component{Type: "library", Name: "std", Version: release, PURL: "pkg:golang/std@" +
			release}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path +
				"@" + m.Version}
			if m.Sum != "" {
				c.Properties = []property{{"go:sum", m.Sum}} // of the module's tree, as go.sum has it
			}
			parts[m.Path+"@"+m.Version] = c
		}
	}
	list := bom{Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Metadata: metadata{whole},
		Components: []component{}}
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		list.Components = append(list.Components, parts[key])
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(list); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
