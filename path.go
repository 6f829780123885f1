package sextant

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Path is a parsed JSON path: a key followed by keys, array indexes and wildcards. The zero value is no path.
type Path struct {
	Steps []PathStep
}

// PathStep is one step of a Path.
type PathStep struct {
	Kind  StepKind
	Key   string // of a KeyStep
	Index int    // of an IndexStep, from 0
}

// StepKind tells the steps of a path apart.
type StepKind uint8

const (
	KeyStep   StepKind = iota // .key, on objects only
	IndexStep                 // [n], on arrays only
	AllStep                   // [], every element of an array
)

// ParsePath reads a path: key := raw | "quoted", then any of .key, [n], []. A raw key is one or more Unicode letters,
// digits, '_' or '-'; a quoted key may contain anything but '"' and '\'.
func ParsePath(s string) (Path, error) {
	bad := func() (Path, error) { return Path{}, Errorf(Malformed, "Invalid json path: '%s'", s) }
	var steps []PathStep
	rest := s
	for first := true; first || rest != ""; first = false {
		if !first && rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return bad()
			}
			digits := rest[1:end]
			rest = rest[end+1:]
			if digits == "" {
				steps = append(steps, PathStep{Kind: AllStep})
				continue
			}
			n, err := strconv.ParseUint(digits, 10, 31)
			if err != nil || digits[0] == '+' {
				return bad()
			}
			steps = append(steps, PathStep{Kind: IndexStep, Index: int(n)})
			continue
		}
		if !first {
			if rest[0] != '.' {
				return bad()
			}
			rest = rest[1:]
		}
		key, after, ok := parseKey(rest)
		if !ok {
			return bad()
		}
		steps = append(steps, PathStep{Kind: KeyStep, Key: key})
		rest = after
	}
	return Path{steps}, nil
}

// MustPath is ParsePath for paths known to be good; it panics otherwise.
func MustPath(s string) Path {
	p, err := ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p
}

func parseKey(s string) (key, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s[1:], "\"\\")
		if end < 0 || s[1+end] == '\\' {
			return "", "", false
		}
		return s[1 : 1+end], s[end+2:], true
	}
	i := 0
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isRawKeyRune(r) {
			break
		}
		i += size
	}
	return s[:i], s[i:], i > 0
}

func isRawKeyRune(r rune) bool {
	return r == '_' || r == '-' || (r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r)))
}

// String prints the path so that ParsePath reads it back; equal paths print equally.
func (p Path) String() string {
	var b strings.Builder
	for i, step := range p.Steps {
		switch step.Kind {
		case KeyStep:
			if i > 0 {
				b.WriteByte('.')
			}
			if raw := step.Key != "" && strings.IndexFunc(step.Key, func(r rune) bool { return !isRawKeyRune(r) }) < 0; raw {
				b.WriteString(step.Key)
			} else {
				b.WriteString(`"` + step.Key + `"`)
			}
		case IndexStep:
			b.WriteString("[" + strconv.Itoa(step.Index) + "]")
		case AllStep:
			b.WriteString("[]")
		}
	}
	return b.String()
}

// IsZero reports whether p is no path.
func (p Path) IsZero() bool { return len(p.Steps) == 0 }

// MarshalText and UnmarshalText let a path stand for itself in JSON.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Path) UnmarshalText(b []byte) (err error) { *p, err = ParsePath(string(b)); return err }
