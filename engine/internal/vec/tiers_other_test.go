//go:build !amd64 || purego

package vec

func tiers() map[string]features { return map[string]features{"twin": {}} }
