package document

// ParseDatetime reads a datetime in one of the accepted spellings: RFC 3339, also with a blank instead of T, with UTC
// instead of Z (after an optional blank), with an offset without colon or of hours only, without zone (UTC then), without
// zone and seconds, or a date alone. micros counts from the epoch; what is finer than a microsecond is cut off.
func ParseDatetime(s string) (micros int64, ok bool) {
	year, ok1 := fixed(s, 0, 4)
	month, ok2 := fixed(s, 5, 2)
	day, ok3 := fixed(s, 8, 2)
	if !ok1 || !ok2 || !ok3 || s[4] != '-' || s[7] != '-' || month < 1 || month > 12 ||
		day < 1 || day > daysOf(year, month) {
		return 0, false
	}
	seconds := int64(days(year, month, day)) * 86400
	if len(s) == 10 {
		return seconds * 1e6, true
	}
	hour, ok1 := fixed(s, 11, 2)
	minute, ok2 := fixed(s, 14, 2)
	if !ok1 || !ok2 || s[10] != 'T' && s[10] != 't' && s[10] != ' ' || s[13] != ':' || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds += int64(hour*3600 + minute*60)
	if len(s) == 16 {
		return seconds * 1e6, true
	}
	second, ok1 := fixed(s, 17, 2)
	if !ok1 || s[16] != ':' || second > 60 { // 60: a leap second
		return 0, false
	}
	seconds += int64(second)
	fraction, rest, ok1 := cutFraction(s[19:])
	offset, ok2 := parseZone(rest)
	if !ok1 || !ok2 {
		return 0, false
	}
	return (seconds-int64(offset))*1e6 + int64(fraction), true
}

// fixed reads n decimal digits at s[i].
func fixed(s string, i, n int) (v int, ok bool) {
	if len(s) < i+n {
		return 0, false
	}
	for _, c := range []byte(s[i : i+n]) {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + int(c)
	}
	return v, true
}

// cutFraction reads an optional fraction of a second, in microseconds.
func cutFraction(s string) (micros int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	s = s[1:]
	n, unit := 0, 100000
	for ; n < len(s) && '0' <= s[n] && s[n] <= '9'; n++ {
		micros += int(s[n]-'0') * unit
		unit /= 10
	}
	return micros, s[n:], n > 0
}

// parseZone reads an optional zone and returns its seconds east of UTC.
func parseZone(s string) (east int, ok bool) {
	switch s {
	case "", "Z", "z", "UTC", " UTC":
		return 0, true
	}
	if s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok1 := fixed(s, 1, 2)
	minute, ok2 := 0, true
	switch {
	case len(s) == 3:
	case len(s) == 5:
		minute, ok2 = fixed(s, 3, 2)
	case len(s) == 6 && s[3] == ':':
		minute, ok2 = fixed(s, 4, 2)
	default:
		return 0, false
	}
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	east = hour*3600 + minute*60
	if s[0] == '-' {
		east = -east
	}
	return east, true
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysOf(year, month int) int {
	switch month {
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// days counts from 1970-01-01 in the Gregorian calendar. Counting the year from March puts the leap day at its end.
func days(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + floorDiv(year, 4) - floorDiv(year, 100) + floorDiv(year, 400) + (153*(month-3)+2)/5 + day - 719469
}

func floorDiv(a, b int) int {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}
