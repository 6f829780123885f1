package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/goccy/go-yaml"
)

// Sources are where settings come from, later ones winning: Default, files below config/ and /etc, Path, Env, Flags.
type Sources struct {
	ReadFile func(name string) ([]byte, error) // of the file system; fs.ErrNotExist for what is missing
	Env      []string                          // NAME=value
	Path     string                            // of --config-path; "": none
	Flags    map[string]any                    // values by dotted key
}

// Warning is a setting that could not be used, or a file that could not be read.
type Warning struct {
	Source, Text string
	Severe       bool // the user named the thing on purpose
}

// Load merges all sources into settings. It always succeeds; what was wrong is in the warnings.
func Load(s Sources) (Config, []Warning) {
	var warnings []Warning
	tree := map[string]any{}
	read := func(base string) {
		found, err := readFirst(s.ReadFile, base)
		if err != nil {
			warnings = append(warnings, Warning{Source: base, Text: err.Error(), Severe: true})
		}
		merge(tree, found)
	}
	mode := "development"
	for _, entry := range s.Env {
		if value, ok := strings.CutPrefix(entry, "RUN_MODE="); ok && value != "" {
			mode = value
		}
	}
	for _, base := range []string{"config/config", "config/" + mode, "config/local", "/etc/qdrant/config", "/etc/sextant/config"} {
		read(base)
	}
	if s.Path != "" {
		switch found, err := readExact(s.ReadFile, s.Path); {
		case err == nil:
			merge(tree, found)
		case path.Ext(s.Path) == "" && errors.Is(err, fs.ErrNotExist):
			if found, err := readFirst(s.ReadFile, s.Path); err == nil && found != nil {
				merge(tree, found)
				break
			}
			fallthrough
		default:
			warnings = append(warnings, Warning{Source: s.Path, Text: err.Error(), Severe: true})
		}
	}
	for _, prefix := range []string{"QDRANT__", "SEXTANT__"} {
		merge(tree, environment(s.Env, prefix))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Flags)) {
		put(tree, strings.Split(key, "."), s.Flags[key])
	}
	c := Default()
	d := decoder{}
	d.into(&c, tree)
	for _, text := range d.problems {
		warnings = append(warnings, Warning{Source: "settings", Text: text})
	}
	return c, append(warnings, c.check()...)
}

// extensions in the order in which they are looked for.
var extensions = []string{".yaml", ".yml", ".json", ".toml"}

// readFirst reads the first file that exists of base plus an extension; nil without error when there is none.
func readFirst(readFile func(string) ([]byte, error), base string) (map[string]any, error) {
	for _, ext := range extensions {
		tree, err := readExact(readFile, base+ext)
		if !errors.Is(err, fs.ErrNotExist) {
			return tree, err
		}
	}
	return nil, nil
}

func readExact(readFile func(string) ([]byte, error), name string) (map[string]any, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if path.Ext(name) == ".toml" {
		err = toml.Unmarshal(data, &tree)
	} else {
		err = yaml.Unmarshal(data, &tree) // JSON is YAML
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %s", name, yaml.FormatError(err, false, false))
	}
	return lower(tree).(map[string]any), nil
}

// lower spells all keys in lower case, since those of the environment have no case.
func lower(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[strings.ToLower(key)] = lower(value)
		}
		return out
	case []any:
		for i := range v {
			v[i] = lower(v[i])
		}
	}
	return v
}

// environment makes a tree of the variables with the prefix: PREFIX__A__B=x is a.b.
func environment(env []string, prefix string) map[string]any {
	tree := map[string]any{}
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			put(tree, strings.Split(strings.ToLower(name[len(prefix):]), "__"), text(value))
		}
	}
	return tree
}

// text is a value that came as a string and is read as whatever its key wants.
type text string

func put(tree map[string]any, keys []string, value any) {
	for _, key := range keys[:len(keys)-1] {
		next, ok := tree[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			tree[key] = next
		}
		tree = next
	}
	tree[keys[len(keys)-1]] = value
}

// merge lays over onto tree, key by key. A null is a value: it takes back what an earlier file said.
func merge(tree, over map[string]any) {
	for key, value := range over {
		below, isMap := value.(map[string]any)
		if at, ok := tree[key].(map[string]any); ok && isMap {
			merge(at, below)
			continue
		}
		if isMap { // never share a map between sources
			value = map[string]any{}
			merge(value.(map[string]any), below)
		}
		tree[key] = value
	}
}
