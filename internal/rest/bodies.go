package rest

import (
	"github.com/sextantdb/sextant/internal/node"
)

var (
	aliasesFields = allOf("actions")
	actionFields  = fieldSet{names: []string{"create_alias", "delete_alias", "rename_alias"}}
	createAlias   = allOf("collection_name", "alias_name")
	deleteAlias   = allOf("alias_name")
	renameAlias   = allOf("old_alias_name", "new_alias_name")
)

// aliasActions reads a list of actions, each an object with one key.
func (s *scanner) aliasActions() (actions []node.AliasAction) {
	for range aliasesFields.of(s) {
		for range s.elements {
			s.space()
			start, count := s.pos, 0
			for name := range actionFields.of(s) {
				count++
				actions = append(actions, s.aliasAction(name))
			}
			if count != 1 {
				s.failAt(start, "data did not match any variant of untagged enum AliasOperations")
			}
		}
	}
	return actions
}

func (s *scanner) aliasAction(name string) (a node.AliasAction) {
	switch name {
	case "create_alias":
		a.Kind = node.CreateAlias
		for name := range createAlias.of(s) {
			if name == "alias_name" {
				a.Alias = s.str()
			} else {
				a.Collection = s.str()
			}
		}
	case "delete_alias":
		a.Kind = node.DeleteAlias
		for range deleteAlias.of(s) {
			a.Alias = s.str()
		}
	case "rename_alias":
		a.Kind = node.RenameAlias
		for name := range renameAlias.of(s) {
			if name == "old_alias_name" {
				a.Alias = s.str()
			} else {
				a.NewAlias = s.str()
			}
		}
	}
	return a
}

// recovery is the decoded body of a snapshot recovery.
type recovery struct {
	location string
	options  node.RecoverOptions
}

var recoverFields = fieldSet{names: []string{"location", "priority", "checksum", "api_key"}, required: []string{"location"}}

func (s *scanner) recovery() (r recovery) {
	for name := range recoverFields.of(s) {
		switch name {
		case "location":
			r.location = s.str()
		case "priority":
			r.options.Priority = s.enum(priorities...)
		case "checksum":
			r.options.Checksum = s.str()
			if s.err == nil && !isSHA256(r.options.Checksum) {
				s.violated(name, "Validation error: invalid_sha256_hash [{}]")
			}
		case "api_key":
			r.options.APIKey = s.str()
		}
	}
	return r
}

var priorities = []string{"no_sync", "snapshot", "replica"}

// isSHA256 reports whether s is a hash in hex digits.
func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if c-'0' > 9 && c|0x20-'a' > 5 {
			return false
		}
	}
	return true
}
