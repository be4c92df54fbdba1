package arch_test

import "strings"

const module = "github.com/fly-autoscaler/fly-autoscaler/"

// rule says what the packages that match may import from this module. Of the
// rules whose pattern matches a package the first one counts.
type rule struct {
	pattern string   // package path within the module; "/*" at the end is any one package below
	level   int      // position in the order of imports
	may     []string // patterns of packages of this module that may be imported
	why     string   // completes "…, because"
}

const (
	whyVocabulary = "the vocabulary must mean the same everywhere and therefore depends on nothing"
	whyCore       = "the core computes with values only: scale and the parts of the core below it"
	whyAdapter    = "adapters can be replaced one by one: they know the vocabulary and their own contract"
	whyPlatform   = "what speaks to the platform knows its client and no metrics or storage"
	whyLoop       = "the loop reaches everything but the core through interfaces that it declares"
	whyFace       = "the face shows and checks values; it must not reach into what does the work"
	whyRoot       = "only the composition root knows everything below it"
	whyCommand    = "commands parse arguments and hand over to the composition root"
)

// core is level 1.
var core = []string{
	"internal/expr", "internal/forecast", "internal/schedule", "internal/policy", "internal/place", "internal/plan", "internal/decide",
}

// rules is the order of imports, from the vocabulary up to the commands.
var rules = []rule{
	{"internal/scale", 0, nil, whyVocabulary},

	{"internal/expr", 1, scale(), whyCore},
	{"internal/forecast", 1, scale(), whyCore},
	{"internal/schedule", 1, scale(), whyCore},
	{"internal/place", 1, scale(), whyCore},
	{"internal/policy", 1, scale("internal/expr", "internal/forecast", "internal/place", "internal/schedule"), whyCore},
	{"internal/plan", 1, scale("internal/place", "internal/policy"), whyCore},
	{"internal/decide", 1, scale(core...), whyCore},

	{"internal/source/builtin", 6, below(6), whyRoot},
	{"internal/sim/scenario", 6, below(6), whyRoot},
	{"internal/sim/flysim", 3, scale("internal/flyapi", "internal/sim"), whyPlatform},

	{"internal/flyapi", 2, scale(), whyAdapter},
	{"internal/source", 2, scale(), whyAdapter},
	{"internal/source/*", 2, scale("internal/source"), whyAdapter},
	{"internal/store", 2, scale(), whyAdapter},
	{"internal/store/*", 2, scale("internal/store"), whyAdapter},
	{"internal/natsd", 2, scale(), whyAdapter},
	{"internal/journal", 2, scale("internal/store"), whyAdapter},
	{"internal/sim", 2, scale(), whyAdapter},

	{"internal/fleet", 3, scale("internal/flyapi"), whyPlatform},
	{"internal/actuate", 3, scale("internal/flyapi"), whyPlatform},

	{"internal/reconcile", 4, scale(core...), whyLoop},

	{"internal/config", 5, face(), whyFace},
	{"internal/httpapi", 5, face(), whyFace},
	{"internal/dashboard", 5, face(), whyFace},

	{"internal/app", 6, append(below(6), "internal/source/builtin", "internal/sim/scenario"), whyRoot},

	{"cmd/flysim", 7, scale("internal/sim", "internal/sim/flysim", "internal/sim/scenario"), whyCommand},
	{"cmd/*", 7, scale("internal/app", "internal/config", "internal/sim/scenario"), whyCommand},

	{"internal/arch", 7, nil, "it is a test"},
}

// scale is the vocabulary and the given packages.
func scale(more ...string) []string { return append([]string{"internal/scale"}, more...) }

// face is what level 5 may import.
func face() []string {
	return append(scale(core...), "internal/source", "internal/store", "internal/journal")
}

// below stands for all packages of lower levels.
func below(level int) []string {
	return []string{"below " + string(rune('0'+level))}
}

// imports forbids packages of other modules or of the standard library.
type imports struct {
	levels   []int // empty: all
	patterns []string
	except   []string // packages that may
	why      string
}

