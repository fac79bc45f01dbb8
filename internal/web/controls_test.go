package web_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"longshore/internal/httpapi"
	"longshore/internal/submit"
	"longshore/job"
)

var requestControls = httpapi.FieldsOf[submit.Request]()

// goodOf is a value of a control, as Text writes it, and badOf one that it can't have;
// "" = any text will do.
func goodOf(c httpapi.Control) string {
	switch {
	case c.Kind == httpapi.KindTime:
		return "2030-01-02T03:04:05Z"
	case c.Kind == httpapi.KindDuration:
		return "90s"
	case c.Kind == httpapi.KindCount:
		return "7"
	case c.Kind == httpapi.KindLabels:
		return "batch=x y,user=7"
	case c.Kind == httpapi.KindJobs:
		return string(firstBefore) + "," + string(secondBefore)
	case c.Enum != nil:
		return c.Enum[len(c.Enum)-1]
	case c.Format == "uuid":
		return string(job.NewID(time.Now()))
	default:
		return "https://a.example/" + c.Name
	}
}

// notJobs is neither an id nor a name.
const notJobs = "so on"

func badOf(c httpapi.Control) string {
	switch {
	case c.Kind == httpapi.KindJobs:
		return notJobs
	case c.Kind != httpapi.KindText, c.Enum != nil:
		return "soon"
	case c.ASCII:
		return "é"
	}
	return ""
}

// inJSON writes a control's value; a text that can't be bad is bad as a number.
func inJSON(c httpapi.Control, value string) string {
	if value == "" || c.Kind == httpapi.KindCount {
		return strings.Replace(cmpOr(value, "7"), "soon", `"soon"`, 1)
	}
	if labels, err := job.ParseLabels(value); c.Kind == httpapi.KindLabels && err == nil {
		text, _ := json.Marshal(labels)
		return string(text)
	}
	if c.Kind == httpapi.KindJobs && value != notJobs {
		text, _ := json.Marshal(strings.Split(value, ","))
		return string(text)
	}
	text, _ := json.Marshal(value)
	return string(text)
}

// Jobs that others may be after.
var firstBefore, secondBefore = job.NewID(time.Now()), job.NewID(time.Now())

func cmpOr(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// A way is one way in. send sends a submission with one control; pointer is where the
// answer says that it is wrong.
type way struct {
	in      httpapi.Places
	send    func(b *bench, c httpapi.Control, values []string) reply
	pointer func(c httpapi.Control) string
}

// aForm is a form with parameters and a file.
func aForm(name string, values []string) (body, kind string) {
	var text strings.Builder
	form := multipart.NewWriter(&text)
	for _, v := range values {
		_ = form.WriteField(name, v)
	}
	file, _ := form.CreateFormFile("file", "")
	_, _ = file.Write([]byte("x"))
	form.Close()
	return strings.Replace(text.String(), `filename=""`, `filename="f"`, 1), form.FormDataContentType()
}

func ways() map[string]way {
	asJSON := func(c httpapi.Control, values []string) string {
		var members []string
		for _, v := range values {
			members = append(members, strconv.Quote(c.Name)+":"+inJSON(c, v))
		}
		return `{"type":"math.primes","payload":{"n":5},` + strings.Join(members, ",") + "}"
	}
	member := func(c httpapi.Control) string { return "/" + c.Name }
	asked := func(c httpapi.Control) string { return "?" + c.Name }
	return map[string]way{
		"body": {httpapi.InBody, func(b *bench, c httpapi.Control, values []string) reply {
			return b.do("POST", "/v1/jobs", asJSON(c, values))
		}, member},
		"line": {httpapi.InLine, func(b *bench, c httpapi.Control, values []string) reply {
			return b.do("POST", "/v1/jobs/batch", asJSON(c, values))
		}, member},
		"query": {httpapi.InQuery, func(b *bench, c httpapi.Control, values []string) reply {
			return b.do("POST", "/v1/jobs/log.analyze?"+url.Values{c.Name: values}.Encode(), "x")
		}, asked},
		"form": {httpapi.InQuery, func(b *bench, c httpapi.Control, values []string) reply {
			body, kind := aForm(c.Name, values)
			return b.do("POST", "/v1/jobs/log.analyze", body, "Content-Type", kind)
		}, asked},
		"metadata": {httpapi.InQuery, func(b *bench, c httpapi.Control, values []string) reply {
			pairs := []string{"type " + base64.StdEncoding.EncodeToString([]byte("log.analyze"))}
			for _, v := range values {
				pairs = append(pairs, c.Name+" "+base64.StdEncoding.EncodeToString([]byte(v)))
			}
			return b.do("POST", "/v1/uploads", "", "Upload-Metadata", strings.Join(pairs, ","))
		}, func(c httpapi.Control) string { return "/headers/Upload-Metadata/" + c.Name }},
		"header": {httpapi.InHeader, func(b *bench, c httpapi.Control, values []string) reply {
			return b.do("POST", "/v1/jobs", `{"type":"math.primes","payload":{"n":5}}`, c.Header, values[0])
		}, func(c httpapi.Control) string { return "/headers/" + c.Header }},
	}
}

// refusedAt is the place that an answer, or its one line, says is wrong.
func refusedAt(r reply) string {
	var e struct {
		Code   string
		Errors []httpapi.Pointer
	}
	if json.Unmarshal([]byte(r.body), &e) != nil || e.Code != "invalid" || len(e.Errors) != 1 {
		return fmt.Sprintf("%d %s", r.status, r.body)
	}
	return e.Errors[0].Pointer
}

// Each control of the table goes in through each way that it is for, is refused there
// with one code and at its name, and doesn't exist elsewhere.
func TestControlsThroughEachDoor(t *testing.T) {
	t.Parallel()
	for name, d := range ways() {
		for i, c := range httpapi.Controls {
			if c.In&d.in == 0 {
				continue
			}
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				good := goodOf(c)
				if r := d.send(b, c, []string{good}); r.status >= 300 {
					t.Fatalf("%s is refused: %d %s", good, r.status, r.body)
				}
				got := b.lastRequest()
				text, _ := requestControls.Text(&got, i)
				// its own name counts
				if file := name == "form" && c.Name == "filename"; text != good && !file {
					t.Errorf("%s became %q", good, text)
				}
				bad := badOf(c)
				if c.Format == "uuid" && name == "header" {
					bad = "soon"
				}
				if json := name == "body" || name == "line"; bad != "" || json {
					if at := refusedAt(d.send(b, c, []string{bad})); at != d.pointer(c) {
						t.Errorf("%q is refused at %s, want %s", bad, at, d.pointer(c))
					}
				}
				if name == "query" || name == "form" || name == "metadata" {
					if at := refusedAt(d.send(b, c, []string{good, good})); at != d.pointer(c) {
						t.Errorf("given twice: refused at %s, want %s", at, d.pointer(c))
					}
				}
			})
		}
	}
}

