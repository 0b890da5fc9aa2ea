"""References of `cargo xtask oracle gguf`; see README.md.

    python reference.py OUT SDIST
    python reference.py OUT adapters

SDIST is the source package of llama_cpp_python 0.3.36. `adapters` has llama.cpp's converter read the adapters that
the engine wrote to OUT/ours, and prints how many have the same values then. Needs the packages of
requirements.txt.
"""
import json, pathlib, subprocess, sys, tarfile
import gguf
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize
from safetensors.numpy import load_file

here = pathlib.Path(__file__).parent
out, sdist = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
fixtures = here.parents[2] / "server/tuning/tests/fixtures"
# Vocabularies of models that the engine reads.
VOCABULARIES = ["command-r", "deepseek-coder", "deepseek-llm", "gpt-2", "llama-bpe", "llama-spm", "mpt", "phi-3",
                "qwen2", "refact", "starcoder"]
BLOCKS = 256


def unpack():
    """The parts of llama.cpp that are needed: converters, gguf-py, vocabularies."""
    with tarfile.open(sdist) as archive:
        for member in archive:
            path = member.name.partition("/vendor/llama.cpp/")[2]
            if member.isfile() and path.startswith(
                    ("conversion/", "convert_", "gguf-py/gguf/", "models/ggml-vocab-")):
                file = out / "llama.cpp" / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.extractfile(member).read())
    return out / "llama.cpp"


def blocks():
    """Random blocks of every type that gguf dequantises, with finite values, and these values."""
    rng = np.random.default_rng(18)
    folder = out / "blocks"
    folder.mkdir()
    for kind in T:
        size, length = GGML_QUANT_SIZES[kind]
        found, count = [], 0
        try:
            while count < BLOCKS:
                raw = rng.integers(0, 256, (64 * BLOCKS // size + 1, length), dtype=np.uint8)
                with np.errstate(all="ignore"):
                    values = dequantize(raw, kind).astype("<f4").reshape(len(raw), -1)
                # Random scales are seldom those of a model; most of f16's are.
                good = raw[np.isfinite(values).all(axis=1) & (np.abs(values) < 1e30).all(axis=1)]
                found.append(good)
                count += len(good)
        except NotImplementedError:
            continue
        raw = np.concatenate(found)[:BLOCKS]
        (folder / f"{kind.name}.raw").write_bytes(raw.tobytes())
        (folder / f"{kind.name}.f32").write_bytes(dequantize(raw, kind).astype("<f4").tobytes())


def vocabularies(llama_cpp):
    cases = {}
    for name in VOCABULARIES:
        path = llama_cpp / "models" / f"ggml-vocab-{name}.gguf"
        texts = path.with_suffix(".gguf.inp").read_text().split("\n__ggml_vocab_test__\n")
        rows = path.with_suffix(".gguf.out").read_text().split("\n")
        ids = [[int(i) for i in row.split()] for row in rows]
        pairs = [(text, row) for text, row in zip(texts, ids) if text]
        cases[str(path.resolve())] = {"texts": [t for t, _ in pairs], "ids": [row for _, row in pairs]}
    (out / "vocabularies.json").write_text(json.dumps(cases))


def converted(folder):
    """Whether llama.cpp's converter makes the same pairs of an adapter, given the base that it names."""
    config = json.loads((folder / "adapter_config.json").read_text())
    base, file = pathlib.Path(config["base_model_name_or_path"]), folder.with_suffix(".gguf")
    script = out / "llama.cpp" / "convert_lora_to_gguf.py"
    subprocess.run([sys.executable, script, "--base", base, "--outfile", file, folder], check=True,
                   stdout=subprocess.DEVNULL)
    model = json.loads((base / "config.json").read_text())
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[model["model_type"].upper()], model["num_hidden_layers"])
    found = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    wanted = {}
    for name, values in load_file(folder / "adapter_model.safetensors").items():
        module, side = name.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".lora_", 1)
        wanted[f"{names.get_name(module)}.weight.lora_{side.lower()}"] = values
    return found.keys() == wanted.keys() and all(np.array_equal(found[name], wanted[name]) for name in wanted)


def adapters():
    folders = [path for path in (out / "ours").iterdir() if path.is_dir()]
    print(json.dumps({"gguf.adapters.total": len(folders), "gguf.adapters.converted": sum(map(converted, folders))}))


def main():
    if sys.argv[2] == "adapters":
        return adapters()
    out.mkdir(parents=True)
    llama_cpp = unpack()
    vocabularies(llama_cpp)
    blocks()
    script = [sys.executable, fixtures / "gguf_models.py", llama_cpp, out, "18"]
    subprocess.run(script, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
