package config

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fly-autoscaler/fly-autoscaler/internal/policy"
)

// documentedRule is one row of the table of rules.
type documentedRule struct {
	path, standard, meaning string
	show                    func(Rules) string // what a profile sets; nil for nothing
}

func documentedRules() []documentedRule {
	percent := func(v float64) string { return fmt.Sprintf("`%g%%`", v*100) }
	rates := func(list []policy.Rate) string {
		var out []string
		for _, r := range list {
			if r.Count > 0 {
				out = append(out, fmt.Sprintf("%d in %s", r.Count, short(r.Period)))
			} else {
				out = append(out, fmt.Sprintf("%g %% in %s", r.Percent, short(r.Period)))
			}
		}
		return strings.Join(out, " or ")
	}
	return []documentedRule{
		{"behavior.tolerance.up", "`0%`", "By how much the demand may be above what there is without anything being done.", func(r Rules) string { return percent(r.Behavior.Tolerance.Up) }},
		{"behavior.tolerance.down", "`0%`", "By how much it may be below.", func(r Rules) string { return percent(r.Behavior.Tolerance.Down) }},
		{"behavior.scale-up.stabilization-window", "`0s`", "How long more must be asked for before it is given: the least that was asked for in this time counts. At most 1h.", func(r Rules) string { return "`" + short(r.Behavior.Up.Window) + "`" }},
		{"behavior.scale-up.policies", "at once", "How fast: a list of `type` (`percent` or `count`), `value` and `period` (at most 1h). An empty list is at once.", func(r Rules) string { return rates(r.Behavior.Up.Rates) }},
		{"behavior.scale-up.select-policy", "`max`", "Which of several policies counts: `max`, the one that allows most, or `min`. `disabled` allows no change in this direction.", nil},
		{"behavior.scale-down.stabilization-window", "`0s`", "How long less must be asked for before it is taken: the most that was asked for in this time counts.", func(r Rules) string { return "`" + short(r.Behavior.Down.Window) + "`" }},
		{"behavior.scale-down.policies", "at once", "As for `scale-up`.", func(r Rules) string { return rates(r.Behavior.Down.Rates) }},
		{"behavior.scale-down.select-policy", "`max`", "As for `scale-up`.", nil},
		{"behavior.fast.machine-count", "", "An expression over a short time, which raises the count of started Machines when it asks for many more than are ready.", nil},
		{"behavior.fast.factor", "`2`", "How many times the ready Machines it has to ask for.", nil},
		{"behavior.fast.hold", "`1m`", "How long it counts after it asked for more, at most 1h.", nil},
		{"on-loss.after", "`15m`", "How long to keep what there is when no metric can be read.", nil},
		{"on-loss.machine-count", "", "How many Machines to run, at least, after that.", nil},
		{"schedules", "", "A list of times with a minimum or maximum of their own: see [schedules](behavior.md#schedules).", nil},
		{"limits.pause", "`none`", "Which changes are not made: `up`, `down` or `all`.", nil},
		{"limits.booting", "no limit", "The largest share of the Machines that run and boot, counted as at least four, that may boot at a time.", func(r Rules) string {
			if r.Limits.Booting == 0 {
				return ""
			}
			return percent(r.Limits.Booting)
		}},
		{"limits.create-breaker.failures", "`3`, if there is a breaker", "After so many creates that failed none is tried for a while. `0` is no breaker.", func(r Rules) string { return fmt.Sprintf("`%d`", r.Limits.Breaker.Failures) }},
		{"limits.create-breaker.within", "`5m`", "In which time they failed.", func(r Rules) string { return "`" + short(r.Limits.Breaker.Within) + "`" }},
		{"limits.create-breaker.pause", "`1m`", "How long at first; twice as long each time it happens again.", func(r Rules) string { return "`" + short(r.Limits.Breaker.Pause) + "`" }},
		{"limits.create-breaker.max-pause", "`1h`", "How long at most.", func(r Rules) string { return "`" + short(r.Limits.Breaker.MaxPause) + "`" }},
		{"limits.destroy-budget.percent", "`10`, if there is a budget", "How much of what exists may be destroyed in a period, and at least one. `0` is no budget.", func(r Rules) string { return fmt.Sprintf("`%g`", r.Limits.Destroy.Percent) }},
		{"limits.destroy-budget.period", "`10m`", "The period, at most 24h.", func(r Rules) string { return "`" + short(r.Limits.Destroy.Period) + "`" }},
		{"limits.machine-hours-per-day", "no limit", "How many hours Machines may run, all together, from midnight to midnight UTC.", nil},
		{"scale-to-zero.activation", "`0`", "The demand, in Machines before rounding, up to which a target is idle.", func(r Rules) string { return fmt.Sprintf("`%g`", r.Zero.Activation) }},
		{"scale-to-zero.idle-after", "`5m`, if there is a gate", "How long it has to be idle before the last Machine is taken, at most 24h.", func(r Rules) string { return "`" + short(r.Zero.IdleAfter) + "`" }},
		{"scale-to-zero.first", "`1`", "How many Machines run, at least, while it is not idle.", func(r Rules) string { return fmt.Sprintf("`%d`", r.Zero.First) }},
		{"scale-in.idle-mode", "`stop`", "What becomes of a Machine that is not needed: `stop`, `suspend` (and stop where the platform does not suspend) or `destroy`.", func(r Rules) string { return "`" + idleModes[r.ScaleIn.Mode] + "`" }},
		{"scale-in.drain", "`0s`", "How long a Machine finishes its work, without getting more, before it is taken; shorter when it is seen idle. At most 24h.", func(r Rules) string {
			if r.Profile == "queue" {
				return fmt.Sprintf("`0s`, with `busy` `%s`", short(queueDrain))
			}
			return "`" + short(r.ScaleIn.Drain) + "`"
		}},
		{"scale-in.busy", "", "The metric that tells how much work each Machine has. Those with the least go first.", nil},
		{"scale-in.order", "`any`", "Which of equally busy Machines goes first: the `oldest`, the `newest`, or `any`.", nil},
		{"scale-in.protect", "", "A key of metadata that keeps a Machine from being taken while its value is set.", nil},
		{"scale-in.min-lifetime", "`0s`", "How long a Machine stays after it was started, at most 24h.", func(r Rules) string { return "`" + short(r.ScaleIn.MinLifetime) + "`" }},
		{"scale-in.keep-standby", "`0`", "How many stopped or suspended Machines stay when created ones are to be destroyed.", nil},
		{"scale-in.standby-for", "for good", "How long each of them stays, at most 744h.", nil},
	}
}

