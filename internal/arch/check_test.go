package arch_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// parsed is a package of this module without its tests.
type parsed struct {
	path  string // within the module
	files map[string]*ast.File
}

// check returns everything that is wrong with a package, sorted.
func check(fset *token.FileSet, p parsed) []string {
	r, ok := ruleOf(p.path)
	if !ok {
		return []string{p.path + ": has no level; give it a line in the rules of internal/arch"}
	}
	var problems []string
	documented := 0
	for name, file := range p.files {
		c := checker{fset: fset, pkg: p.path, rule: r, file: path.Join(p.path, name), isMain: file.Name.Name == "main"}
		c.imports(file)
		c.uses(file)
		if file.Doc != nil {
			documented++
			c.comment(file)
		}
		problems = append(problems, c.problems...)
	}
	if documented != 1 && len(p.files) > 0 {
		problems = append(problems, fmt.Sprintf("%s: has %d package comments, want one that says what it is for", p.path, documented))
	}
	slices.Sort(problems)
	return problems
}

// checker looks at one file.
type checker struct {
	fset     *token.FileSet
	pkg      string
	rule     rule
	file     string
	isMain   bool
	problems []string
}

func (c *checker) report(pos token.Pos, format string, args ...any) {
	where := fmt.Sprintf("%s:%d: ", c.file, c.fset.Position(pos).Line)
	c.problems = append(c.problems, where+fmt.Sprintf(format, args...))
}

func (c *checker) comment(file *ast.File) {
	if want := "Package " + file.Name.Name + " "; !c.isMain && !strings.HasPrefix(file.Doc.Text(), want) {
		c.report(file.Doc.Pos(), "package comment does not begin with %q", want)
	}
}

func (c *checker) imports(file *ast.File) {
	for _, spec := range file.Imports {
		imported := importPath(spec)
		if own, ok := strings.CutPrefix(imported, module); ok {
			if !c.rule.mayImport(own) {
				c.report(spec.Pos(), "%s must not import %s, because %s", c.pkg, own, c.rule.why)
			}
			continue
		}
		for _, f := range forbiddenImports {
			if applies(f.levels, c.rule.level) && !c.excepted(f.except) && anyMatches(f.patterns, imported) {
				c.report(spec.Pos(), "%s must not import %s, because %s", c.pkg, imported, f.why)
			}
		}
	}
}

func (c *checker) uses(file *ast.File) {
	names := map[string]string{} // local name → import path
	for _, spec := range file.Imports {
		imported := importPath(spec)
		local := baseName(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		names[local] = imported
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.GoStmt:
			if c.rule.level <= 1 {
				c.report(n.Pos(), "%s must not start goroutines, because the core is a function of its arguments", c.pkg)
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				c.report(n.Pos(), "%s must not have an init function, because importing a package does nothing", c.pkg)
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok {
				c.use(n, names[x.Name])
			}
		}
		return true
	})
}

func (c *checker) use(n *ast.SelectorExpr, imported string) {
	for _, u := range forbiddenUses {
		if u.pkg != imported || !applies(u.levels, c.rule.level) || u.main && c.isMain || c.excepted(u.except) {
			continue
		}
		if slices.Contains(u.names, n.Sel.Name) || u.names[0] == "*" {
			c.report(n.Pos(), "%s must not use %s.%s, because %s", c.pkg, baseName(imported), n.Sel.Name, u.why)
		}
	}
}

// excepted reports whether the package or the file is in the list.
func (c *checker) excepted(list []string) bool {
	return slices.Contains(list, c.pkg) || slices.Contains(list, c.file)
}

func applies(levels []int, level int) bool {
	return len(levels) == 0 || slices.Contains(levels, level)
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, path) })
}

// baseName is the name that code uses for an import without a name of its own.
func baseName(imported string) string {
	base := path.Base(imported)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		return path.Base(path.Dir(imported))
	}
	return base
}

func importPath(spec *ast.ImportSpec) string {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return imported
}
