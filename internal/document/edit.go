package document

import (
	"bytes"

	"github.com/sextantdb/sextant"
)

// Merge returns old with the members of patch set in the object at key, or at the top level if key is zero. A null removes
// its key; other values replace the old ones whole. On the way to key missing objects are made and other values are
// replaced by objects; an array step applies to the elements that exist. The result shares no memory with the arguments.
func Merge(old, patch sextant.Payload, key sextant.Path) sextant.Payload {
	m := merger{patch: Parse(patch)}
	m.patch.Members(func(k, v Value) bool {
		m.keys = append(m.keys, k.raw)
		m.values = append(m.values, v.raw)
		return true
	})
	if len(m.keys) > 16 {
		m.index = make(map[string]int, len(m.keys))
		for i, k := range m.keys {
			m.index[string(k)] = i
		}
	}
	m.used = make([]bool, len(m.keys))
	return m.at(make([]byte, 0, len(old)+len(patch)+16), Parse(old), key.Steps)
}

type merger struct {
	patch        Value
	keys, values [][]byte
	index        map[string]int // key → place, for long patches
	used         []bool         // keys that the object at hand had
}

// at appends v with the patch applied below steps. The zero Value stands for one to be made.
func (m *merger) at(dst []byte, v Value, steps []sextant.PathStep) []byte {
	if len(steps) == 0 {
		return m.object(dst, v)
	}
	step, rest := steps[0], steps[1:]
	if step.Kind != sextant.KeyStep {
		return m.elements(dst, v, step, rest)
	}
	if v.Kind() != Object && !makeable(rest) {
		return append(dst, v.raw...)
	}
	name := AppendString(nil, step.Key)
	dst = append(dst, '{')
	found, empty := false, true
	comma := func() {
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
	}
	if v.Kind() == Object {
		v.Members(func(k, old Value) bool {
			comma()
			dst = append(append(dst, k.raw...), ':')
			if bytes.Equal(k.raw, name) {
				found = true
				dst = m.at(dst, old, rest)
			} else {
				dst = append(dst, old.raw...)
			}
			return true
		})
	}
	if !found && makeable(rest) {
		comma()
		dst = append(append(dst, name...), ':')
		dst = m.at(dst, Value{}, rest)
	}
	return append(dst, '}')
}

// makeable reports whether a missing value with these steps below it can be made: elements of arrays cannot.
func makeable(steps []sextant.PathStep) bool {
	for _, s := range steps {
		if s.Kind != sextant.KeyStep {
			return false
		}
	}
	return true
}

func (m *merger) elements(dst []byte, v Value, step sextant.PathStep, rest []sextant.PathStep) []byte {
	if v.Kind() != Array {
		return append(dst, v.raw...)
	}
	return appendElements(dst, v, func(dst []byte, i int, e Value) []byte {
		if step.Kind == sextant.AllStep || step.Index == i {
			return m.at(dst, e, rest)
		}
		return append(dst, e.raw...)
	})
}

// object appends v (an empty object if it is none) with the patch applied to its members.
func (m *merger) object(dst []byte, v Value) []byte {
	clear(m.used)
	dst = append(dst, '{')
	empty := true
	member := func(key, value []byte) {
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
		dst = append(append(dst, key...), ':')
		dst = append(dst, value...)
	}
	if v.Kind() == Object {
		v.Members(func(k, old Value) bool {
			i := m.place(k.raw)
			switch {
			case i < 0:
				member(k.raw, old.raw)
			case Value{m.values[i]}.Kind() != Null:
				member(k.raw, m.values[i])
			}
			if i >= 0 {
				m.used[i] = true
			}
			return true
		})
	}
	for i, used := range m.used {
		if !used && (Value{m.values[i]}).Kind() != Null {
			member(m.keys[i], m.values[i])
		}
	}
	return append(dst, '}')
}

func (m *merger) place(key []byte) int {
	if m.index != nil {
		if i, ok := m.index[string(key)]; ok {
			return i
		}
		return -1
	}
	for i, k := range m.keys {
		if bytes.Equal(k, key) {
			return i
		}
	}
	return -1
}

// Delete returns old without the values at the paths. A path that ends in [n] removes nothing, one that ends in [] empties
// the array. The result shares no memory with old.
func Delete(old sextant.Payload, keys []sextant.Path) sextant.Payload {
	doc := bytes.Clone(Parse(old).raw)
	var spare []byte
	for _, key := range keys {
		if len(key.Steps) == 0 {
			continue
		}
		next := deleteAt(spare[:0], Value{doc}, key.Steps)
		doc, spare = next, doc
	}
	return doc
}

func deleteAt(dst []byte, v Value, steps []sextant.PathStep) []byte {
	step, rest := steps[0], steps[1:]
	switch kind := v.Kind(); {
	case step.Kind == sextant.KeyStep && kind == Object:
		dst = append(dst, '{')
		empty := true
		v.Members(func(k, value Value) bool {
			hit := sameKey(k.raw[1:len(k.raw)-1], step.Key)
			if hit && len(rest) == 0 {
				return true
			}
			if !empty {
				dst = append(dst, ',')
			}
			empty = false
			dst = append(append(dst, k.raw...), ':')
			if hit {
				dst = deleteAt(dst, value, rest)
			} else {
				dst = append(dst, value.raw...)
			}
			return true
		})
		return append(dst, '}')
	case step.Kind == sextant.AllStep && kind == Array && len(rest) == 0:
		return append(dst, '[', ']')
	case step.Kind != sextant.KeyStep && kind == Array && len(rest) > 0:
		return appendElements(dst, v, func(dst []byte, i int, e Value) []byte {
			if step.Kind == sextant.AllStep || step.Index == i {
				return deleteAt(dst, e, rest)
			}
			return append(dst, e.raw...)
		})
	}
	return append(dst, v.raw...)
}

// appendElements appends an array made of what each appends for the elements of v.
func appendElements(dst []byte, v Value, each func(dst []byte, i int, e Value) []byte) []byte {
	dst = append(dst, '[')
	i := 0
	v.Each(func(e Value) bool {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = each(dst, i, e)
		i++
		return true
	})
	return append(dst, ']')
}
