// Package simulate proves the autoscaler by simulation: the whole program but its
// sockets, and the simulated platform, live through hours of load, faults, people
// and crashes in virtual time, from one seed.
//
// A Story says what happens, a run plays it, and a record of every change of the
// platform is then held to what must always be true: nothing is made twice, nothing
// is taken away because it was not seen, nothing foreign is touched, and once the
// trouble is over the targets are met and nothing more is done.
//
// A run must be made in a bubble of testing/synctest. The world, the story and the
// network's delays follow from the seed; the pauses of the program's retries do not,
// so that a seed that fails once in a while is to be tried a few times.
package simulate
