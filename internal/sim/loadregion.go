package sim

import "math"

// point is a place on Earth, in degrees.
type point struct{ lat, lon float64 }

// regionCoordinates returns where a region is. It knows the regions of today
// and the retired ones that metrics may still name.
func regionCoordinates(code string) (point, bool) {
	switch code {
	case "ams":
		return point{52.374344, 4.895439}, true
	case "arn":
		return point{59.6512, 17.9178}, true
	case "atl":
		return point{33.6407, -84.4277}, true
	case "bog":
		return point{4.70159, -74.1469}, true
	case "bom":
		return point{19.097403, 72.874245}, true
	case "bos":
		return point{42.36, -71.06}, true
	case "cdg":
		return point{48.86, 2.35}, true
	case "den":
		return point{39.74, -104.99}, true
	case "dfw":
		return point{32.78, -96.80}, true
	case "ewr":
		return point{40.79, -74.06}, true
	case "eze":
		return point{-34.82, -58.54}, true
	case "fra":
		return point{50.12, 8.68}, true
	case "gdl":
		return point{20.5217, -103.3109}, true
	case "gig":
		return point{-22.81, -43.25}, true
	case "gru":
		return point{-23.549664, -46.65435}, true
	case "hkg":
		return point{22.25097, 114.203224}, true
	case "iad":
		return point{39.02214, -77.462555}, true
	case "jnb":
		return point{-26.20, 28.05}, true
	case "lax":
		return point{33.9416, -118.4085}, true
	case "lhr":
		return point{51.516434, -0.125656}, true
	case "mad":
		return point{40.42, -3.70}, true
	case "mia":
		return point{25.76, -80.19}, true
	case "nrt":
		return point{35.62161, 139.74185}, true
	case "ord":
		return point{41.88, -87.63}, true
	case "otp":
		return point{44.4325, 26.1039}, true
	case "phx":
		return point{33.45, -112.07}, true
	case "qro":
		return point{20.59, -100.39}, true
	case "scl":
		return point{-33.39, -70.79}, true
	case "sea":
		return point{47.61, -122.33}, true
	case "sin":
		return point{1.3, 103.8}, true
	case "sjc":
		return point{37.34, -121.89}, true
	case "syd":
		return point{-33.87, 151.21}, true
	case "waw":
		return point{52.1657, 20.9671}, true
	case "yul":
		return point{45.50, -73.57}, true
	case "yyz":
		return point{43.65, -79.38}, true
	}
	return point{}, false
}

// earthRadius is the mean radius in kilometres.
const earthRadius = 6371

// farthest is the distance, in kilometres, to a region that the table does not
// know: half way around the Earth, so that it serves only when nothing else does.
const farthest = 20015

// distance returns the kilometres between two regions along the surface.
func distance(a, b string) float64 {
	if a == b {
		return 0
	}
	p, okA := regionCoordinates(a)
	q, okB := regionCoordinates(b)
	if !okA || !okB {
		return farthest
	}
	const radians = math.Pi / 180
	sinLat := math.Sin((q.lat - p.lat) * radians / 2)
	sinLon := math.Sin((q.lon - p.lon) * radians / 2)
	h := sinLat*sinLat + math.Cos(p.lat*radians)*math.Cos(q.lat*radians)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Min(1, math.Sqrt(h)))
}
