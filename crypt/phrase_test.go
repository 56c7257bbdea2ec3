package crypt

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPhrasesGiveTheirRootHoweverTyped(t *testing.T) {
	words, err := NewPhrase()
	if err != nil || len(strings.Fields(words)) != PhraseWords {
		t.Fatalf("%q, %v", words, err)
	}
	want, err := RootFromPhrase(words)
	if err != nil {
		t.Fatal(err)
	}
	for _, typed := range []string{strings.ToUpper(words), "\n " + strings.ReplaceAll(words, " ", "\r\n\t") + "\n"} {
		if r, err := RootFromPhrase(typed); err != nil || r.Owner() != want.Owner() || r.WrapKey() != want.WrapKey() {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestEntropyComesBackFromItsWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entropy := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "entropy"))
		words, err := phraseOf(entropy)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := entropyOf(words); err != nil || got != entropy {
			t.Fatalf("%x became %x, %v", entropy, got, err)
		}
	})
}

func TestWrongPhrasesSayWhatIsWrong(t *testing.T) {
	words, _ := phraseOf([32]byte{1, 2, 3})
	list := strings.Fields(words)
	with := func(i int, w string) string {
		l := append([]string{}, list...)
		l[i] = w
		return strings.Join(l, " ")
	}
	swapped := with(0, list[1])
	for typed, want := range map[string]string{
		"":                               "it has 0 words, not 24",
		strings.Join(list[:23], " "):     "it has 23 words, not 24",
		words + " zoo":                   "it has 25 words, not 24",
		with(4, "hammock"):               `word 5, "hammock", is not in the list of words`,
		with(0, "abandom"):               `word 1, "abandom", is not in the list of words; did you mean "abandon"`,
		with(1, strings.Repeat("ü", 99)): `word 2, "` + strings.Repeat("ü", 16) + `...", is not in the list`,
		swapped:                          "the checksum is wrong",
		strings.Repeat("a ", 3000):       "much too long",
	} {
		_, err := RootFromPhrase(typed)
		if !errors.Is(err, ErrPhrase) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, not %s", typed, err, want)
		}
	}
}

func FuzzPhrase(f *testing.F) {
	words, _ := phraseOf([32]byte{1})
	f.Add(words)
	f.Add(strings.Repeat("abandon ", 24))
	f.Fuzz(func(t *testing.T, typed string) {
		entropy, err := entropyOf(typed)
		if err != nil {
			if !errors.Is(err, ErrPhrase) {
				t.Fatal(err)
			}
			return
		}
		again, err := phraseOf(entropy)
		if err != nil || again != strings.Join(strings.Fields(strings.ToLower(typed)), " ") {
			t.Fatalf("%q became %q, %v", typed, again, err)
		}
	})
}
