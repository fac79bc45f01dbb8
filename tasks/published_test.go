package tasks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// definition is a published one with this schema of its payload.
func definition(name, schema string) string {
	return fmt.Sprintf(
		`{"type":%q,"doc":"d","lane":"io","timeout_ms":1000,"max_attempts":1,"input":"none","schema":%s}`,
		name, schema)
}

// hostile are schemas that no program may fall over, or that ask for much.
func hostile() map[string]string {
	deep := strings.Repeat(`{"type":"object","properties":{"a":`, 40) + "{}" + strings.Repeat("}}", 40)
	object := func(inner string) string { return `{"type":"object",` + inner + `}` }
	property := func(s string) string { return object(`"properties":{"a":` + s + `}`) }
	return map[string]string{
		"pattern":            property(`{"type":"string","pattern":"("}`),
		"null property":      property(`null`),
		"null of oneOf":      object(`"oneOf":[null]`),
		"null of anyOf":      property(`{"anyOf":[null]}`),
		"null of allOf":      property(`{"allOf":[{},null]}`),
		"null items":         property(`{"type":"array","items":null}`),
		"null not":           object(`"not":null`),
		"null in additional": object(`"additionalProperties":null`),
		"ref":                property(`{"$ref":"#/components/schemas/X"}`),
		"discriminator":      object(`"oneOf":[{}],"discriminator":{"propertyName":"a"}`),
		"deep":               deep,
		"large pattern": property(`{"type":"string","pattern":"` + strings.Repeat(".{0,999}", 100) +
			`"}`),
		"many patterns": object(`"properties":{` +
			strings.TrimSuffix(strings.Repeat(`"a%d":{"type":"string","pattern":"a{900}"},`, 5), ",") + `}`),
		"folded class": property(`{"type":"string","pattern":"(?i)` + strings.Repeat(`[\\x{1}-\\x{1E942}]`,
			50) + `"}`),
		"list":            `[]`,
		"null":            `null`,
		"properties list": object(`"properties":[]`),
		"pattern number":  property(`{"pattern":5}`),
	}
}

// TestPublishHostile holds that a published definition that can't be used is
// refused with a reason, hides no other, and ends no program.
func TestPublishHostile(t *testing.T) {
	t.Parallel()
	for name, schema := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema := schema
			for i := 0; strings.Contains(schema, "%d"); i++ {
				schema = strings.Replace(schema, "%d", fmt.Sprint(i), 1)
			}
			c, err := NewCatalog()
			if err != nil {
				t.Fatal(err)
			}
			err = c.Publish(map[string]string{"bad.type": definition("bad.type", schema),
				"good.type": definition("good.type", `{"type":"object"}`)})
			refused := c.Refused()
			if err == nil || len(refused) != 1 || refused[0].Type != "bad.type" || refused[0].Reason == "" {
				t.Errorf("Publish = %v, refused %v", err, refused)
			}
			if _, ok := c.Lookup("good.type"); !ok {
				t.Error("the good type is not known")
			}
			if _, ok := c.Lookup("bad.type"); ok {
				t.Error("the bad type is known")
			}
		})
	}
}

// TestPublishChanges holds that a definition is read when it changes, said to be
// bad once, and forgotten when it is gone.
func TestPublishChanges(t *testing.T) {
	t.Parallel()
	c, err := NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	good, bad := definition("a.b", `{"type":"object"}`),
		definition("a.b", `{"type":"object","properties":{"x":null}}`)
	for i, step := range []struct {
		body         string
		fails, there bool
		refused      int
	}{
		{body: good, there: true},
		{body: bad, fails: true, refused: 1},
		{body: bad, refused: 1}, // said before
		{body: good, there: true},
		{body: strings.Repeat("x", MaxDefinition+1), fails: true, refused: 1},
		{body: "", refused: 1, fails: true},
	} {
		err := c.Publish(map[string]string{"a.b": step.body})
		_, there := c.Lookup("a.b")
		if (err != nil) != step.fails || there != step.there || len(c.Refused()) != step.refused {
			t.Errorf("step %d: %v, there %t, refused %v", i, err, there, c.Refused())
		}
	}
	if err := c.Publish(map[string]string{"a.b": good}); err != nil {
		t.Fatal(err)
	}
	first := c.types["a.b"].schema
	if err := c.Publish(map[string]string{"a.b": good}); err != nil || c.types["a.b"].schema != first {
		t.Errorf("an unchanged definition was read again: %v", err)
	}
	if err := c.Publish(nil); err != nil || len(c.All()) != 0 {
		t.Errorf("after all have gone: %v, %v", c.All(), err)
	}
}

// TestPublishMany holds that only so many definitions are taken.
func TestPublishMany(t *testing.T) {
	t.Parallel()
	c, err := NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	many := map[string]string{}
	for i := range MaxPublished + 7 {
		name := fmt.Sprintf("a.t%03d", i)
		many[name] = definition(name, `{"type":"object"}`)
	}
	if err := c.Publish(many); err == nil || len(c.All()) != MaxPublished || len(c.Refused()) != 7 {
		t.Errorf("%d are known, %d refused: %v", len(c.All()), len(c.Refused()), err)
	}
}

// FuzzPublished holds that no text in Redis ends a program that reads it, and
// that payloads can be checked against what is taken.
func FuzzPublished(f *testing.F) {
	for _, schema := range hostile() {
		f.Add(schema, `{"a":"x"}`)
	}
	f.Fuzz(func(t *testing.T, schema, payload string) {
		c, err := NewCatalog()
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(schema)) {
			return
		}
		if c.Publish(map[string]string{"a.b": definition("a.b", schema)}) == nil {
			_, _ = c.Check("a.b", []byte(payload)) // any answer but a panic
		}
	})
}
