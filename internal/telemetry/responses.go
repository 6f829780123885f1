package telemetry

import (
	"strconv"
	"time"
)

// responses prints how long requests took, by route and status.
func (p *printer) responses(r *Recorder, each bool) {
	keys, values := r.sorted(each)
	if len(keys) == 0 {
		return
	}
	family := func(name, kind, help string, value func(*series) float64) {
		p.family(name, kind, help)
		for _, key := range keys {
			p.sample(name, value(values[key]), p.labels(key)...)
		}
	}
	family("rest_responses_total", "counter", "total number of responses",
		func(s *series) float64 { return float64(s.count.Load()) })
	family("rest_responses_avg_duration_seconds", "gauge", "average response duration",
		func(s *series) float64 { return seconds(s.total.Load() / max(1, s.count.Load())) })
	family("rest_responses_min_duration_seconds", "gauge", "minimum response duration",
		func(s *series) float64 { return seconds(s.least.Load()) })
	family("rest_responses_max_duration_seconds", "gauge", "maximum response duration",
		func(s *series) float64 { return seconds(s.most.Load()) })
	p.histogram(keys, values)
}

func (p *printer) labels(key seriesKey) []string {
	labels := []string{"method", key.method, "endpoint", key.route, "status", strconv.Itoa(key.status)}
	if key.collection != "" {
		labels = append(labels, "collection", p.name(key.collection))
	}
	return labels
}

func seconds(nanos int64) float64 { return time.Duration(nanos).Seconds() }

// histogram prints the durations of successful requests.
func (p *printer) histogram(keys []seriesKey, values map[seriesKey]*series) {
	const name = "rest_responses_duration_seconds"
	begun := false
	for _, key := range keys {
		if key.status != 200 {
			continue
		}
		if !begun {
			begun = true
			p.family(name, "histogram", "response duration histogram")
		}
		s, labels := values[key], p.labels(key)
		labels = labels[:len(labels):len(labels)]
		count, total := int64(0), s.count.Load()
		for i, bound := range buckets {
			count += s.within[i].Load()
			p.sample(name+"_bucket", float64(count), append(labels, "le", strconv.FormatFloat(bound, 'g', -1, 64))...)
		}
		p.sample(name+"_bucket", float64(max(total, count)), append(labels, "le", "+Inf")...)
		p.sample(name+"_sum", seconds(s.total.Load()), labels...)
		p.sample(name+"_count", float64(max(total, count)), labels...)
	}
}

// durations is a series in telemetry JSON.
type durations struct {
	Count int64   `json:"count"`
	Avg   float32 `json:"avg_duration_micros"`
	Min   float32 `json:"min_duration_micros"`
	Max   float32 `json:"max_duration_micros"`
	Total uint64  `json:"total_duration_micros"`
	Last  string  `json:"last_responded"`
}

func (s *series) durations() durations {
	const micro = int64(time.Microsecond)
	count, total := s.count.Load(), s.total.Load()
	return durations{
		Count: count,
		Avg:   float32(total/micro) / float32(max(1, count)),
		Min:   float32(s.least.Load() / micro),
		Max:   float32(s.most.Load() / micro),
		Total: uint64(total / micro),
		Last:  time.Unix(0, s.last.Load()).UTC().Format(time.RFC3339Nano),
	}
}

// byRoute maps route to status to durations.
type byRoute map[string]map[string]durations

func (m byRoute) add(key seriesKey, s *series) {
	route := key.method + " " + key.route
	if m[route] == nil {
		m[route] = map[string]durations{}
	}
	m[route][strconv.Itoa(key.status)] = s.durations()
}
