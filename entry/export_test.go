package entry

// Sample is a new struct of the type's Go form, for tests that fill one of each.
func Sample(t Type) any { return lookup(t).sample() }

// OfSystem tells whether only the log writes the type.
func OfSystem(t Type) bool { return lookup(t).place == onSystem }
