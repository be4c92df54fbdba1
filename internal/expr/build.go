package expr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
)

// builder turns the parsed tree into operations, and refuses what is not part
// of our language. Only the first problem is kept.
type builder struct {
	src     string
	metrics []string
	names   map[string]bool          // metrics and counts referred to
	windows map[string]time.Duration // of history, by metric: the longest asked for
	time    bool                     // it asks for the time
	scope   []variable               // let variables in sight, innermost last
	slots   int
	err     *Error
}

type variable struct {
	name string
	slot int
}

func (b *builder) fail(n ast.Node, message, hint string) operation {
	if b.err == nil {
		b.err = errorAt(b.src, byteOffset(b.src, n.Location().From), message, hint)
	}
	return nil
}

// build returns the operation of n. After a failure the result is of no use.
func (b *builder) build(n ast.Node) operation {
	if b.err != nil {
		return nil
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return constant(value{kind: unknownKind})
	case *ast.IntegerNode:
		return constant(num(float64(n.Value)))
	case *ast.FloatNode:
		return constant(num(n.Value))
	case *ast.BoolNode:
		return constant(boolean(n.Value))
	case *ast.IdentifierNode:
		return b.identifier(n)
	case *ast.UnaryNode:
		return b.unary(n)
	case *ast.BinaryNode:
		return b.binary(n)
	case *ast.ConditionalNode:
		return conditional(b.build(n.Cond), b.build(n.Exp1), b.build(n.Exp2))
	case *ast.VariableDeclaratorNode:
		return b.declaration(n)
	case *ast.BuiltinNode:
		return b.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return b.fail(n, "only functions can be called", "")
		}
		return b.call(callee, callee.Value, n.Arguments)
	case *ast.ArrayNode:
		return b.fail(n, "a list can only be an argument of min, max, sum, mean or median", "")
	case *ast.StringNode:
		hint := ""
		if d, err := time.ParseDuration(n.Value); err == nil {
			hint = fmt.Sprintf("write seconds: %g", d.Seconds())
		}
		return b.fail(n, "text is not part of the language, which is about numbers", hint)
	case *ast.BytesNode:
		return b.fail(n, "text is not part of the language, which is about numbers", "")
	case *ast.SequenceNode:
		return b.fail(n, "only one expression is possible", `name a part with "let x = …; …"`)
	case *ast.MemberNode, *ast.ChainNode, *ast.SliceNode:
		return b.fail(n, "a number has no members", "")
	case *ast.PredicateNode, *ast.PointerNode:
		return b.fail(n, "closures are not part of the language", "")
	}
	return b.fail(n, "this is not part of the language, which is about numbers", "")
}

func (b *builder) identifier(n *ast.IdentifierNode) operation {
	for _, v := range slices.Backward(b.scope) {
		if v.name == n.Value {
			return loadVariable(v.slot)
		}
	}
	switch {
	case slices.Contains(b.metrics, n.Value):
		b.names[n.Value] = true
		return loadMetric(n.Value)
	case slices.Contains(CountNames(), n.Value):
		b.names[n.Value] = true
		return loadCount(n.Value)
	}
	if _, ok := lookup(n.Value); ok {
		return b.fail(n, fmt.Sprintf("%s is a function", n.Value), fmt.Sprintf("call it: %s(…)", n.Value))
	}
	return b.fail(n, fmt.Sprintf("unknown name %q", n.Value), b.nameHint(n.Value))
}

// declared reports whether name is a let variable in sight.
func (b *builder) declared(name string) bool {
	return slices.ContainsFunc(b.scope, func(v variable) bool { return v.name == name })
}

// nameHint says which name may have been meant, or which there are.
func (b *builder) nameHint(name string) string {
	known := slices.Sorted(slices.Values(b.metrics))
	for _, v := range b.scope {
		known = append(known, v.name)
	}
	if near := Nearest(name, slices.Concat(known, CountNames())); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(known) == 0 {
		return "no metric is declared; " + strings.Join(CountNames(), ", ") + " are always known"
	}
	const show = 8
	more := ""
	if len(known) > show {
		known, more = known[:show], ", …"
	}
	return "declared: " + strings.Join(known, ", ") + more
}

func (b *builder) unary(n *ast.UnaryNode) operation {
	x := b.build(n.Node)
	switch n.Operator {
	case "-":
		return negate(x)
	case "+":
		return plus(x)
	case "!", "not":
		return not(x)
	}
	return b.fail(n, fmt.Sprintf("operator %q is not part of the language", n.Operator), "")
}

