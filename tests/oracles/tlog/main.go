// Command tlog checks a log directory and proofs with golang.org/x/mod/sumdb, which fedseal did
// not write: the checkpoint's signature (note), every tile against the root (tlog), every entry
// against its leaf hash, and given inclusion and consistency proofs.
//
//	tlog LOG_DIR VERIFIER_KEY PROOFS_JSON
//
// It exits with 1 and names what is wrong; a log or proof list that is empty is wrong, too.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index  int64            `json:"index"`
	Size   int64            `json:"size"`
	Leaf   tlog.Hash        `json:"leaf"`
	Root   tlog.Hash        `json:"root"`
	Hashes tlog.RecordProof `json:"hashes"`
}

type consistency struct {
	Old     int64          `json:"old"`
	OldRoot tlog.Hash      `json:"old_root"`
	New     int64          `json:"new"`
	NewRoot tlog.Hash      `json:"new_root"`
	Hashes  tlog.TreeProof `json:"hashes"`
}

type proofs struct {
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}

// directory reads tiles in the tlog-tiles layout: as Go's paths, without the height.
type directory string

func (d directory) Height() int { return 8 }

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		path := strings.Replace(t.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(d), path))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, "tlog oracle: "+format+"\n", args...)
	os.Exit(1)
}

func check(err error, what string, args ...interface{}) {
	if err != nil {
		fail("%s: %v", fmt.Sprintf(what, args...), err)
	}
}

func main() {
	if len(os.Args) != 4 {
		fail("usage: tlog LOG_DIR VERIFIER_KEY PROOFS_JSON")
	}
	dir, key, proofsPath := os.Args[1], os.Args[2], os.Args[3]
	tree := readCheckpoint(dir, key)
	if tree.N == 0 {
		fail("the log is empty")
	}
	reader := tlog.TileHashReader(tree, directory(dir))
	entries := checkEntries(dir, tree, reader)
	in, cons := checkProofs(proofsPath, tree, reader)
	fmt.Printf("ok: %d entries, %d inclusion proofs, %d consistency proofs\n", entries, in, cons)
}

func readCheckpoint(dir, key string) tlog.Tree {
	data, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	check(err, "checkpoint")
	verifier, err := note.NewVerifier(key)
	check(err, "verifier key")
	opened, err := note.Open(data, note.VerifierList(verifier))
	check(err, "checkpoint")
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		fail("checkpoint: unexpected text %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "checkpoint size")
	root, err := tlog.ParseHash(lines[2])
	check(err, "checkpoint root")
	return tlog.Tree{N: size, Hash: root}
}

// checkEntries compares every entry with its leaf hash; the reader has verified that hash
// against the root.
func checkEntries(dir string, tree tlog.Tree, reader tlog.HashReader) int64 {
	var n int64
	for n < tree.N {
		t := tlog.Tile{H: 8, L: 0, N: n / 256, W: 256}
		if tree.N-n < 256 {
			t.W = int(tree.N - n)
		}
		path := strings.Replace(t.Path(), "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(dir, path))
		check(err, "entries")
		for i := 0; i < t.W; i++ {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				fail("%s: cut off inside entry %d", path, n)
			}
			length := int(binary.BigEndian.Uint16(data))
			entry := data[2 : 2+length]
			data = data[2+length:]
			hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			check(err, "leaf hash %d", n)
			if tlog.RecordHash(entry) != hashes[0] {
				fail("%s: entry %d does not hash to its leaf", path, n)
			}
			n++
		}
		if len(data) != 0 {
			fail("%s: %d bytes too many", path, len(data))
		}
	}
	return n
}

func checkProofs(path string, tree tlog.Tree, reader tlog.HashReader) (int, int) {
	data, err := os.ReadFile(path)
	check(err, "proofs")
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var all proofs
	check(decoder.Decode(&all), "proofs")
	if len(all.Inclusion) == 0 || len(all.Consistency) == 0 {
		fail("no proofs to check")
	}
	for _, p := range all.Inclusion {
		err := tlog.CheckRecord(p.Hashes, p.Size, p.Root, p.Index, p.Leaf)
		check(err, "inclusion of %d in %d", p.Index, p.Size)
		// The same proof, made here from the tiles.
		if p.Size == tree.N {
			own, err := tlog.ProveRecord(p.Size, p.Index, reader)
			check(err, "proving %d in %d", p.Index, p.Size)
			if fmt.Sprint(own) != fmt.Sprint(p.Hashes) {
				fail("inclusion of %d in %d: another proof than Go's", p.Index, p.Size)
			}
		}
		for i := range p.Hashes {
			p.Hashes[i][i%32] ^= 1
			if tlog.CheckRecord(p.Hashes, p.Size, p.Root, p.Index, p.Leaf) == nil {
				fail("inclusion of %d in %d: a flipped bit went unseen", p.Index, p.Size)
			}
			p.Hashes[i][i%32] ^= 1
		}
	}
	for _, p := range all.Consistency {
		err := tlog.CheckTree(p.Hashes, p.New, p.NewRoot, p.Old, p.OldRoot)
		check(err, "consistency of %d and %d", p.Old, p.New)
	}
	return len(all.Inclusion), len(all.Consistency)
}
