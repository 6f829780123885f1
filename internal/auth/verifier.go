package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sextantdb/sextant"
)

// Options are the keys of a server; "" is no key.
type Options struct {
	APIKey, AltAPIKey, ReadOnlyAPIKey string
	JWT                               bool // accept tokens signed with APIKey or AltAPIKey
}

// Verifier knows the keys.
type Verifier struct {
	full, readOnly []sum
	secrets        [][]byte // for tokens
}

// sum is the hash of a key: hashes compare in constant time whatever the lengths are.
type sum [sha256.Size]byte

// New makes a verifier.
func New(o Options) *Verifier {
	v := &Verifier{}
	for _, key := range []string{o.APIKey, o.AltAPIKey} {
		if key == "" {
			continue
		}
		v.full = append(v.full, sha256.Sum256([]byte(key)))
		if o.JWT {
			v.secrets = append(v.secrets, []byte(key))
		}
	}
	if o.ReadOnlyAPIKey != "" {
		v.readOnly = append(v.readOnly, sha256.Sum256([]byte(o.ReadOnlyAPIKey)))
	}
	return v
}

// Enabled reports whether callers must show a key.
func (v *Verifier) Enabled() bool { return len(v.full)+len(v.readOnly) > 0 }

// Verify turns the headers "api-key" and "Authorization" of a request ("" when absent) into rights. Without any key
// configured everybody may do everything.
func (v *Verifier) Verify(apiKey, authorization string) (Access, error) {
	if !v.Enabled() {
		return All(), nil
	}
	key := apiKey
	if key == "" {
		var ok bool
		if key, ok = strings.CutPrefix(authorization, "Bearer "); !ok {
			return Access{}, sextant.Errorf(sextant.Unauthenticated, "Must provide an API key or an Authorization bearer token")
		}
	}
	hash := sum(sha256.Sum256([]byte(key)))
	full, readOnly := among(v.full, hash), among(v.readOnly, hash)
	switch {
	case full:
		return All(), nil
	case readOnly:
		return ReadOnly(), nil
	}
	return v.token(key)
}

// among looks at every key, so that the time does not tell which one was close.
func among(keys []sum, hash sum) bool {
	found := 0
	for _, k := range keys {
		found |= subtle.ConstantTimeCompare(k[:], hash[:])
	}
	return found == 1
}

const leeway = 30 * time.Second

func (v *Verifier) token(key string) (Access, error) {
	invalid := sextant.Errorf(sextant.Unauthenticated, "Invalid API key or JWT")
	if len(v.secrets) == 0 {
		return Access{}, invalid
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithLeeway(leeway))
	var err error
	for _, secret := range v.secrets {
		var c claims
		_, err = parser.ParseWithClaims(key, &c, func(*jwt.Token) (any, error) { return secret, nil })
		if err == nil {
			return c.access()
		}
		if !errors.Is(err, jwt.ErrTokenSignatureInvalid) {
			break
		}
	}
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Access{}, sextant.Errorf(sextant.Forbidden, "Invalid JWT: ExpiredSignature")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, jwt.ErrTokenMalformed):
		return Access{}, sextant.Errorf(sextant.Forbidden, "Invalid JWT: InvalidSignature")
	}
	var rule *sextant.Error
	if errors.As(err, &rule) {
		return Access{}, rule
	}
	return Access{}, invalid
}
