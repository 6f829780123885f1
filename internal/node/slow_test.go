//go:build slow

package node

const slow = true