var forbiddenImports = []imports{
	{
		levels: []int{0},
		patterns: []string{
			"context", "sync", "sync/*", "log", "log/*", "os", "os/*", "io", "io/*", "net", "net/*", "testing", "*.*",
		},
		why: "the vocabulary is values of the standard library, without I/O, waiting, locking or logging",
	},
	{
		levels:   []int{1},
		patterns: []string{"log", "log/*", "os", "os/*", "io/fs", "io/ioutil", "net", "net/http", "net/http/*", "testing"},
		why:      "the core does no I/O and says what it has to say in its results",
	},
	{
		patterns: []string{"github.com/superfly/fly-go", "github.com/superfly/fly-go/*"},
		why:      "the official SDK is a judge in tests and not part of the product",
	},
	{
		patterns: []string{"github.com/prometheus/prometheus/*"},
		except:   []string{"internal/sim", "internal/sim/flysim", "internal/sim/scenario"},
		why:      "only the simulator has to answer queries; others send them",
	},
	{
		patterns: []string{"testing", "github.com/google/go-cmp/*", "pgregory.net/rapid"},
		except:   []string{"internal/source/sourcetest", "internal/store/storetest"},
		why:      "test code does not belong in the product; suites for several implementations are listed here",
	},
}

// use forbids an identifier of another package.
type use struct {
	pkg    string
	names  []string
	levels []int    // empty: all
	except []string // packages or files that may, each for the reason beside it
	main   bool     // commands may
	why    string
}

var forbiddenUses = []use{
	{
		pkg: "time", names: []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		levels: []int{0, 1}, why: "the core gets the time as an argument, so that a replay gives the same bytes",
	},
	{
		pkg: "context", names: []string{"Background", "TODO"}, main: true,
		why: "every call has a caller whose context counts; use context.WithoutCancel for what must outlive it",
	},
	{
		pkg: "os", names: []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv"}, main: true,
		except: []string{"internal/app"},
		why:    "settings come from one place; the environment is passed on as a function",
	},
	{
		pkg:   "net/http",
		names: []string{"DefaultClient", "Get", "Head", "Post", "PostForm", "DefaultServeMux", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS"},
		why:   "clients and servers have time-outs and owners; the shared ones have neither",
	},
	{
		pkg: "log/slog", names: []string{"SetDefault", "Default", "Debug", "Info", "Warn", "Error"},
		why: "loggers are handed to constructors; a shared one mixes the lines of unrelated parts",
	},
	{
		pkg:   "github.com/prometheus/client_golang/prometheus",
		names: []string{"DefaultRegisterer", "DefaultGatherer", "MustRegister", "Register", "Unregister"},
		why:   "metrics go to a registry that the constructor was given, so that two of a thing can live in one process",
	},
	{
		pkg:   "github.com/prometheus/client_golang/prometheus/promauto",
		names: []string{"NewCounter", "NewCounterVec", "NewGauge", "NewGaugeVec", "NewGaugeFunc", "NewHistogram", "NewHistogramVec", "NewSummary", "NewSummaryVec"},
		why:   "these register with the shared registry; use promauto.With",
	},
	{
		pkg: "math/rand", names: []string{"*"}, levels: []int{0, 1}, why: "the same inputs give the same bytes",
	},
	{
		pkg: "math/rand/v2", names: []string{"*"}, levels: []int{0, 1}, why: "the same inputs give the same bytes",
	},
	{
		pkg: "crypto/rand", names: []string{"*"}, levels: []int{0, 1}, why: "the same inputs give the same bytes",
	},
}

// matches reports whether a package path fits a pattern: the path itself; with
// "/*" at the end any path below; "*.*" any path of another module.
func matches(pattern, path string) bool {
	if pattern == "*.*" {
		first, _, _ := strings.Cut(path, "/")
		return strings.Contains(first, ".")
	}
	if prefix, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, prefix+"/")
	}
	return pattern == path
}

// ruleOf returns the rule of a package of this module.
func ruleOf(path string) (rule, bool) {
	for _, r := range rules {
		if matches(r.pattern, path) {
			return r, true
		}
	}
	return rule{}, false
}

// mayImport reports whether the rule allows a package of this module.
func (r rule) mayImport(path string) bool {
	for _, pattern := range r.may {
		if strings.HasPrefix(pattern, "below ") {
			if other, ok := ruleOf(path); ok && other.level < r.level {
				return true
			}
			continue
		}
		if matches(pattern, path) {
			return true
		}
	}
	return false
}
