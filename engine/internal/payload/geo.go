package payload

import (
	"math"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

const earthRadius = 6371008.8 // metres

// area is where a geo test is true. It lies within the latitudes [south,north] and one or two stretches of longitudes,
// which an index uses to find candidates; contains decides.
type area struct {
	kind         areaKind
	center       sextant.GeoPoint
	radius       float64
	box          sextant.GeoBox
	rings        [][]sextant.GeoPoint // the exterior first
	south, north float64
	lons         [][2]float64
}

type areaKind uint8

const (
	circle areaKind = iota
	box
	polygon
)

// placeOf reads a payload's geo point; ok is false for anything else and for coordinates out of range.
func placeOf(v document.Value) (p sextant.GeoPoint, ok bool) {
	if v.Kind() != document.Object {
		return p, false
	}
	lon, ok1 := v.Get("lon").Num()
	lat, ok2 := v.Get("lat").Num()
	p = sextant.GeoPoint{Lon: lon.Float, Lat: lat.Float}
	return p, ok1 && ok2 && p.Lat >= -90 && p.Lat <= 90 && p.Lon >= -180 && p.Lon <= 180
}

// Slack in degrees for bounds that are computed: far more than rounding, far less than matters for speed.
const slack = 1e-6

func circleArea(r sextant.GeoRadius) area {
	a := area{kind: circle, center: r.Center, radius: r.Radius}
	angle := max(r.Radius, 0) / earthRadius
	dLat := angle*180/math.Pi*(1+1e-9) + slack
	a.south, a.north = r.Center.Lat-dLat, r.Center.Lat+dLat
	if a.north >= 90 || a.south <= -90 || angle >= math.Pi/2 {
		a.lons = [][2]float64{{-180, 180}}
		return a
	}
	dLon := math.Asin(min(1, math.Sin(angle)/math.Cos(r.Center.Lat*math.Pi/180)))*180/math.Pi*(1+1e-9) + slack
	west, east := r.Center.Lon-dLon, r.Center.Lon+dLon
	switch {
	case !(dLon < 180): // also when the centre makes it NaN
		a.lons = [][2]float64{{-180, 180}}
	case west < -180:
		a.lons = [][2]float64{{-180, east}, {west + 360, 180}}
	case east > 180:
		a.lons = [][2]float64{{west, 180}, {-180, east - 360}}
	default:
		a.lons = [][2]float64{{west, east}}
	}
	return a
}

func boxArea(b sextant.GeoBox) area {
	a := area{kind: box, box: b, south: b.BottomRight.Lat, north: b.TopLeft.Lat}
	if b.TopLeft.Lon > b.BottomRight.Lon {
		a.lons = [][2]float64{{b.TopLeft.Lon, 180}, {-180, b.BottomRight.Lon}}
	} else {
		a.lons = [][2]float64{{b.TopLeft.Lon, b.BottomRight.Lon}}
	}
	return a
}

func polygonArea(p sextant.GeoPolygon) area {
	a := area{kind: polygon, south: math.Inf(1), north: math.Inf(-1)}
	west, east := math.Inf(1), math.Inf(-1)
	for _, q := range p.Exterior {
		a.south, a.north = min(a.south, q.Lat), max(a.north, q.Lat)
		west, east = min(west, q.Lon), max(east, q.Lon)
	}
	a.lons = [][2]float64{{west, east}}
	a.rings = append([][]sextant.GeoPoint{p.Exterior}, p.Interiors...)
	return a
}

func (a *area) contains(p sextant.GeoPoint) bool {
	switch a.kind {
	case circle:
		if p.Lat < a.south || p.Lat > a.north {
			return false
		}
		return haversine(a.center, p) < a.radius
	case box:
		tl, br := a.box.TopLeft, a.box.BottomRight
		if !(br.Lat < p.Lat && p.Lat < tl.Lat) {
			return false
		}
		if tl.Lon > br.Lon {
			return p.Lon > tl.Lon || p.Lon < br.Lon
		}
		return tl.Lon < p.Lon && p.Lon < br.Lon
	}
	for i, ring := range a.rings {
		in, edge := inRing(ring, p)
		if edge || in != (i == 0) {
			return false
		}
	}
	return true
}

// haversine returns the distance in metres on the sphere.
func haversine(a, b sextant.GeoPoint) float64 {
	const rad = math.Pi / 180
	lat := math.Sin((b.Lat - a.Lat) * rad / 2)
	lon := math.Sin((b.Lon - a.Lon) * rad / 2)
	h := lat*lat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*lon*lon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}

// inRing tests a closed ring by counting crossings of a ray to the east; edge says that p lies on the ring itself.
func inRing(ring []sextant.GeoPoint, p sextant.GeoPoint) (in, edge bool) {
	for i := 1; i < len(ring); i++ {
		a, b := ring[i-1], ring[i]
		cross := (b.Lon-a.Lon)*(p.Lat-a.Lat) - (b.Lat-a.Lat)*(p.Lon-a.Lon)
		if cross == 0 && min(a.Lon, b.Lon) <= p.Lon && p.Lon <= max(a.Lon, b.Lon) &&
			min(a.Lat, b.Lat) <= p.Lat && p.Lat <= max(a.Lat, b.Lat) {
			return false, true
		}
		if (a.Lat > p.Lat) != (b.Lat > p.Lat) && (cross > 0) == (b.Lat > a.Lat) {
			in = !in
		}
	}
	return in, false
}
