package config

// setting is one scalar that the user may set, with its name in each layer. An
// empty name means that the layer does not have it.
type setting struct {
	yaml, env, flag string
	// usage explains the flag; the name of its value is in back quotes.
	usage string
	// toggle marks a flag that needs no value.
	toggle bool
	field  func(*raw) *text
}

// scalars are all settings at the top level but the lists and counts.
var scalars = []setting{
	{
		yaml: "app-name", env: "FAS_APP_NAME", flag: "app", field: func(r *raw) *text { return &r.flat.appName },
		usage: "scale the `app` of this name; '*' stands for any characters: -app 'worker-*' -org my-org",
	},
	{
		yaml: "org", env: "FAS_ORG", flag: "org", field: func(r *raw) *text { return &r.flat.org },
		usage: "`organization` whose apps a '*' in the app name is matched with",
	},
	{
		yaml: "process-group", env: "FAS_PROCESS_GROUP", flag: "process-group", field: func(r *raw) *text { return &r.flat.processGroup },
		usage: "scale the Machines of this process `group` and leave the others alone (default app)",
	},
	{yaml: "profile", env: "FAS_PROFILE", field: func(r *raw) *text { return &r.flat.profile }},
	{env: "FAS_PAUSE", field: func(r *raw) *text { return &r.pause }},
	{yaml: "initial-machine-state", env: "FAS_INITIAL_MACHINE_STATE", field: func(r *raw) *text { return &r.flat.initialState }},
	{yaml: "api-token", env: "FAS_API_TOKEN", field: func(r *raw) *text { return &r.flat.apiToken }},
	{
		yaml: "concurrency", env: "FAS_CONCURRENCY", flag: "concurrency", field: func(r *raw) *text { return &r.concurrency },
		usage: "look at this `number` of apps at the same time (default 200)",
	},
	{
		yaml: "interval", env: "FAS_INTERVAL", flag: "interval", field: func(r *raw) *text { return &r.interval },
		usage: "`time` between two looks at an app, such as 30s (default 15s)",
	},
	{
		yaml: "timeout", env: "FAS_TIMEOUT", flag: "timeout", field: func(r *raw) *text { return &r.timeout },
		usage: "longest `time` for one look at an app and what follows from it (default 30s)",
	},
	{yaml: "app-list-refresh-interval", env: "FAS_APP_LIST_REFRESH_INTERVAL", field: func(r *raw) *text { return &r.refresh }},
	{
		yaml: "verbose", env: "FAS_VERBOSE", flag: "verbose", field: func(r *raw) *text { return &r.verbose }, toggle: true,
		usage: "log every decision, not only changes; the same as -log-level debug",
	},
	{
		yaml: "listen", env: "FAS_LISTEN", flag: "listen", field: func(r *raw) *text { return &r.listen },
		usage: "serve metrics, health and API at this `address` (default :9090)",
	},
	{
		yaml: "store-dir", env: "FAS_STORE_DIR", flag: "store-dir", field: func(r *raw) *text { return &r.storeDir },
		usage: "keep memory and journal in this `folder`; without one they end with the process",
	},
	{yaml: "journal-retention", env: "FAS_JOURNAL_RETENTION", field: func(r *raw) *text { return &r.journalAge }},
	{yaml: "journal-entries", env: "FAS_JOURNAL_ENTRIES", field: func(r *raw) *text { return &r.journalEntries }},
	{
		yaml: "dry-run", env: "FAS_DRY_RUN", flag: "dry-run", field: func(r *raw) *text { return &r.dryRun }, toggle: true,
		usage: "decide and log, but change no Machine",
	},
	{
		yaml: "log-format", env: "FAS_LOG_FORMAT", flag: "log-format", field: func(r *raw) *text { return &r.logFormat },
		usage: "log as `text` or json (default text)",
	},
	{
		yaml: "log-level", env: "FAS_LOG_LEVEL", flag: "log-level", field: func(r *raw) *text { return &r.logLevel },
		usage: "log this `level` and above: debug, info, warn or error (default info)",
	},
	{env: "FLY_FLAPS_BASE_URL", field: func(r *raw) *text { return &r.machinesURL }},
	{env: "FLY_API_BASE_URL", field: func(r *raw) *text { return &r.graphQLURL }},
	{
		env: "FAS_PROMETHEUS_ADDRESS", flag: "prometheus.address", field: func(r *raw) *text { return &r.prometheus.address },
		usage: "read a metric from the Prometheus server at this `URL`, such as https://api.fly.io/prometheus/my-org",
	},
	{
		env: "FAS_PROMETHEUS_METRIC_NAME", flag: "prometheus.metric-name", field: func(r *raw) *text { return &r.prometheus.metricName },
		usage: "`name` of that metric in expressions",
	},
	{
		env: "FAS_PROMETHEUS_QUERY", flag: "prometheus.query", field: func(r *raw) *text { return &r.prometheus.query },
		usage: "PromQL `query` of that metric, with one value as its answer; $APP_NAME stands for the app: sum(queue_depth{app='$APP_NAME'})",
	},
	{env: "FAS_PROMETHEUS_GROUP_BY", field: func(r *raw) *text { return &r.prometheus.groupBy }},
	{
		env: "FAS_PROMETHEUS_TOKEN", flag: "prometheus.token", field: func(r *raw) *text { return &r.prometheus.apiToken },
		usage: "`token` for that server; better set as FAS_PROMETHEUS_TOKEN, where other users of the computer cannot see it",
	},
}

