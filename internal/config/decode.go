package config

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decoder moves a tree of loose values into a struct. What does not fit is left as it was and told.
type decoder struct{ problems []string }

func (d *decoder) into(target any, tree map[string]any) {
	d.object(reflect.ValueOf(target).Elem(), tree, "")
}

func (d *decoder) object(v reflect.Value, tree map[string]any, at string) {
	t := v.Type()
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		for _, key := range spellings(tag) {
			if value, ok := tree[key]; ok {
				d.value(v.Field(i), value, at+key)
			}
		}
	}
}

// sized are the keys that are read with and without the unit _kb, in files and variables.
var sized = []string{"max_segment_size", "memmap_threshold", "indexing_threshold", "full_scan_threshold"}

// spellings returns the ways to write a key, the one that wins last.
func spellings(tag string) []string {
	base := strings.TrimSuffix(tag, "_kb")
	if slices.Contains(sized, base) {
		return []string{base, base + "_kb"}
	}
	return []string{tag}
}

func (d *decoder) value(v reflect.Value, value any, at string) {
	if err := d.set(v, value, at); err != nil {
		d.problems = append(d.problems, fmt.Sprintf("%s: %s; the setting stays at its default", at, err))
	}
}

func (d *decoder) set(v reflect.Value, value any, at string) error {
	if s, ok := value.(text); ok && (s == "" || strings.EqualFold(string(s), "null")) && v.Kind() == reflect.Pointer && v.Type().Elem().Kind() != reflect.String {
		value = nil
	}
	if value == nil {
		if k := v.Kind(); k == reflect.Pointer || k == reflect.Map || k == reflect.Interface {
			v.SetZero()
		}
		return nil // null for a plain key: its default
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		if v.Type().Elem().Kind() == reflect.Struct && !d.ours(v.Type().Elem()) {
			if err := viaJSON(fresh.Interface(), value); err != nil {
				return err
			}
		} else if err := d.set(fresh.Elem(), value, at); err != nil {
			return err
		}
		v.Set(fresh)
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		tree, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%v is not a group of settings", value)
		}
		d.object(v, tree, at+".")
		return nil
	case reflect.Interface:
		if s, ok := value.(text); ok {
			value = string(s)
		}
		v.Set(reflect.ValueOf(value))
		return nil
	}
	return setScalar(v, value)
}

// ours reports whether a struct has settings as members, rather than being read by its own JSON method.
func (d *decoder) ours(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[Config]().PkgPath()
}

// viaJSON reads a value by the JSON form of its type; strings from the environment become numbers and words as needed.
func viaJSON(target, value any) error {
	raw, err := json.Marshal(untext(value))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, target); err != nil {
		return fmt.Errorf("%s cannot be used: %w", raw, err)
	}
	return nil
}

func untext(value any) any {
	switch value := value.(type) {
	case text:
		var parsed any
		if json.Unmarshal([]byte(value), &parsed) == nil {
			return parsed
		}
		return string(value)
	case map[string]any:
		out := map[string]any{}
		for key, v := range value {
			out[key] = untext(v)
		}
		return out
	}
	return value
}

func setScalar(v reflect.Value, value any) error {
	s := strings.TrimSpace(fmt.Sprint(value))
	bad := func(kind string) error { return fmt.Errorf("%q is not %s", s, kind) }
	switch v.Kind() {
	case reflect.String:
		switch value.(type) {
		case map[string]any, []any:
			return bad("a text")
		}
		v.SetString(fmt.Sprint(value))
	case reflect.Bool:
		switch strings.ToLower(s) {
		case "true", "1", "on", "yes":
			v.SetBool(true)
		case "false", "0", "off", "no":
			v.SetBool(false)
		default:
			return bad("true or false")
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			return bad("a number from 0 to " + strconv.FormatUint(math.MaxUint64>>(64-v.Type().Bits()), 10))
		}
		v.SetUint(n)
	case reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return bad("a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return bad("a number")
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("a %s cannot be set", v.Type())
	}
	return nil
}
