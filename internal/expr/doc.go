// Package expr compiles and evaluates the expressions that say how many
// Machines an app wants.
//
// The language is Expr (expr-lang/expr): its parser reads an expression and its
// checker types it, so that what users wrote for earlier autoscalers means the
// same here. What is left of the language is numbers: arithmetic, comparison,
// and/or/not, the two conditionals, let, ?? and the functions listed by
// Functions. Ranges, maps, closures, $env and text are compile errors, but for the
// text that names a window of history or a time zone.
//
// The checked tree is evaluated here and not by that library's virtual machine,
// because two things must never pass unnoticed in a program that stops
// Machines:
//
//   - a metric without a reading is unknown, and using it is an error unless the
//     expression itself says what to do then (x ?? 3, x == nil ? 3 : x). It is
//     never zero, and it does not vanish in a comparison or in min and max;
//   - an operation without a result (0/0, sqrt(-1)) is an error where it
//     happens. As a NaN it would vanish in min(50, 0/0), which is 50.
//
// Division of a non-zero number by zero is infinite, as in Expr, so that
// min(50, depth / workers) still gives its bound.
//
// The functions over history look at what the caller kept of a metric. They are
// unknown when the metric is, whatever is remembered of it, and what they give is
// marked as young while less is remembered than they ask for.
//
// A Program has no loops and at most maxNodes operations, each of which is bounded:
// evaluation ends by construction. It reads no clock and has no side effects. A
// Program is immutable and safe for use by several goroutines.
package expr
