//go:build !slow

package node

const slow = false