func (b *builder) binary(n *ast.BinaryNode) operation {
	x, y := b.build(n.Left), b.build(n.Right)
	if f, ok := arithmetic[n.Operator]; ok {
		return compute(n.Operator, f, x, y)
	}
	if f, ok := comparisons[n.Operator]; ok {
		return compare(f, x, y)
	}
	switch n.Operator {
	case "and", "&&":
		return junction(x, y, false)
	case "or", "||":
		return junction(x, y, true)
	case "??":
		return coalesce(x, y)
	case "==", "!=":
		return equality(n, x, y, n.Operator == "==")
	}
	return b.fail(n, fmt.Sprintf("operator %q is not part of the language", n.Operator), "")
}

func (b *builder) declaration(n *ast.VariableDeclaratorNode) operation {
	x := b.build(n.Value)
	slot := b.slots
	b.slots++
	b.scope = append(b.scope, variable{n.Name, slot})
	body := b.build(n.Expr)
	b.scope = b.scope[:len(b.scope)-1]
	return let(slot, x, body)
}

func (b *builder) call(at ast.Node, name string, args []ast.Node) operation {
	f, ok := lookup(name)
	if !ok || hidden(f, b.metrics) {
		return b.noFunction(at, name, ok)
	}
	if f.form == ofTime && len(args) > 1 {
		return b.fail(at, fmt.Sprintf("%s takes at most one argument, the time zone, not %d", name, len(args)), "write "+f.usage)
	}
	if f.arity > 0 && len(args) != f.arity {
		hint := ""
		if f.usage != "" {
			hint = "write " + f.usage
		}
		return b.fail(at, fmt.Sprintf("%s takes %s, not %d", name, plural(f.arity, "argument"), len(args)), hint)
	}
	switch f.form {
	case ofHistory:
		return b.history(at, f, args)
	case ofTime:
		return b.clock(f, args)
	case ofUnknown:
		return b.known(f, args[0])
	case ofNumbers:
	}
	if name == "sum" && (len(args) != 1 || !isList(args[0])) {
		return b.fail(at, "sum takes one list", "write sum([a, b])")
	}
	if name == "erlang_c" {
		if share, ok := literal(args[3]); ok && (share < 0 || share >= 1) {
			return b.fail(located(args[3], at), fmt.Sprintf("the share is %g, not from 0 to below 1", share), "95 percent is 0.95")
		}
	}
	var ops []operation
	for _, arg := range args {
		if list, ok := arg.(*ast.ArrayNode); ok && f.arity == 0 {
			for _, element := range list.Nodes {
				ops = append(ops, b.build(element))
			}
			continue
		}
		ops = append(ops, b.build(arg))
	}
	if len(ops) == 0 && (name == "min" || name == "max") {
		return b.fail(at, fmt.Sprintf("%s of nothing has no value", name), "")
	}
	return invoke(f, ops)
}

// noFunction fails for a call of what is no function, or one that a metric hides.
func (b *builder) noFunction(at ast.Node, name string, isHidden bool) operation {
	if slices.Contains(slices.Concat(b.metrics, CountNames()), name) {
		hint := ""
		if isHidden {
			hint = "the metric of that name hides the function"
		}
		return b.fail(at, fmt.Sprintf("%s is a number and cannot be called", name), hint)
	}
	hint := "there are " + strings.Join(Functions(), ", ")
	if near := Nearest(name, Functions()); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return b.fail(at, fmt.Sprintf("unknown function %q", name), hint)
}

// known builds a call that asks whether something has a value. What is computed from
// an unknown metric is an error and not unknown, so only what can be unknown is
// admitted.
func (b *builder) known(f function, arg ast.Node) operation {
	can := false
	switch n := arg.(type) {
	case *ast.IdentifierNode:
		can = slices.Contains(b.metrics, n.Value) || !slices.Contains(CountNames(), n.Value)
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if ok {
			called, found := lookup(callee.Value)
			can = !found || called.form == ofHistory
		}
	}
	x := b.build(arg)
	if !can {
		return b.fail(arg, f.name+" takes a metric, or a function over its history", "write "+f.usage)
	}
	return isKnown(x)
}

// kind is the static kind of a checked node.
func (b *builder) kind(n ast.Node) kind {
	if n.Type().String() == "bool" {
		return boolKind
	}
	return numberKind
}

func isList(n ast.Node) bool {
	_, ok := n.(*ast.ArrayNode)
	return ok
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
