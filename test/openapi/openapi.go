// Package openapi checks bodies of requests and answers against the published schema of the API, for tests.
//
// Shapes: the schema file is that of the public API, unchanged. A value is what encoding/json decodes with UseNumber.
// Strictness: an answer may not have a key that the schema does not know, since some clients refuse those; a request may.
// Errors: the first difference, with its place in the body.
// Concurrency: a Spec is immutable.
// Sources: OpenAPI 3.0.1, as far as the file uses it.
package openapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed openapi-1.19.json
var file []byte

// Spec is the schema of the whole API.
type Spec struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Ref        string             `json:"$ref"`
	AllOf      []*schema          `json:"allOf"`
	AnyOf      []*schema          `json:"anyOf"`
	OneOf      []*schema          `json:"oneOf"`
	Type       string             `json:"type"`
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	Nullable   bool               `json:"nullable"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	MinLength  *int               `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
}

type operation struct {
	Request   *content           `json:"requestBody"`
	Responses map[string]content `json:"responses"`
}

type content struct {
	Content map[string]struct {
		Schema *schema `json:"schema"`
	} `json:"content"`
}

// Load reads the schema.
func Load() (*Spec, error) {
	s := &Spec{}
	return s, json.Unmarshal(file, s)
}

// Operations lists all operations as "METHOD /template", sorted.
func (s *Spec) Operations() (list []string) {
	for path, methods := range s.Paths {
		for method := range methods {
			if method != "parameters" {
				list = append(list, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(list)
	return list
}

func (s *Spec) operation(method, template string) (*operation, error) {
	raw := s.Paths[template][strings.ToLower(method)]
	if raw == nil {
		return nil, fmt.Errorf("%s %s is not in the schema", method, template)
	}
	o := &operation{}
	return o, json.Unmarshal(raw, o)
}

// Request checks the JSON body of a request.
func (s *Spec) Request(method, template string, body []byte) error {
	o, err := s.operation(method, template)
	if err != nil {
		return err
	}
	if o.Request == nil {
		return fmt.Errorf("%s %s has no body", method, template)
	}
	return s.check(o.Request.Content["application/json"].Schema, body, false)
}

// Response checks the JSON body of an answer.
func (s *Spec) Response(method, template string, status int, body []byte) error {
	o, err := s.operation(method, template)
	if err != nil {
		return err
	}
	for _, key := range []string{fmt.Sprint(status), fmt.Sprintf("%dXX", status/100), "default"} {
		if c, ok := o.Responses[key]; ok {
			return s.check(c.Content["application/json"].Schema, body, true)
		}
	}
	return fmt.Errorf("%s %s may not answer %d", method, template, status)
}

// Schema checks a body against a named schema.
func (s *Spec) Schema(name string, body []byte) error {
	return s.check(s.Components.Schemas[name], body, true)
}

func (s *Spec) check(sc *schema, body []byte, strict bool) error {
	if sc == nil {
		return fmt.Errorf("there is no schema")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("%w in %.200s", err, body)
	}
	c := checker{s, strict}
	if err := c.value(sc, v, "$"); err != nil {
		return fmt.Errorf("%w in %.400s", err, body)
	}
	return nil
}

type checker struct {
	*Spec
	strict bool
}

// value checks v, found at the place at.
func (c checker) value(sc *schema, v any, at string) error {
	if sc.Ref != "" {
		return c.value(c.Components.Schemas[strings.TrimPrefix(sc.Ref, "#/components/schemas/")], v, at)
	}
	if v == nil && (sc.Nullable || sc.isEmpty()) {
		return nil
	}
	for _, part := range sc.AllOf {
		if err := c.value(part, v, at); err != nil {
			return err
		}
	}
	if choices := append(slices.Clone(sc.AnyOf), sc.OneOf...); len(choices) > 0 {
		return c.choice(choices, v, at)
	}
	if sc.Enum != nil && !slices.Contains(sc.Enum, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, sc.Enum)
	}
	if err := c.typed(sc, v, at); err != nil {
		return err
	}
	switch v := v.(type) {
	case map[string]any:
		return c.object(sc, v, at)
	case []any:
		for i, item := range v {
			if sc.Items == nil {
				break
			}
			if err := c.value(sc.Items, item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case json.Number:
		f, _ := v.Float64()
		if sc.Minimum != nil && f < *sc.Minimum || sc.Maximum != nil && f > *sc.Maximum {
			return fmt.Errorf("%s: %v is out of range", at, v)
		}
	case string:
		return sc.text(v, at)
	}
	return nil
}

// isEmpty reports whether the schema says nothing but, maybe, that null is fine.
func (sc *schema) isEmpty() bool {
	return sc.Type == "" && sc.Ref == "" && sc.Enum == nil && sc.Properties == nil &&
		sc.AllOf == nil && sc.AnyOf == nil && sc.OneOf == nil
}

func (c checker) choice(choices []*schema, v any, at string) error {
	var reasons []string
	for _, one := range choices {
		if one.Nullable && one.isEmpty() { // "or null", which it was not
			continue
		}
		err := c.value(one, v, at)
		if err == nil {
			return nil
		}
		reasons = append(reasons, err.Error())
	}
	if v == nil && slices.ContainsFunc(choices, func(o *schema) bool { return o.Nullable }) {
		return nil
	}
	return fmt.Errorf("%s: no variant fits: {%s}", at, strings.Join(reasons, " | "))
}

func (c checker) typed(sc *schema, v any, at string) error {
	ok := true
	switch sc.Type {
	case "object":
		_, ok = v.(map[string]any)
	case "array":
		_, ok = v.([]any)
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "number":
		_, ok = v.(json.Number)
	case "integer":
		n, isNumber := v.(json.Number)
		ok = isNumber && !strings.ContainsAny(n.String(), ".eE")
	}
	if !ok {
		return fmt.Errorf("%s: %v is no %s", at, v, sc.Type)
	}
	return nil
}

func (c checker) object(sc *schema, v map[string]any, at string) error {
	for _, key := range sc.Required {
		if _, ok := v[key]; !ok {
			return fmt.Errorf("%s: key %q is missing", at, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		place := at + "." + key
		property, known := sc.Properties[key]
		additional := &schema{}
		switch {
		case known:
			if err := c.value(property, v[key], place); err != nil {
				return err
			}
		case string(sc.Additional) == "false" || c.strict && sc.Properties != nil && sc.Additional == nil:
			return fmt.Errorf("%s: the schema does not know this key", place)
		case sc.Additional != nil && json.Unmarshal(sc.Additional, additional) == nil:
			if err := c.value(additional, v[key], place); err != nil {
				return err
			}
		}
	}
	return nil
}

var formats = map[string]*regexp.Regexp{
	"uuid":              regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`),
	"date-time":         regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`),
	"partial-date-time": regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`),
}

func (sc *schema) text(v, at string) error {
	n := len([]rune(v))
	if sc.MinLength != nil && n < *sc.MinLength || sc.MaxLength != nil && n > *sc.MaxLength {
		return fmt.Errorf("%s: %q has a wrong length", at, v)
	}
	if f := formats[sc.Format]; f != nil && !f.MatchString(v) {
		return fmt.Errorf("%s: %q is no %s", at, v, sc.Format)
	}
	return nil
}
