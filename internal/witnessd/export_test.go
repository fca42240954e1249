package witnessd

// Verified is what the command evidence says of a piece of evidence.
var Verified = verified
