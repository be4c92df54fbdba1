package source

import "github.com/fly-autoscaler/fly-autoscaler/internal/scale"

// maxAppName is the longest name the platform gives: an app's name is a DNS
// label.
const maxAppName = 63

// ValidApp reports whether the platform could have given an app this name:
// lower-case letters, digits and hyphens, beginning with a letter or a digit.
// Such a name needs no escaping in any place known to us.
func ValidApp(app scale.App) bool {
	if app == "" || len(app) > maxAppName || app[0] == '-' {
		return false
	}
	for _, c := range []byte(app) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
