package payload

import (
	"bytes"
	"unicode/utf8"
)

// pieceSize is the length of a segment where the bytes have no structure of their own.
const pieceSize = 4096

// Split cuts b, without copying, into segments whose concatenation is b: JSON into scalars and the text between them, text
// into lines, anything else, and what would give more than MaxSegments, into pieces of 4 KiB. It returns the media that
// b really is: JSON that does not lex, and text that is not UTF-8, are binary. classify is asked for the class of each
// segment. b should not be longer than MaxPayload: Seal refuses it.
func Split(media Media, b []byte, classify func(i int, seg []byte) Class) (Media, []Segment) {
	var ends []int
	ok := false
	switch media {
	case JSON:
		ends, ok = jsonEnds(b)
		if !ok {
			media = Binary
		}
	case Text:
		if ok = utf8.Valid(b); ok {
			ends = lineEnds(b)
		} else {
			media = Binary
		}
	default:
		media = Binary
	}
	if !ok || len(ends) == 0 || len(ends) > MaxSegments {
		return media, cutEvery(b, pieceSize, classify)
	}
	segs := make([]Segment, len(ends))
	start := 0
	for i, end := range ends {
		segs[i].Bytes = b[start:end:end]
		segs[i].Class = classify(i, segs[i].Bytes)
		start = end
	}
	return media, segs
}

// trueMedia is the media that Split would return.
func trueMedia(media Media, b []byte) Media {
	switch media {
	case JSON:
		if _, ok := jsonEnds(b); ok {
			return JSON
		}
	case Text:
		if utf8.Valid(b) {
			return Text
		}
	}
	return Binary
}

func cutEvery(b []byte, size int, classify func(i int, seg []byte) Class) []Segment {
	if len(b) == 0 {
		return []Segment{{Class: classify(0, b), Bytes: b}}
	}
	segs := make([]Segment, 0, (len(b)+size-1)/size)
	for len(b) > 0 {
		n := min(size, len(b))
		segs = append(segs, Segment{Class: classify(len(segs), b[:n]), Bytes: b[:n:n]})
		b = b[n:]
	}
	return segs
}

// lineEnds returns the end of each line, its LF included. It stops when there are too many.
func lineEnds(b []byte) []int {
	var ends []int
	for at := 0; at < len(b) && len(ends) <= MaxSegments; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			i = len(b) - at - 1
		}
		at += i + 1
		ends = append(ends, at)
	}
	return ends
}
