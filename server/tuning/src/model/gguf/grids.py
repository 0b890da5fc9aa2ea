"""Writes grids.bin: the tables of GGML's I-quants, as the gguf package (0.19) has them. A row of IQ2's
and IQ1's has eight levels of two bits, a row of IQ3's has four of four bits. Needs gguf."""
import pathlib
from gguf.quants import IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS

out = b"".join(bytes.fromhex(kind.grid_hex.decode())
               for kind in (IQ2_XXS, IQ2_XS, IQ2_S, IQ1_S, IQ3_XXS, IQ3_S))
pathlib.Path(__file__).with_name("grids.bin").write_bytes(out)
