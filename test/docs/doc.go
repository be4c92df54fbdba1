// Package docs holds the tests that read README.md and docs/*.md as users do:
// commands are run with the real programs against the simulated platform, files
// are loaded, messages are provoked, links are followed. Every fenced block says
// by its tag what it is, and a block without a known tag fails:
//
//	sh run                 executed; the environment carries over within a document
//	sh run exit=N          likewise, and ends with that status
//	sh server              a flysim that runs in the background from then on
//	sh fly                 commands of the platform's own tool: known ones, with known flags
//	sh make                commands in a checkout: the targets exist
//	text output, json output
//	                       what the block before printed; times, ids and ports may differ, and
//	                       … stands for anything
//	yaml [env NAME=VALUE …] settings that load without a problem or warning
//	yaml file=NAME         likewise, and there for the commands that follow
//	yaml invalid           settings with problems, which are in the "text problems" block after it
//	yaml scenario [file=NAME]
//	                       a world of flysim
//	toml                   a fly.toml, whose [env] is valid settings
//	promql                 queries, one a line
//	text message NAME      a message of the program, provoked by the test of that name
//	text drawing           nothing to check
//	text drawing demo      a picture of the demo, with the rules that it has
package docs
