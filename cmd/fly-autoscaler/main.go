// Command fly-autoscaler decides how many Fly Machines an app runs, from any
// metric, and can say why. Run it without arguments for its commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// version is set by the build; see Makefile.
var version = ""

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried and failed, or the settings are wrong
	exitUsage  = 2 // the command line is wrong
)

// hardStop is when a process that was told to end does so whatever is under way.
// The platform kills it soon after.
const hardStop = 9 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal kills
		time.AfterFunc(hardStop, func() {
			fmt.Fprintln(os.Stderr, "fly-autoscaler: still busy", hardStop, "after the signal: giving up")
			os.Exit(exitFailed)
		})
	})
	env := environment{stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), readFile: os.ReadFile}
	os.Exit(run(ctx, env, os.Args[1:]))
}

// environment is the outside world as commands see it.
type environment struct {
	stdout, stderr io.Writer
	environ        []string
	readFile       func(string) ([]byte, error)
}

// command is one of the commands.
type command struct {
	name    string
	summary string
	// help is shown by -help above the flags.
	help string
	// arguments says that the command looks at what follows the flags by itself.
	arguments bool
	// setup registers the command's flags and returns what runs it.
	setup func(env environment, flags *flag.FlagSet) func(ctx context.Context) error
}

func commands() []command {
	return []command{serveCommand(), evalCommand(), planCommand(), onceCommand(), validateCommand(), journalCommand(), demoCommand(), versionCommand()}
}

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("see -help")

// errQuiet ends a command unsuccessfully that has said all there is to say.
var errQuiet = errors.New("")

func run(ctx context.Context, env environment, args []string) int {
	if len(args) == 0 {
		printUsage(env.stderr)
		return exitUsage
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		printUsage(env.stdout)
		return exitOK
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return runCommand(ctx, env, c, args[1:])
		}
	}
	fmt.Fprintf(env.stderr, "fly-autoscaler: unknown command %q\n\n", name)
	printUsage(env.stderr)
	return exitUsage
}

func runCommand(ctx context.Context, env environment, c command, args []string) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	execute := c.setup(env, flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		printHelp(env.stdout, c, flags)
		return exitOK
	case err != nil:
		fmt.Fprintf(env.stderr, "fly-autoscaler %s: %v\nSee fly-autoscaler %s -help.\n", c.name, err, c.name)
		return exitUsage
	case flags.NArg() > 0 && !c.arguments:
		fmt.Fprintf(env.stderr, "fly-autoscaler %s: unexpected argument %q: settings are given by flags, the environment or a file\nSee fly-autoscaler %s -help.\n", c.name, flags.Arg(0), c.name)
		return exitUsage
	}
	err := execute(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(env.stderr, "fly-autoscaler %s: %v\n", c.name, err)
		return exitUsage
	case err == errQuiet: //nolint:errorlint // the sentinel itself, never wrapped
		return exitFailed
	}
	fmt.Fprintf(env.stderr, "fly-autoscaler %s: %v\n", c.name, err)
	return exitFailed
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, `fly-autoscaler decides how many Fly Machines an app runs, from any metric.

Usage:

	fly-autoscaler <command> [flags]

Commands:

`)
	for _, c := range commands() {
		fmt.Fprintf(w, "\t%-9s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `
Settings come from a YAML file (-config), above it the environment (FAS_…), above
it flags; one dash or two. "fly-autoscaler <command> -help" tells more.
`)
}

func printHelp(w io.Writer, c command, flags *flag.FlagSet) {
	fmt.Fprintf(w, "fly-autoscaler %s: %s\n\n%s\n\nFlags:\n\n", c.name, c.summary, strings.TrimSpace(c.help))
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// versionString returns the version of the build, or of the module it was
// installed from.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development build"
}

func versionCommand() command {
	return command{
		name: "version", summary: "print the version", help: "Prints the version of this binary.",
		setup: func(env environment, _ *flag.FlagSet) func(context.Context) error {
			return func(context.Context) error {
				_, err := fmt.Fprintln(env.stdout, "fly-autoscaler", versionString())
				return err
			}
		},
	}
}
