// Package schedule tells when recurring windows of time are open: those that begin
// as a cron expression says and last for some time, and those between two times of
// day on some days of the week. Both are half-open, [start, end), and follow the
// clocks of a time zone through its changes:
//
//   - a Weekly window is open while a clock on a wall of that zone shows a time
//     within it. What the clock skips in spring is not shown, and what it shows twice
//     in autumn is shown twice: 02:00 to 03:00 does not open on the day on which the
//     clock goes from 02:00 to 03:00, and 02:30 to 03:30 opens at 03:00 on that day;
//   - a Cron window begins whenever the clock shows a minute that the expression names.
//     A beginning that the clock skips is at the moment of the skip, so that no window
//     is lost; one that comes twice begins a window twice. The length is in real time.
//
// The windows are immutable and read no clock: the time is an argument.
package schedule
