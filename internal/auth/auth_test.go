package auth

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sextantdb/sextant"
)

// The table of rights: operation by kind of access.
func TestRights(t *testing.T) {
	list := Access{collections: map[string]level{"r": read, "rw": readWrite, "prw": pointsReadWrite}}
	f := func(a Access, name string, want string) {
		t.Helper()
		var got strings.Builder
		for _, need := range []Need{Read, ReadExtra, WritePoints, WriteExtra, Manage} {
			if err := a.Collection(name, need); err == nil {
				got.WriteByte('+')
			} else if sextant.KindOf(err) == sextant.Forbidden {
				got.WriteByte('-')
			}
		}
		if got.String() != want {
			t.Errorf("%s: %s, want %s", name, got.String(), want)
		}
	}
	f(All(), "x", "+++++")
	f(ReadOnly(), "x", "++---")
	f(list, "r", "++---")
	f(list, "rw", "++++-")
	f(list, "prw", "+-+--")
	f(list, "other", "-----")
	f(Access{}, "x", "-----")
	if All().GlobalManage() != nil || ReadOnly().GlobalRead() != nil || ReadOnly().GlobalManage() == nil || list.GlobalRead() == nil {
		t.Error("global rights")
	}
	if !list.Sees("r") || list.Sees("other") || !ReadOnly().Sees("other") {
		t.Error("who sees what")
	}
}

func TestKeysAndTokens(t *testing.T) {
	v := New(Options{APIKey: "main", AltAPIKey: "alt", ReadOnlyAPIKey: "ro", JWT: true})
	sign := func(secret string, c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	f := func(apiKey, header string, kind sextant.Kind, text string) Access {
		t.Helper()
		a, err := v.Verify(apiKey, header)
		if text == "" {
			if err != nil {
				t.Error(err)
			}
			return a
		}
		if err == nil || sextant.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %v %q", err, kind, text)
		}
		return a
	}
	const missing, invalid = "Must provide an API key or an Authorization bearer token", "Invalid API key or JWT"
	f("", "", sextant.Unauthenticated, missing)
	f("", "bearer main", sextant.Unauthenticated, missing)
	f("nonsense", "", sextant.Unauthenticated, invalid)
	f("main", "", 0, "")
	if a := f("", "Bearer alt", 0, ""); a.GlobalManage() != nil {
		t.Error("alt key")
	}
	if a := f("ro", "", 0, ""); a.GlobalManage() == nil || a.GlobalRead() != nil {
		t.Error("read-only key")
	}
	soon := time.Now().Add(time.Hour).Unix()
	f(sign("alt", jwt.MapClaims{"exp": soon, "iat": "whatever"}), "", 0, "")
	f(sign("main", jwt.MapClaims{"exp": time.Now().Add(-20 * time.Second).Unix()}), "", 0, "")
	f(sign("main", jwt.MapClaims{"exp": time.Now().Add(-2 * time.Minute).Unix()}), "", sextant.Forbidden, "ExpiredSignature")
	f(sign("other", jwt.MapClaims{}), "", sextant.Forbidden, "InvalidSignature")
	f(sign("main", jwt.MapClaims{"exp": "soon"}), "", sextant.Unauthenticated, invalid)
	f(sign("main", jwt.MapClaims{"access": "w"}), "", sextant.Unauthenticated, invalid)
	f(sign("ro", jwt.MapClaims{}), "", sextant.Forbidden, "InvalidSignature")
	unsigned, _ := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if _, err := v.Verify(unsigned, ""); err == nil {
		t.Error("an unsigned token was accepted")
	}
	a := f(sign("main", jwt.MapClaims{"subject": "bob", "access": []any{map[string]any{"collection": "c", "access": "prw"}},
		"value_exists": map[string]any{"collection": "users", "matches": []any{map[string]any{"key": "token_id", "value": 7}}}}), "", 0, "")
	if a.Subject != "bob" || a.Collection("c", WritePoints) != nil || a.ValueExists.Matches[0].Value != int64(7) {
		t.Errorf("%+v", a)
	}
	twice := []any{map[string]any{"collection": "c", "access": "r"}, map[string]any{"collection": "c", "access": "rw"}}
	f(sign("main", jwt.MapClaims{"access": twice}), "", sextant.Unauthenticated, "more than once")
	payload := []any{map[string]any{"collection": "c", "access": "r", "payload": map[string]any{"k": 1}}}
	f(sign("main", jwt.MapClaims{"access": payload}), "", sextant.Unauthenticated, "payload")
	if a, err := New(Options{}).Verify("", ""); err != nil || a.GlobalManage() != nil {
		t.Error("without keys everybody may do everything")
	}
}
