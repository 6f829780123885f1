package text

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// foldASCII replaces Latin letters with accents, ligatures, typographic punctuation and dressed-up digits by their nearest
// ASCII text. Characters of other scripts, and marks that stand on their own, stay.
func foldASCII(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	b.WriteString(s[:i])
	for _, r := range s[i:] {
		switch {
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		case 0xff01 <= r && r <= 0xff5e: // full width
			b.WriteByte(byte(r - 0xff01 + '!'))
		default:
			if to, ok := foldTable[r]; ok {
				b.WriteString(to)
			} else if to, ok := decomposed(r); ok {
				b.WriteString(to)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// decomposed returns the ASCII characters of r's compatibility decomposition, for the blocks of Latin letters and of their
// dressed-up forms.
func decomposed(r rune) (string, bool) {
	switch {
	case 0x00b2 <= r && r <= 0x024f, // Latin-1 to Latin Extended-B
		0x1e00 <= r && r <= 0x1eff, // Latin Extended Additional
		0x2070 <= r && r <= 0x209c, // superscripts, subscripts
		0x2460 <= r && r <= 0x24ea, // enclosed
		0xfb00 <= r && r <= 0xfb06: // ligatures
	default:
		return "", false
	}
	if r < 0x00c0 && r != '²' && r != '³' && r != '¹' {
		return "", false
	}
	var in [utf8.UTFMax]byte
	var out [32]byte
	all := norm.NFKD.Append(out[:0], in[:utf8.EncodeRune(in[:], r)]...)
	n := 0
	for _, c := range all {
		if c < utf8.RuneSelf {
			all[n] = c
			n++
		}
	}
	if n == 0 {
		return "", false
	}
	return string(all[:n]), true
}

var foldTable = makeFoldTable()

func makeFoldTable() map[rune]string {
	table := map[rune]string{}
	for to, from := range foldGroups {
		for _, r := range from {
			table[r] = to
		}
	}
	for _, digits := range [...]rune{'❶', '➀', '➊'} { // each the first of ten
		for d := rune(0); d < 9; d++ {
			table[digits+d] = string('1' + d)
		}
		table[digits+9] = "10"
	}
	return table
}

// foldGroups lists what Unicode does not decompose: by ASCII text, the characters that become it.
var foldGroups = map[string]string{
	"A": "ȺƏᴀⱭⱯ", "a": "ɐəɚⱥᶏᶕₔ", "AA": "Ꜳ", "aa": "ꜳ", "AE": "ÆǢǼᴁ", "ae": "æǣǽᴂ", "AO": "Ꜵ", "ao": "ꜵ",
	"AU": "Ꜷ", "au": "ꜷ", "AV": "ꜸꜺ", "av": "ꜹꜻ", "AY": "Ꜽ", "ay": "ꜽ",
	"B": "ƁƂɃʙᴃ", "b": "ƀƃɓᵬᶀ", "C": "ƇȻʗᴄꜾ", "c": "ƈȼɕↄꜿ",
	"D": "ÐĐƉƊƋᴅᴆꝹ", "d": "ðđƌȡɖɗᵭᶁᶑꝺ", "db": "ȸ",
	"E": "ƎƐɆᴇⱻ", "e": "ǝɇɘɛɜɝɞʚᴈᶒᶓᶔⱸ", "F": "ƑꜰꝻꟻ", "f": "ƒᵮᶂꝼ",
	"G": "ƓǤɢʛꝽꝾ", "g": "ǥɠɡᵷᵹᶃꝿ", "H": "ĦȞʜⱧⱵꟸ", "h": "ħɥɦʮʯⱨⱶ", "HV": "Ƕ", "hv": "ƕ",
	"I": "ƖƗɪᵻꟾ", "i": "ıɨᴉᵼᶖ", "J": "Ɉᴊ", "j": "ȷɉɟʄʝⱼ",
	"K": "ƘᴋⱩꝀꝂꝄ", "k": "ƙʞᶄⱪꝁꝃꝅ", "L": "ŁȽʟᴌⱠⱢꝆꝈꞀ", "l": "łƚȴɫɬɭᶅⱡꝇꝉꞁ", "LL": "Ỻ", "ll": "ỻ", "ls": "ʪ", "lz": "ʫ",
	"M": "ƜᴍⱮꟽꟿ", "m": "ɯɰɱᵯᶆ", "N": "ŊƝȠɴᴎ", "n": "ŋƞȵɲɳᵰᶇ",
	"O": "ØƆƟǾᴏᴐꝊꝌ", "o": "øɔɵǿᴖᴗᶗⱺꝋꝍ", "OE": "Œɶ", "oe": "œᴔ", "OO": "Ꝏ", "oo": "ꝏ", "OU": "Ȣᴕ", "ou": "ȣ",
	"P": "ƤᴘⱣꝐꝒꝔ", "p": "ƥᵱᵽᶈꝑꝓꝕꟼ", "Q": "ɊꝖꝘ", "q": "ĸɋʠꝗꝙ", "qp": "ȹ",
	"R": "ɌʀʁᴙᴚⱤꝚꞂ", "r": "ɍɼɽɾɿᵲᵳᶉꝛꞃ", "S": "ꜱꞄ", "s": "ȿʂᵴᶊꞅẜẝ", "SS": "ẞ", "ss": "ß",
	"T": "ŦƬƮȾᴛꞆ", "t": "ŧƫƭȶʇʈᵵⱦ", "TH": "ÞꝦ", "th": "þᵺꝧ", "TZ": "Ꜩ", "tz": "ꜩ", "tc": "ʨ", "ts": "ʦ", "dz": "ʣʥ",
	"U": "ɄᴜᵾꞸ", "u": "ʉᶙ", "ue": "ᵫ", "V": "ƲɅᴠꝞỼ", "v": "ʋʌᶌⱱⱴꝟỽ", "VY": "Ꝡ", "vy": "ꝡ",
	"W": "ǷᴡⱲ", "w": "ƿʍⱳ", "x": "ᶍ", "Y": "ƳɎʏỾ", "y": "ƴɏʎỿ",
	"Z": "ƵȜȤᴢⱫꝢ", "z": "ƶȝȥɀʐʑᵶᶎⱬꝣ",
	`"`: "«»“”„″‶❝❞❮❯", "'": "‘’‚‛′‵‹›❛❜", "-": "‐‑‒–—⁻₋", "[": "⁅❲", "]": "⁆❳", "(": "⁽₍❨❪", ")": "⁾₎❩❫",
	"((": "⸨", "))": "⸩", "<": "❬❰", ">": "❭❱", "{": "❴", "}": "❵", "+": "⁺₊", "=": "⁼₌", "!!": "‼", "?!": "⁈",
	"!?": "⁉", "??": "⁇", "*": "⁎", "/": "⁄", ",": "⹁", ";": "⁏", "%": "⁒", "^": "‸", "~": "⁓",
	"0": "⓿", "11": "⓫", "12": "⓬", "13": "⓭", "14": "⓮", "15": "⓯", "16": "⓰", "17": "⓱", "18": "⓲", "19": "⓳", "20": "⓴",
	"1": "⓵", "2": "⓶", "3": "⓷", "4": "⓸", "5": "⓹", "6": "⓺", "7": "⓻", "8": "⓼", "9": "⓽", "10": "⓾",
}
