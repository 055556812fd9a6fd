// Verifies what a test wrote into a directory, with the implementation of the Go checksum database: signed checkpoints,
// the tree in the tiles, and the proofs.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type files string

func (dir files) read(name string) []byte {
	data, err := os.ReadFile(filepath.Join(string(dir), filepath.FromSlash(name)))
	check(err)
	return data
}

// The layout of C2SP tlog-tiles has no height in the path.
func (dir files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		all = append(all, dir.read(strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return all, nil
}

func (files) Height() int                     { return 8 }
func (files) SaveTiles([]tlog.Tile, [][]byte) {}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (dir files) checkpoint(name string, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open(dir.read(name), note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the origin is %s", lines[0]))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: root}
}

func hashes(encoded []string) (proof []tlog.Hash) {
	for _, text := range encoded {
		hash, err := tlog.ParseHash(text)
		check(err)
		proof = append(proof, hash)
	}
	return proof
}

func main() {
	dir := files(os.Args[1])
	verifier, err := note.NewVerifier(string(dir.read("key")))
	check(err)
	older, tree := dir.checkpoint("older", verifier), dir.checkpoint("checkpoint", verifier)

	var given struct {
		Entries []struct {
			Index int64
			Entry string
			Proof []string
		}
		Consistency []string
	}
	check(json.Unmarshal(dir.read("proofs.json"), &given))
	check(tlog.CheckTree(hashes(given.Consistency), tree.N, tree.Hash, older.N, older.Hash))
	reader := tlog.TileHashReader(tree, dir)
	for _, one := range given.Entries {
		entry, err := base64.StdEncoding.DecodeString(one.Entry)
		check(err)
		leaf := tlog.RecordHash(entry)
		check(tlog.CheckRecord(hashes(one.Proof), tree.N, tree.Hash, one.Index, leaf))
		// The proof that it computes from the tiles, which it verifies against the checkpoint.
		proof, err := tlog.ProveRecord(tree.N, one.Index, reader)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, one.Index, leaf))
	}
	fmt.Printf("%d entries\n", len(given.Entries))
}
