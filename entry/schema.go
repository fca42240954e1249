package entry

import (
	"fmt"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// The structs of events.go and system_events.go are the grammar: this file compiles their tags, once, into the table that
// the scanner walks. In a steno tag stand: required; one=a|b (closed vocabulary); min=n and max=n (elements of a list, which is
// never empty unless required); range=a-b (of an integer); flat (no list of the same kind inside). On a blank field, either=a|b
// demands exactly one of the members, together=a|b all or none of them.

type kind uint8

const (
	kindID kind = iota
	kindUUID
	kindText
	kindHash
	kindTime
	kindUint
	kindInt
	kindBool
	kindObject
)

// place says on which tracks an event may stand.
type place uint8

const (
	onRecorders place = iota
	onSystem
	onBoth
)

// A field is one member of an object.
type field struct {
	name     string
	quoted   string // as a member begins: the name in quotes, and the colon
	kind     kind
	object   *object // of kindObject
	list     bool
	max      int      // elements of a list
	min      int      // elements of a list
	one      []string // closed vocabulary of a kindID
	low      uint64   // range of a kindUint
	high     uint64
	required bool
}

// An object is the members that may stand in one pair of braces. A mask has bit i set for fields[i].
type object struct {
	name     string
	fields   []field
	byName   map[string]int
	required uint64
	either   []uint64
	together []uint64
	isBlob   bool
	payload  bool
	flat     *object // the same object without parts, for elements of parts
}

// A definition is the table's row for a type of event.
type definition struct {
	object *object
	place  place
	sample func() any // a new struct of the event's Go type
}

type table map[Type]*definition

var compiled = sync.OnceValue(compileTable)

func lookup(t Type) *definition { return compiled()[t] }

func compileTable() table {
	c := compiler{objects: map[reflect.Type]*object{}}
	t := table{}
	for _, row := range rows() {
		rt := reflect.TypeOf(row.event)
		t[row.name] = &definition{
			object: c.compile(rt),
			place:  row.place,
			sample: func() any { return reflect.New(rt).Interface() },
		}
	}
	return t
}

type row struct {
	name  Type
	event any
	place place
}

func rows() []row {
	return []row{
		{TypeSessionOpen, SessionOpen{}, onRecorders},
		{TypeTrackOpen, TrackOpen{}, onRecorders},
		{TypePrivilegeChange, PrivilegeChange{}, onRecorders},
		{TypeSessionRoll, SessionRoll{}, onRecorders},
		{TypeSessionClose, SessionClose{}, onRecorders},
		{TypeInput, Input{}, onRecorders},
		{TypeReasoning, Reasoning{}, onRecorders},
		{TypeModelRequest, ModelRequest{}, onRecorders},
		{TypeModelResponse, ModelResponse{}, onRecorders},
		{TypeCalculation, Calculation{}, onRecorders},
		{TypeCatalog, Catalog{}, onRecorders},
		{TypeActionIntent, ActionIntent{}, onRecorders},
		{TypeActionOutput, ActionOutput{}, onRecorders},
		{TypeActionResult, ActionResult{}, onRecorders},
		{TypeActionReject, ActionReject{}, onRecorders},
		{TypeActionSettle, ActionSettle{}, onRecorders},
		{TypeStateChange, StateChange{}, onRecorders},
		{TypeApproval, Approval{}, onRecorders},
		{TypeDelegation, Delegation{}, onRecorders},
		{TypeAnnotation, Annotation{}, onRecorders},
		{TypeMessage, Message{}, onRecorders},
		{TypeCoverage, Coverage{}, onBoth},
		{TypeSystemOpen, SystemOpen{}, onSystem},
		{TypeSystemClose, SystemClose{}, onSystem},
		{TypeAdmitted, Admitted{}, onSystem},
		{TypeLiveness, Liveness{}, onSystem},
		{TypeVerdict, Verdict{}, onSystem},
		{TypeAlert, Alert{}, onSystem},
		{TypeAnchor, Anchor{}, onSystem},
		{TypeAccess, Access{}, onSystem},
		{TypeDisclosure, Disclosure{}, onSystem},
		{TypeKeyAdd, KeyAdd{}, onSystem},
		{TypeKeyRetire, KeyRetire{}, onSystem},
		{TypeKeyCompromised, KeyCompromised{}, onSystem},
		{TypeRetentionSet, RetentionSet{}, onSystem},
		{TypeRetentionExpired, RetentionExpired{}, onSystem},
		{TypeHoldPlace, HoldPlace{}, onSystem},
		{TypeHoldRelease, HoldRelease{}, onSystem},
		{TypeErasure, Erasure{}, onSystem},
		{TypeConfig, Config{}, onSystem},
	}
}

// Known tells whether the specification has an event of this type.
func (t Type) Known() bool { return lookup(t) != nil }

// Types lists every type of event in the order of the specification.
func Types() []Type {
	var ts []Type
	for _, r := range rows() {
		ts = append(ts, r.name)
	}
	return ts
}

type compiler struct{ objects map[reflect.Type]*object }

func (c *compiler) compile(rt reflect.Type) *object {
	if o := c.objects[rt]; o != nil {
		return o
	}
	o := &object{name: rt.Name(), byName: map[string]int{}}
	c.objects[rt] = o // before its fields: Payload contains Payload
	o.isBlob, o.payload = rt == reflect.TypeFor[Blob](), rt == reflect.TypeFor[Payload]()
	var groups []string
	c.addFields(o, rt, &groups)
	for _, g := range groups {
		name, members, _ := strings.Cut(g, "=")
		mask := uint64(0)
		for m := range strings.SplitSeq(members, "|") {
			mask |= 1 << o.mustIndex(m)
		}
		if name == "either" {
			o.either = append(o.either, mask)
		} else {
			o.together = append(o.together, mask)
		}
	}
	if o.payload {
		o.flat = o.without("parts")
		o.fields[o.mustIndex("parts")].object = o.flat
	}
	return o
}

func (c *compiler) addFields(o *object, rt reflect.Type, groups *[]string) {
	for i := range rt.NumField() {
		sf := rt.Field(i)
		tag := sf.Tag.Get("steno")
		switch {
		case sf.Name == "_":
			*groups = append(*groups, strings.Split(tag, ",")...)
		case sf.Anonymous:
			c.addFields(o, sf.Type, groups)
		default:
			f := c.compileField(sf.Type, tag)
			f.name, _, _ = strings.Cut(sf.Tag.Get("json"), ",")
			f.quoted = `"` + f.name + `":`
			if f.required {
				o.required |= 1 << len(o.fields)
			}
			o.byName[f.name] = len(o.fields)
			o.fields = append(o.fields, f)
		}
	}
}

func (c *compiler) compileField(rt reflect.Type, tag string) field {
	f := field{high: MaxSeq}
	if rt.Kind() == reflect.Slice {
		f.list, rt = true, rt.Elem()
	} else if rt.Kind() == reflect.Pointer {
		rt = rt.Elem()
	}
	switch rt {
	case reflect.TypeFor[ID]():
		f.kind = kindID
	case reflect.TypeFor[UUID]():
		f.kind = kindUUID
	case reflect.TypeFor[Text]():
		f.kind = kindText
	case reflect.TypeFor[Hash]():
		f.kind = kindHash
	case reflect.TypeFor[Time]():
		f.kind = kindTime
	case reflect.TypeFor[uint64]():
		f.kind = kindUint
	case reflect.TypeFor[int64]():
		f.kind = kindInt
	case reflect.TypeFor[bool]():
		f.kind = kindBool
	default:
		f.kind, f.object = kindObject, c.compile(rt)
	}
	f.readTag(tag)
	if f.list && !f.required && f.min == 0 {
		f.min = 1 // an empty optional list is written by leaving it out
	}
	return f
}

func (f *field) readTag(tag string) {
	if tag == "" {
		return
	}
	for part := range strings.SplitSeq(tag, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "required":
			f.required = true
		case "one":
			f.one = strings.Split(value, "|")
		case "min":
			f.min, _ = strconv.Atoi(value)
		case "max":
			f.max, _ = strconv.Atoi(value)
		case "range":
			low, high, _ := strings.Cut(value, "-")
			f.low, _ = strconv.ParseUint(low, 10, 64)
			f.high, _ = strconv.ParseUint(high, 10, 64)
		}
	}
}

