package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

func token(secret, claims string) string {
	enc := base64.RawURLEncoding
	body := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return body + "." + enc.EncodeToString(mac.Sum(nil))
}

// Tokens give rights to collections by name (5.2).
func TestTokens(t *testing.T) {
	c := of(t, process.Start(t, process.Options{Env: []string{"QDRANT__SERVICE__API_KEY=secret", "QDRANT__SERVICE__ALT_API_KEY=other", "QDRANT__SERVICE__JWT_RBAC=true"}}))
	do := func(claims, want, method, path, body string) {
		t.Helper()
		key := claims
		if strings.HasPrefix(claims, "{") {
			key = token("secret", claims)
		}
		for _, header := range [][]string{{"api-key", key}, {"Authorization", "Bearer " + key}} {
			resp, b := c.send(method, path, strings.NewReader(body), header...)
			if got := strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, digest(resp, b))); !matches(want, got) {
				t.Errorf("%s %s as %s\n got %.300s\nwant %s", method, path, claims, got, want)
			}
		}
	}
	const create = `{"vectors":{"size":2,"distance":"Dot"}}`
	resp, _ := c.send("PUT", "/collections/a", strings.NewReader(create), "api-key", "secret")
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	c.send("PUT", "/collections/b", strings.NewReader(create), "api-key", "secret")
	c.send("PUT", "/collections/a/points?wait=true", strings.NewReader(`{"points":[{"id":1,"vector":[1,2],"payload":{"user":"me","on":true}}]}`), "api-key", "secret")
	c.send("POST", "/collections/aliases", strings.NewReader(`{"actions":[{"create_alias":{"collection_name":"a","alias_name":"z"}}]}`), "api-key", "secret")

	const (
		read   = `{"access":[{"collection":"a","access":"r"}]}`
		write  = `{"access":[{"collection":"a","access":"rw"}],"iat":1,"aud":"x"}`
		points = `{"access":[{"collection":"a","access":"prw"}]}`
		upsert = `{"points":[{"id":2,"vector":[1,2]}]}`
		index  = `{"field_name":"k","field_schema":"keyword"}`
	)
	do(`{}`, "200 …", "PATCH", "/collections/a", "{}")
	do(`{"access":"m"}`, "200 …", "PATCH", "/collections/a", "{}")
	do(`{"access":"r"}`, "403 Forbidden: Global manage access is required", "PATCH", "/collections/a", "{}")
	do(`{"access":"r"}`, `200 {"collections":[{"name":"a"},{"name":"b"}]}`, "GET", "/collections", "")
	do(`{"access":"x"}`, "401 …", "GET", "/collections", "")
	do(`{"access":[{"collection":"a","access":"r"},{"collection":"a","access":"rw"}]}`, "401 …", "GET", "/collections", "")
	do(`{"access":[{"collection":"a","access":"r","payload":{"x":1}}]}`, "401 …", "GET", "/collections", "")
	do(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()-10), "200 …", "GET", "/collections", "")
	do(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()-60), `403 "…ExpiredSignature…"`, "GET", "/collections", "")
	do(token("wrong", `{}`), `403 "…InvalidSignature…"`, "GET", "/collections", "")
	do(token("other", `{}`), "200 …", "GET", "/collections", "")
	do("a.b.c", `401 "Invalid API key or JWT"`, "GET", "/collections", "")

	do(read, `200 {"collections":[{"name":"a"}]}`, "GET", "/collections", "")
	do(read, `200 {"exists":true}`, "GET", "/collections/a/exists", "")
	do(read, "403 Forbidden: Access to collection b is required", "GET", "/collections/b/exists", "")
	do(read, "403 Forbidden: Access to collection none is required", "GET", "/collections/none", "")
	do(read, "403 Forbidden: Access to collection z is required", "GET", "/collections/z", "")
	do(read, `200 {"count":1}`, "POST", "/collections/a/points/count", "{}")
	do(read, "200 …", "GET", "/collections/a/cluster", "")
	do(points, "403 Forbidden: Only points access is allowed for collection a", "GET", "/collections/a/cluster", "")
	do(read, "200 []", "GET", "/collections/a/snapshots", "")
	do(points, "403 Forbidden: Only points access is allowed for collection a", "GET", "/collections/a/snapshots", "")
	do(read, "403 Forbidden: Write access to collection a is required", "PUT", "/collections/a/points?wait=true", upsert)
	do(points, "200 …", "PUT", "/collections/a/points?wait=true", upsert)
	do(write, "200 …", "PUT", "/collections/a/points?wait=true", upsert)
	do(points, "403 Forbidden: Only points access is allowed for collection a", "PUT", "/collections/a/index?wait=true", index)
	do(write, "200 …", "PUT", "/collections/a/index?wait=true", index)
	do(write, "200 …", "PUT", "/collections/a/vectors/n?wait=true", `{"dense":{"size":2,"distance":"Dot"}}`)
	do(read, "403 Forbidden: Write access to collection a is required", "POST", "/collections/a/snapshots", "")
	do(write, "403 Forbidden: Manage access for this operation is required", "DELETE", "/collections/a", "")
	do(write, "403 Forbidden: Manage access for this operation is required", "PUT", "/collections/a/snapshots/recover", `{"location":"http://x/y"}`)
	do(write, "403 Forbidden: Manage access for this operation is required", "POST", "/collections/a/cluster", `{"drop_replica":{"shard_id":0,"peer_id":1}}`)
	do(write, `403 "Forbidden: Global access is required"`, "GET", "/metrics", "")
	do(write, "403 Forbidden: Global access is required", "GET", "/cluster", "")
	do(read, "200 …", "GET", "/telemetry?details_level=10", "")
	do(read, `200 {"aliases":[{"alias_name":"z","collection_name":"a"}]}`, "GET", "/aliases", "")
	do(`{"access":[{"collection":"b","access":"r"}]}`, `200 {"aliases":[]}`, "GET", "/aliases", "")
	do(`{"access":[{"collection":"z","access":"r"}]}`, `200 {"count":2}`, "POST", "/collections/z/points/count", "{}")

	exists := func(collection, matches string) string {
		return `{"value_exists":{"collection":"` + collection + `","matches":` + matches + `}}`
	}
	do(exists("a", `[{"key":"user","value":"me"},{"key":"on","value":true}]`), "200 …", "GET", "/collections", "")
	do(exists("a", `[{"key":"user","value":"me"},{"key":"on","value":false}]`), `401 "Invalid JWT, stateful validation failed"`, "GET", "/collections", "")
	do(exists("none", `[{"key":"user","value":"me"}]`), "403 …", "GET", "/collections", "")
}