// What is no control of a body or a line is an unknown field there.
func TestControlsElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, d := range ways() {
		for _, c := range httpapi.Controls {
			if c.In&d.in != 0 || name != "body" && name != "line" {
				continue
			}
			if at := refusedAt(d.send(b, c, []string{goodOf(c)})); at != "/"+c.Name {
				t.Errorf("%s in a %s: refused at %s", c.Name, name, at)
			}
		}
	}
}

// Null is as if a control were not there.
func TestControlsNull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range httpapi.Controls {
		text := `{"type":"math.primes","payload":{"n":5},"` + c.Name + `":null}`
		if c.In&httpapi.InBody != 0 && b.do("POST", "/v1/jobs", text).status != 202 {
			t.Errorf("%s: null is refused in a body", c.Name)
		}
		r := b.do("POST", "/v1/jobs/batch", text)
		if names := c.Header != ""; c.In&httpapi.InLine != 0 && strings.Contains(r.body, "invalid") != names {
			t.Errorf("%s: null in a line, which is to be refused of what names the job only: %s", c.Name,
				r.body)
		}
	}
}

// The document describes each control wherever it may stand, in the table's words.
func TestControlsAreDescribed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	type param struct{ Name, In, Description string }
	var doc struct {
		Paths      map[string]map[string]struct{ Parameters []param }
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Description string }
			}
		}
	}
	if err := json.Unmarshal([]byte(b.do("GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range httpapi.Controls {
		for schema, in := range map[string]httpapi.Places{"SubmitBody": httpapi.InBody,
			"BatchLine": httpapi.InLine} {
			got, ok := doc.Components.Schemas[schema].Properties[c.Name]
			if ok != (c.In&in != 0) || ok && got.Description != c.Doc {
				t.Errorf("%s in %s: %v %q", c.Name, schema, ok, got.Description)
			}
		}
		for _, path := range []string{"/v1/jobs/{id}", "/v1/jobs/log.analyze"} {
			at := param{c.Name, "query", c.Doc}
			if c.In&httpapi.InQuery != 0 && !slices.Contains(doc.Paths[path]["post"].Parameters, at) {
				t.Errorf("%s: no parameter %s", path, c.Name)
			}
		}
		for _, path := range []string{"/v1/jobs", "/v1/jobs/{id}", "/v1/uploads"} {
			at := param{c.Header, "header", c.Doc}
			if c.In&httpapi.InHeader != 0 && !slices.Contains(doc.Paths[path]["post"].Parameters, at) {
				t.Errorf("%s: no header %s", path, c.Header)
			}
		}
		for _, p := range doc.Paths["/v1/uploads"]["post"].Parameters {
			if p.Name == "Upload-Metadata" && c.In&httpapi.InQuery != 0 &&
				!strings.Contains(p.Description, c.Name) {
				t.Errorf("Upload-Metadata: no %s", c.Name)
			}
		}
	}
}