// count is one of the six settings of how many Machines there should be.
type count struct {
	yaml, env, flag, usage string
	field                  func(*rawTarget) *text
}

var countSettings = []count{
	{yaml: "created-machine-count", env: "FAS_CREATED_MACHINE_COUNT", field: func(t *rawTarget) *text { return &t.created.exact }},
	{yaml: "min-created-machine-count", env: "FAS_MIN_CREATED_MACHINE_COUNT", field: func(t *rawTarget) *text { return &t.created.lowest }},
	{yaml: "max-created-machine-count", env: "FAS_MAX_CREATED_MACHINE_COUNT", field: func(t *rawTarget) *text { return &t.created.highest }},
	{yaml: "started-machine-count", env: "FAS_STARTED_MACHINE_COUNT", field: func(t *rawTarget) *text { return &t.started.exact }},
	{
		yaml: "min-started-machine-count", env: "FAS_MIN_STARTED_MACHINE_COUNT", flag: "expr", field: func(t *rawTarget) *text { return &t.started.lowest },
		usage: "start Machines up to the value of this `expression`, and stop none: max(queue_depth / 10, 2). To stop Machines too, set FAS_STARTED_MACHINE_COUNT instead",
	},
	{yaml: "max-started-machine-count", env: "FAS_MAX_STARTED_MACHINE_COUNT", field: func(t *rawTarget) *text { return &t.started.highest }},
}

// Names that are in no table because they are lists, or outside every layer.
const (
	keyRegions    = "regions"
	keyCollectors = "metric-collectors"
	keyTargets    = "targets"

	envRegions = "FAS_REGIONS"
	envConfig  = "FAS_CONFIG"

	flagRegions = "regions"
	flagConfig  = "config"
)

// targetKeys are the scalars that an element of targets takes besides counts.
var targetKeys = []struct {
	yaml  string
	field func(*rawTarget) *text
}{
	{"app-name", func(t *rawTarget) *text { return &t.appName }},
	{"org", func(t *rawTarget) *text { return &t.org }},
	{"process-group", func(t *rawTarget) *text { return &t.processGroup }},
	{"profile", func(t *rawTarget) *text { return &t.profile }},
	{"initial-machine-state", func(t *rawTarget) *text { return &t.initialState }},
	{"api-token", func(t *rawTarget) *text { return &t.apiToken }},
}

// collectorKeys are the keys of an element of metric-collectors.
var collectorKeys = []struct {
	yaml     string
	required bool
	field    func(*rawCollector) *text
}{
	{"type", true, func(c *rawCollector) *text { return &c.kind }},
	{"metric-name", true, func(c *rawCollector) *text { return &c.metricName }},
	{"address", true, func(c *rawCollector) *text { return &c.address }},
	{"query", true, func(c *rawCollector) *text { return &c.query }},
	{"group-by", false, func(c *rawCollector) *text { return &c.groupBy }},
	{"by-machine", false, func(c *rawCollector) *text { return &c.byMachine }},
	{"on-empty", false, func(c *rawCollector) *text { return &c.onEmpty }},
	{"max-age", false, func(c *rawCollector) *text { return &c.maxAge }},
	{"token", false, func(c *rawCollector) *text { return &c.apiToken }},
}

// bareVariables are the keys in which $NAME is expanded, and not ${NAME} alone:
// earlier versions did so everywhere. In a query a $ has a meaning of its own.
var bareVariables = map[string]bool{"api-token": true, "token": true, "address": true, "app-name": true, "org": true}
