package config

import "flag"

// Flags are the settings given on the command line. The zero value has none.
type Flags struct {
	set map[string]string // by flag name, as written
}

// RegisterFlags defines the flags of all settings in fs. Their values are noted
// when fs parses, and checked by Load, together with everything else.
func RegisterFlags(fs *flag.FlagSet) *Flags {
	f := &Flags{set: map[string]string{}}
	note := func(name string) func(string) error {
		return func(value string) error {
			f.set[name] = value
			return nil
		}
	}
	fs.Func(flagConfig, "read settings from this YAML `file`; the environment and flags stand above it", note(flagConfig))
	fs.Func(flagRegions, "create Machines in these `regions` only: iad,ord (default: those of the app's Machines)", note(flagRegions))
	for _, s := range scalars {
		switch {
		case s.flag == "":
		case s.toggle:
			fs.BoolFunc(s.flag, s.usage, note(s.flag))
		default:
			fs.Func(s.flag, s.usage, note(s.flag))
		}
	}
	for _, c := range countSettings {
		if c.flag != "" {
			fs.Func(c.flag, c.usage, note(c.flag))
		}
	}
	return f
}

// ConfigPath returns the name of the configuration file: that of -config, else
// that of FAS_CONFIG, else "".
func ConfigPath(flags *Flags, environment []string) string {
	if flags != nil && flags.set[flagConfig] != "" {
		return flags.set[flagConfig]
	}
	return environ(environment)[envConfig]
}

// decodeFlags reads the layer of the flags.
func decodeFlags(flags *Flags) raw {
	var out raw
	if flags == nil {
		return out
	}
	read := func(name string) text { return newText(FileFlags, "-"+name, flags.set[name]) }
	for _, s := range scalars {
		if s.flag != "" {
			*s.field(&out) = read(s.flag)
		}
	}
	for _, c := range countSettings {
		if c.flag != "" {
			*c.field(&out.flat) = read(c.flag)
		}
	}
	out.flat.regions = splitRegions(read(flagRegions))
	return out
}
