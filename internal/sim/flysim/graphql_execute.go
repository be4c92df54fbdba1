package flysim

import (
	"errors"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// maxTokens bounds the size of a GraphQL document.
const maxTokens = 100_000

// object resolves the fields of one GraphQL object. A field is another object,
// a list of objects, or any value that encodes as JSON.
type object = func(field string, args map[string]any) (any, error)

// fields is an object whose fields are known beforehand. Fields it does not
// have are null: this platform has a part of the true schema, and clients
// select more than they use.
type fields map[string]any

func (f fields) get(field string, _ map[string]any) (any, error) { return f[field], nil }

func nodeList(nodes []object) object {
	if nodes == nil {
		nodes = []object{}
	}
	return fields{"nodes": nodes, "totalCount": len(nodes)}.get
}

// graphQLError is one entry of an answer's errors.
type graphQLError struct {
	message string
	code    string
}

// Error implements error.
func (e *graphQLError) Error() string { return e.message }

func unknownField(field, on string) error {
	return &graphQLError{message: "Field '" + field + "' doesn't exist on type '" + on + "'", code: "undefinedField"}
}

// execution is one run of a GraphQL document.
type execution struct {
	doc    *ast.QueryDocument
	vars   map[string]any
	errors []map[string]any
}

// executeGraphQL runs a document. It goes by the fields that are selected, never by
// the operation's name, and minds neither unknown nor missing variables, as
// the platform's own clients need it.
func executeGraphQL(in graphQLRequest, root *graphQLRoot) map[string]any {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: in.Query}, maxTokens)
	if err != nil {
		return map[string]any{"errors": []any{map[string]any{"message": "Parse error: " + err.Error()}}}
	}
	op := doc.Operations.ForName(in.OperationName)
	if op == nil && len(doc.Operations) > 0 {
		op = doc.Operations[0]
	}
	if op == nil {
		return map[string]any{"errors": []any{map[string]any{"message": "No operation in the document"}}}
	}
	x := &execution{doc: doc, vars: in.Variables}
	resolve := root.query
	if op.Operation == ast.Mutation {
		resolve = root.mutation
	}
	data := make(map[string]any)
	x.selectFrom(op.SelectionSet, resolve, nil, data)
	out := map[string]any{"data": data}
	if x.errors != nil {
		out["errors"] = x.errors
	}
	return out
}

// selectFrom resolves the selected fields of an object into a map.
func (x *execution) selectFrom(set ast.SelectionSet, from object, path []any, into map[string]any) {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.InlineFragment:
			x.selectFrom(s.SelectionSet, from, path, into)
		case *ast.FragmentSpread:
			if fragment := x.doc.Fragments.ForName(s.Name); fragment != nil {
				x.selectFrom(fragment.SelectionSet, from, path, into)
			}
		case *ast.Field:
			at := append(slices.Clip(path), s.Alias)
			into[s.Alias] = x.field(s, from, at)
		}
	}
}

func (x *execution) field(f *ast.Field, from object, path []any) any {
	if f.Name == "__typename" {
		return "Object"
	}
	args := make(map[string]any, len(f.Arguments))
	for _, arg := range f.Arguments {
		value, err := arg.Value.Value(x.vars)
		if err != nil {
			return x.fail(err, path)
		}
		args[arg.Name] = value
	}
	value, err := from(f.Name, args)
	if err != nil {
		return x.fail(err, path)
	}
	switch v := value.(type) {
	case object:
		out := make(map[string]any, len(f.SelectionSet))
		x.selectFrom(f.SelectionSet, v, path, out)
		return out
	case []object:
		list := make([]any, 0, len(v))
		for i, element := range v {
			out := make(map[string]any, len(f.SelectionSet))
			x.selectFrom(f.SelectionSet, element, append(slices.Clip(path), i), out)
			list = append(list, out)
		}
		return list
	}
	return value
}

// fail notes an error; the field is null then.
func (x *execution) fail(err error, path []any) any {
	entry := map[string]any{"message": err.Error(), "path": path}
	if e, ok := errors.AsType[*graphQLError](err); ok && e.code != "" {
		entry["extensions"] = map[string]any{"code": e.code}
	}
	x.errors = append(x.errors, entry)
	return nil
}
