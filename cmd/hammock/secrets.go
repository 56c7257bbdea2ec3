package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hammockfs/hammock/crypt"
)

// passphraseFlags are how a command comes by the passphrase of the keyring.
type passphraseFlags struct {
	file  string
	none  bool
	quiet bool // say nothing about none
}

func (p *passphraseFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.file, "passphrase-file", os.Getenv("HAMMOCK_PASSPHRASE_FILE"),
		"file with the passphrase of the keyring (or HAMMOCK_PASSPHRASE_FILE)")
}

// addNew adds what only a command that makes a keyring takes.
func (p *passphraseFlags) addNew(cmd *cobra.Command) {
	p.add(cmd)
	cmd.Flags().BoolVar(&p.none, "no-passphrase", false,
		"keep the keyring without a passphrase: whoever can read the state folder can read the volume")
}

// fresh asks for the passphrase of a new keyring; nil means none.
func (p *passphraseFlags) fresh() ([]byte, error) {
	if p.none && p.quiet {
		return nil, nil
	}
	if p.none {
		fmt.Fprintln(os.Stderr, "No passphrase: whoever can read the state folder can read the volume. Use this only where the disk itself is encrypted, or for a trial.")
		return nil, nil
	}
	if p.file != "" {
		return readPassphrase(p.file)
	}
	first, err := askSecret("New passphrase for this machine's keyring: ")
	if err != nil {
		return nil, err
	}
	if len(first) == 0 {
		return nil, errors.New("an empty passphrase protects nothing: choose one, or say --no-passphrase")
	}
	second, err := askSecret("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passphrases differ; nothing was changed")
	}
	return first, nil
}

// load opens the keyring of a state.
func (p *passphraseFlags) load(st state) (*crypt.Keyring, error) {
	if err := st.need(); err != nil {
		return nil, err
	}
	needs, err := crypt.KeyringNeedsPassphrase(st.fs, st.keyring())
	if err != nil {
		return nil, err
	}
	var pass []byte
	if needs {
		if pass, err = p.existing(); err != nil {
			return nil, err
		}
	}
	k, err := crypt.LoadKeyring(st.fs, st.keyring(), pass)
	return k, passphraseError(err)
}

func (p *passphraseFlags) existing() ([]byte, error) {
	if secret, passed, err := passedSecret(); passed {
		return secret, err
	}
	if p.file != "" {
		return readPassphrase(p.file)
	}
	return askSecret("Passphrase: ")
}

func readPassphrase(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, fmt.Errorf("the passphrase file %s is empty", path)
	}
	return b, nil
}

func askSecret(prompt string) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, errors.New("there is no terminal to ask for the passphrase: give --passphrase-file or HAMMOCK_PASSPHRASE_FILE, in /etc/fstab the option passphrase_file=FILE")
	}
	fmt.Fprint(os.Stderr, prompt)
	b, err := term.ReadPassword(fd)
	fmt.Fprintln(os.Stderr)
	return b, err
}

// readPhrase gets the 24 words of an owner from a file or the terminal.
func readPhrase(file string) (*crypt.Root, error) {
	var words []byte
	var err error
	if file != "" {
		words, err = os.ReadFile(file)
	} else {
		words, err = askSecret("The 24 words: ")
	}
	if err != nil {
		return nil, fmt.Errorf("read the 24 words: %w", err)
	}
	defer clear(words)
	return crypt.RootFromPhrase(strings.TrimSpace(string(words)))
}

// printPhrase shows a new owner's words, the only time they are ever shown.
func printPhrase(words string) {
	fmt.Println("These 24 words are the key to everything in this volume. Write them on paper, in order, now:")
	fmt.Println()
	list := strings.Fields(words)
	for i := 0; i < len(list); i += 6 {
		fmt.Println("    " + strings.Join(list[i:min(i+6, len(list))], " "))
	}
	fmt.Println()
	fmt.Println("They are stored nowhere and shown only this once. With them and the address of one member of the")
	fmt.Println("swarm, a bare machine brings the volume back. Without them, losing this machine loses the volume.")
}

// check asks for the passphrase on the terminal if it is needed and comes from
// nowhere else, tries it, and returns it to be handed on; nil if there is
// nothing to hand on.
func (p *passphraseFlags) check(st state) ([]byte, error) {
	needs, err := crypt.KeyringNeedsPassphrase(st.fs, st.keyring())
	if err != nil || !needs || p.file != "" {
		return nil, err
	}
	secret, err := askSecret("Passphrase: ")
	if err != nil {
		return nil, err
	}
	if _, err := crypt.LoadKeyring(st.fs, st.keyring(), secret); err != nil {
		return nil, passphraseError(err)
	}
	return secret, nil
}

func passphraseError(err error) error {
	if errors.Is(err, crypt.ErrPassphrase) {
		return errors.New("the passphrase is wrong: nothing was opened, nothing is lost. Try again; if it is forgotten, the 24 words bring the volume back (`hammock recover`)")
	}
	return err
}
