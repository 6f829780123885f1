// Package collection routes points to shards, merges what the shards answer, and keeps strict mode.
package collection
