package yamlconf

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Reference is the table of every setting of a configuration, with its default and what the tag doc says of it. c is a
// struct with the defaults; pointers in it are set, and lists of structs have one element.
func Reference(c any) string {
	var b strings.Builder
	b.WriteString("| setting | default | |\n|---|---|---|\n")
	describe(&b, "", reflect.ValueOf(c))
	return b.String()
}

func describe(b *strings.Builder, prefix string, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if opts == "inline" {
			describe(b, prefix, v.Field(i))
			continue
		}
		name = prefix + name
		if doc := f.Tag.Get("doc"); doc != "" {
			fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, shown(v.Field(i)), doc)
		}
		switch inner := v.Field(i); {
		case inner.Kind() == reflect.Struct:
			describe(b, name+".", inner)
		case inner.Kind() == reflect.Pointer:
			describe(b, name+".", inner.Elem())
		case inner.Kind() == reflect.Slice && inner.Type().Elem().Kind() == reflect.Struct:
			describe(b, name+"[].", inner.Index(0))
		}
	}
}

func shown(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Duration:
		return "`" + x.String() + "`"
	case Bytes:
		return "`" + x.String() + "`"
	case time.Duration:
		panic("a setting without its unit")
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Uint64, reflect.Float64:
		return fmt.Sprintf("`%v`", v.Interface())
	case reflect.String:
		if v.String() != "" {
			return "`" + v.String() + "`"
		}
	}
	return ""
}