func (o *object) mustIndex(member string) int {
	i, ok := o.byName[member]
	if !ok {
		panic(fmt.Sprintf("entry: %s has no member %s", o.name, member))
	}
	return i
}

// without is the object lacking a member, for what may not nest.
func (o *object) without(member string) *object {
	p := &object{name: "Flat" + o.name, byName: map[string]int{}, payload: o.payload}
	drop := o.mustIndex(member)
	for i, f := range o.fields {
		if i != drop {
			p.byName[f.name] = len(p.fields)
			p.fields = append(p.fields, f)
		}
	}
	move := func(mask uint64) uint64 { // bits above the dropped one move down
		low := mask & (1<<drop - 1)
		return low | mask>>(drop+1)<<drop
	}
	p.required = move(o.required)
	for _, m := range o.either {
		p.either = append(p.either, move(m))
	}
	for _, m := range o.together {
		p.together = append(p.together, move(m))
	}
	return p
}

// check applies the rules that need all members of an object to have been seen.
func (o *object) check(seen uint64) (Code, string) {
	if missing := o.required &^ seen; missing != 0 {
		return MissingMember, o.fields[bits.TrailingZeros64(missing)].name
	}
	for _, m := range o.either {
		switch n := bits.OnesCount64(m & seen); {
		case n == 0:
			return MissingMember, o.fields[bits.TrailingZeros64(m)].name
		case n > 1:
			return Conflicting, o.fields[bits.TrailingZeros64(m&seen)].name
		}
	}
	for _, m := range o.together {
		if got := m & seen; got != 0 && got != m {
			return MissingMember, o.fields[bits.TrailingZeros64(m&^seen)].name
		}
	}
	return "", ""
}
