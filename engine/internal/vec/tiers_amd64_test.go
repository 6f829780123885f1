//go:build !purego

package vec

// tiers lists every set of kernels that this machine can run.
func tiers() map[string]features {
	all := map[string]features{"twin": {}}
	if host.avx2 {
		all["avx2"] = features{avx2: true}
	}
	if host.avx512 {
		all["avx512"] = features{avx2: true, avx512: true}
	}
	if host.vnni || host.popcnt {
		all["host"] = host
	}
	return all
}
