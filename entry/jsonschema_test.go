package entry

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/bits"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write generated files under docs/spec")

const schemaFile = "../docs/spec/entry.schema.json"

// TestSchemaFileIsTheTable keeps the published JSON Schema and the table that the scanner walks the same. The schema says
// what members an event has; the spelling (no white space, order of event and time, escapes) is in docs/spec/entry.md.
func TestSchemaFileIsTheTable(t *testing.T) {
	want, err := json.MarshalIndent(schemaOfAll(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is not what the table says; run go test ./entry -update", schemaFile)
	}
}

type m = map[string]any

func schemaOfAll() any {
	defs := m{
		"id":   m{"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}$"},
		"uuid": m{"type": "string", "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"},
		"hash": m{"type": "string", "pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"},
		"time": m{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$"},
		"text": m{"type": "string", "minLength": 1, "maxLength": maxTextMember},
	}
	var events []any
	for _, r := range rows() {
		o := lookup(r.name).object
		s := schemaOfObject(o, defs)
		s["properties"].(m)["event"] = m{"const": r.name}
		s["properties"].(m)["time"] = m{"$ref": "#/$defs/time"}
		s["required"] = append([]string{"event", "time"}, s["required"].([]string)...)
		s["x-place"] = [...]string{"recorder", "system", "both"}[r.place]
		events = append(events, s)
	}
	return m{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "An event of a steno entry, version 1",
		"oneOf":   events,
		"$defs":   defs,
	}
}

func schemaOfObject(o *object, defs m) m {
	props, required := m{}, []string{}
	for i, f := range o.fields {
		props[f.name] = schemaOfField(f, defs)
		if o.required&(1<<i) != 0 {
			required = append(required, f.name)
		}
	}
	s := m{"type": "object", "properties": props, "required": required, "additionalProperties": false}
	names := func(mask uint64) (list []string) {
		for ; mask != 0; mask &= mask - 1 {
			list = append(list, o.fields[bits.TrailingZeros64(mask)].name)
		}
		return list
	}
	var all []any
	for _, mask := range o.either {
		var one []any
		for _, n := range names(mask) {
			one = append(one, m{"required": []string{n}})
		}
		all = append(all, m{"oneOf": one})
	}
	if all != nil {
		s["allOf"] = all
	}
	for _, mask := range o.together {
		dep := m{}
		for _, n := range names(mask) {
			dep[n] = names(mask)
		}
		s["dependentRequired"] = dep
	}
	return s
}

func schemaOfField(f field, defs m) m {
	s := m{}
	switch f.kind {
	case kindID:
		s["$ref"] = "#/$defs/id"
		if f.one != nil {
			s = m{"enum": f.one}
		}
	case kindUUID:
		s["$ref"] = "#/$defs/uuid"
	case kindText:
		s["$ref"] = "#/$defs/text"
	case kindHash:
		s["$ref"] = "#/$defs/hash"
	case kindTime:
		s["$ref"] = "#/$defs/time"
	case kindUint:
		s = m{"type": "integer", "minimum": f.low, "maximum": f.high}
	case kindInt:
		s = m{"type": "integer", "minimum": -MaxSeq, "maximum": MaxSeq}
	case kindBool:
		s["const"] = true
	case kindObject:
		s["$ref"] = "#/$defs/" + f.object.name
		if _, ok := defs[f.object.name]; !ok {
			defs[f.object.name] = m{} // before its fields: Payload contains Payload
			defs[f.object.name] = schemaOfObject(f.object, defs)
		}
	}
	if f.list {
		return m{"type": "array", "minItems": f.min, "maxItems": f.max, "items": s}
	}
	return s
}