// writeRules writes the table of rules, which has to name each of them.
func writeRules(t *testing.T, b *strings.Builder) {
	t.Helper()
	missing := []string{keySchedules, keyUpPolicies, keyDownPolicies}
	for _, k := range ruleKeys {
		missing = append(missing, k.path)
	}
	b.WriteString("\n### Rules\n\nWhat they do is told in [behavior](behavior.md).\n\n| key | default | `web` | `queue` | `batch` | meaning |\n|---|---|---|---|---|---|\n")
	for _, row := range documentedRules() {
		i := slices.Index(missing, row.path)
		if i < 0 {
			t.Fatalf("%s is documented, and there is no such setting", row.path)
		}
		missing = slices.Delete(missing, i, i+1)
		fmt.Fprintf(b, "| `%s` | %s |", row.path, orDash(row.standard))
		for _, profile := range Profiles() {
			cell := ""
			if row.show != nil {
				cell = row.show(profileRules(profile))
			}
			fmt.Fprintf(b, " %s |", orDash(cell))
		}
		fmt.Fprintf(b, " %s |\n", row.meaning)
	}
	if len(missing) > 0 {
		t.Errorf("%v are not documented: add them to documentedRules()", missing)
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// The reference example names every rule.
func TestReferenceNamesEveryRule(t *testing.T) {
	content, err := os.ReadFile("../../examples/fly-autoscaler.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ruleKeys {
		if name := lastKey(k.path); !strings.Contains(string(content), name+":") {
			t.Errorf("the example does not name %s", k.path)
		}
	}
	for _, k := range scheduleKeys {
		if !strings.Contains(string(content), k.yaml+": ") {
			t.Errorf("the example has no schedule with %s", k.yaml)
		}
	}
	for _, k := range collectorKeys {
		if !strings.Contains(string(content), k.yaml+": ") {
			t.Errorf("the example has no collector with %s", k.yaml)
		}
	}
}
