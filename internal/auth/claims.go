package auth

import (
	"encoding/json"
	"math"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sextantdb/sextant"
)

// claims is what a token may say. Unknown claims do not matter.
type claims struct {
	Exp         *jwt.NumericDate `json:"exp"`
	Access      json.RawMessage  `json:"access"`
	ValueExists *struct {
		Collection string `json:"collection"`
		Matches    []struct {
			Key   sextant.Path    `json:"key"`
			Value json.RawMessage `json:"value"`
		} `json:"matches"`
	} `json:"value_exists"`
	Subject string `json:"subject"`
}

// jwt.Claims; only exp is looked at.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return c.Exp, nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (c *claims) GetIssuer() (string, error)                   { return "", nil }
func (c *claims) GetSubject() (string, error)                  { return "", nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

func (c *claims) access() (Access, error) {
	a := Access{Subject: c.Subject}
	if err := a.read(c.Access); err != nil {
		return Access{}, err
	}
	if c.ValueExists == nil {
		return a, nil
	}
	a.ValueExists = &ValueExists{Collection: c.ValueExists.Collection}
	for _, m := range c.ValueExists.Matches {
		value, ok := scalar(m.Value)
		if !ok {
			return Access{}, sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
		}
		a.ValueExists.Matches = append(a.ValueExists.Matches, ValueMatch{Key: m.Key, Value: value})
	}
	return a, nil
}

// read takes the claim "access": absent, a word, or a list of collections.
func (a *Access) read(raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		a.global = manage
		return nil
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch word {
		case "r":
			a.global = read
			return nil
		case "m":
			a.global = manage
			return nil
		}
		return sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
	}
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
	}
	a.collections = map[string]level{}
	for _, entry := range list {
		var name string
		if json.Unmarshal(entry["collection"], &name) != nil || json.Unmarshal(entry["access"], &word) != nil {
			return sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
		}
		if restriction, ok := entry["payload"]; ok && string(restriction) != "null" {
			return sextant.Errorf(sextant.Unauthenticated, "Invalid JWT: payload restrictions of collection %q are not supported", name)
		}
		l, ok := map[string]level{"r": read, "rw": readWrite, "prw": pointsReadWrite}[word]
		if !ok {
			return sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
		}
		if _, twice := a.collections[name]; twice {
			return sextant.Errorf(sextant.Unauthenticated, "Invalid JWT: collection %q is listed more than once in access", name)
		}
		a.collections[name] = l
	}
	return nil
}

func scalar(raw json.RawMessage) (any, bool) {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	switch v := v.(type) {
	case string, bool:
		return v, true
	case float64:
		var n int64
		if json.Unmarshal(raw, &n) == nil && math.Trunc(v) == v {
			return n, true
		}
	}
	return nil, false
}
