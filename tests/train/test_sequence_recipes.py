"""The recipes of sequences at small size: falling loss, what they write, the same bits after a resume, errors."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys

import pytest

import ccdl
from ccdl import models, nn
from ccdl.text import CharTokenizer, KneserNey
from ccdl.train import RECIPES, charlm, gpt, hello, recipe, reverse, sentiment
from ccdl.train.corpus import (
    StreamBatches,
    docstrings,
    documentation,
    read_documents,
    split_documents,
    unique_paragraphs,
)

WORDS = ("the cat sat on a mat", "a dog ran to the house", "the house has a red door", "a cat and a dog met")
TEXTS = [" ".join(WORDS[(i * 7 + j * 3) % 4] for j in range(6)) + "." for i in range(12)]


def rows():
    """Texts whose label is their order, invisible to a bag of words, in documents of six."""
    pairs = [("good", "bad"), ("big", "small"), ("red", "blue")]
    found = []
    for i in range(40):
        a, b = pairs[i % 3]
        found.append((f"file{i}", [(f"it was {a} and not {b} {'again' * (i % 2)}".strip(), "first"),
                                   (f"it was {b} and not {a} {'again' * (i % 2)}".strip(), "second")] * 3))
    return found


SMALL = {
    "charlm": (charlm.train, {"documents": TEXTS, "hidden": 24, "length": 16, "batch_size": 4, "order": 3, "epochs": 4}),
    "charlm-rnn": (charlm.train, {"documents": TEXTS, "cell": "rnn", "hidden": 24, "length": 16, "batch_size": 4, "epochs": 3}),
    "charlm-gru": (charlm.train, {"documents": TEXTS, "cell": "gru", "hidden": 24, "length": 16, "batch_size": 4, "epochs": 3}),
    "charlm-transformer": (charlm.train, {"documents": TEXTS, "cell": "transformer", "hidden": 24, "length": 16,
                                          "batch_size": 4, "epochs": 4, "dropout": 0.1}),
    "gpt": (gpt.train, {"documents": TEXTS, "merges": 20, "d_model": 24, "heads": 2, "layers": 1, "length": 16,
                        "batch_size": 4, "epochs": 4, "order": 3}),
    "hello": (hello.train, {"epochs": 4}),
    "reverse": (reverse.train, {"model": "bahdanau", "order": "reverse", "samples": 160, "longest": 4, "hidden": 16,
                                "batch_size": 16, "epochs": 3, "tests": 20}),
    "reverse-transformer": (reverse.train, {"model": "transformer", "order": "copy", "samples": 160, "longest": 4,
                                            "hidden": 16, "batch_size": 16, "epochs": 3, "tests": 20}),
    "sentiment": (sentiment.train, {"documents": rows(), "embed": 12, "hidden": 12, "length": 8, "epochs": 6,
                                    "dropout": 0.1, "lr": 1e-2}),
    "sentiment-mean": (sentiment.train, {"documents": rows(), "model": "mean", "embed": 12, "hidden": 0, "length": 8,
                                         "epochs": 3, "no_baseline": True}),
}


def go(name, out, **more):
    function, options = SMALL[name]
    if name == "sentiment":
        pytest.importorskip("sklearn", reason="the extra package is not installed")
    return function(out=str(out), quiet=True, say=lambda line: None, **{**options, **more})


def history(result):
    rows = result["history"]
    return next(iter(rows.values())) if isinstance(rows, dict) else rows


def state(folder):
    for where, _, files in os.walk(folder):
        if "last.safetensors" in files:
            return ccdl.load(os.path.join(where, "last.safetensors"))
    raise AssertionError(f"no last.safetensors below {folder}")


@pytest.mark.parametrize("name", SMALL)
def test_loss_falls_and_a_resumed_run_ends_with_the_same_bits(name, tmp_path):
    whole = go(name, tmp_path / "whole")
    table = history(whole)
    epochs = SMALL[name][1]["epochs"]
    assert whole["finished"] and len(table) == epochs
    assert table[-1]["train_loss"] < table[0]["train_loss"] and all(math.isfinite(r["val_loss"]) for r in table)
    assert not go(name, tmp_path / "part", stop_after=epochs // 2)["finished"]
    resumed = go(name, tmp_path / "part", resume=True)
    assert history(resumed) == table
    a, b = state(tmp_path / "whole")["model"], state(tmp_path / "part")["model"]
    assert a.keys() == b.keys() and all(bool((a[k] == b[k]).all()) for k in a)
    with pytest.raises(ValueError, match="asked for are"):
        go(name, tmp_path / "part", resume=True, lr=0.5)
    files = {os.path.basename(f) for f in whole["files"]}
    assert {"curves.csv", "best.safetensors"} <= files
    with open(next(f for f in whole["files"] if f.endswith("curves.csv"))) as file:
        assert len(list(csv.DictReader(file))) == epochs


def test_same_seed_same_run(tmp_path):
    a, b, c = (go("charlm", tmp_path / str(i), seed=s) for i, s in enumerate((3, 3, 4)))
    assert a["bits"] == b["bits"] != c["bits"] and a["samples"] == b["samples"]


def test_charlm_reports(tmp_path):
    lines = []
    result = charlm.train(out=str(tmp_path), say=lines.append, **{**SMALL["charlm"][1], "epochs": 30, "lr": 1e-2})
    assert result["bits"] < 2.0 and result["baseline_bits"] < 2.0 and len(result["samples"]) == 3
    assert result["bits"] < math.log2(len(result["tokenizer"]))
    with open(tmp_path / "result.json") as file:
        assert json.load(file)["bits"] == result["bits"]
    assert any("Kneser-Ney 3-grams" in line for line in lines) and any(line.startswith("epoch") for line in lines)
    best = ccdl.load(str(tmp_path / "best.safetensors"))
    assert all(bool((v == best[k]).all()) for k, v in result["model"].state_dict().items())


def test_bits_per_token_is_the_chain_rule():
    """Recurrent: the whole document at once. Transformer: windows that overlap by half, each token scored once."""
    ccdl.manual_seed(0)
    document = ccdl.randint(0, 9, (37,)).tolist()
    tokens = ccdl.tensor([document])
    model = models.CharRNN(9, 8, cell="gru", embed_dim=4)
    want = -float(models.sequence_log_prob(model, tokens).detach().item()) / 36 / math.log(2)
    assert charlm.bits_per_token(model, [document]) == pytest.approx(want, rel=1e-5)
    assert charlm._recurrent_loss(model, tokens, chunk=5) / 36 / math.log(2) == pytest.approx(want, rel=1e-5)
    wide = models.GPT(9, 64, 8, 2, 1, positions="rotary").eval()
    want = -float(models.sequence_log_prob(wide, tokens).detach().item()) / 36 / math.log(2)
    assert charlm.bits_per_token(wide, [document]) == pytest.approx(want, rel=1e-5)
    narrow = models.GPT(9, 10, 8, 2, 1, positions="rotary").eval()
    narrow.load_state_dict(wide.state_dict())
    total = 0.0
    for t in range(1, 37):
        begin = 0 if t <= 10 else 5 * math.ceil((t - 10) / 5)
        logits = wide(tokens[:, begin:t]).detach()[0, -1]
        total -= float(ccdl.log_softmax(logits, -1)[document[t]].item())
    assert charlm.bits_per_token(narrow, [document]) == pytest.approx(total / 36 / math.log(2), rel=1e-5)
    with pytest.raises(ValueError, match="no token"):
        charlm.bits_per_token(model, [[1], []])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_state_goes_on_from_window_to_window(cell):
    """Window by window the losses are those of whole streams; the gradient stays within its window."""
    ccdl.manual_seed(0)
    model = models.CharRNN(7, 6, cell=cell, embed_dim=4).eval()
    batches = StreamBatches([ccdl.randint(0, 7, (61,)).tolist()], 2, 5, seed=0)
    forward = charlm.language_forward(model)
    found = [forward(model, batch)[0] for batch in batches]
    x, y = (ccdl.cat([b[i] for b in batches], 1) for i in (0, 1))
    logits = model(x)[0]
    want = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    assert float(sum(found).detach()) / len(found) == pytest.approx(float(want.detach()), rel=1e-5)
    again = [forward(model, batch)[0] for batch in batches]
    assert [float(v.detach()) for v in again] == [float(v.detach()) for v in found]
    found[-1].backward()
    last = set(x[:, -5:].flatten().tolist())
    moved = {i for i, row in enumerate(model.embedding.weight.grad.abs().sum(1).tolist()) if row}
    assert moved <= last


def test_gpt_reports(tmp_path):
    result = go("gpt", tmp_path)
    assert result["cache_difference"] < 1e-4
    assert result["perplexity"] > 1 and 0 < result["bits"] < 8 and len(result["samples"]) == 3
    assert result["model"].head.weight is result["model"].token.weight


def test_hello_spells(tmp_path):
    for seed in range(3):
        result = hello.train(out=str(tmp_path / str(seed)), seed=seed, say=lambda line: None)
        assert result["spelled"] == "ello" and len(result["states"]) == 4
    with pytest.raises(ValueError, match="at least two letters"):
        hello.train(word="a", out=str(tmp_path))


def test_order_is_learnt_where_a_bag_of_words_is_blind(tmp_path):
    result = go("sentiment", tmp_path, epochs=12)
    assert result["test_accuracy"] > 0.9 and result["baseline_accuracy"] < 0.7


def test_reverse_writes_the_alignment(tmp_path):
    result = go("reverse", tmp_path)
    assert set(result["exact"]) == {"bahdanau-reverse"} and 0 <= result["exact"]["bahdanau-reverse"] <= 1
    with open(tmp_path / "bahdanau-reverse" / "alignment.csv") as file:
        table = list(csv.reader(file))
    assert all(sum(map(float, row[1:])) == pytest.approx(1.0, abs=1e-4) for row in table[1:])
    strings = reverse._strings(500, 5, 1)
    assert len(set(strings)) == 500 and {len(s) for s in strings} == {3, 4, 5}
    with pytest.raises(ValueError, match="too few strings"):
        reverse.train(longest=2, out=str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bahdanau", "transformer"])
def test_attention_reverses_unseen_strings(name, tmp_path):
    """000's task at a length where it takes half a minute; the figure of the full run is 99 %."""
    result = reverse.train(model=name, order="reverse", samples=6000, longest=6, hidden=64, epochs=10, lr=4e-3,
                           tests=300, out=str(tmp_path), quiet=True, say=lambda line: None)
    assert result["exact"][f"{name}-reverse"] >= 0.95


def test_corpora():
    texts = documentation()
    assert len(texts) > 40 and sum(map(len, texts)) > 200_000
    paragraphs = ["".join(p.split()) for t in texts for p in t.split("\n\n")]
    assert len(set(paragraphs)) == len(paragraphs)
    assert unique_paragraphs(["a\n\nb", "b\n\nc d\n\ne", "e"]) == ["a", "b\n\nc d\n\ne"]
    some = docstrings(30)
    assert len(some) == 30 and {k for _, r in some for _, k in r} == {"module", "class", "function"}


def test_documents_are_split_whole():
    documents = [f"{i}" * (5 + i % 7) for i in range(60)]
    parts = split_documents(documents, 1)
    assert sorted(d for p in parts for d in p) == sorted(documents)
    total = sum(map(len, documents))
    for part in parts[1:]:
        assert 0.05 * total < sum(map(len, part)) < 0.2 * total
    assert split_documents(documents, 1) == parts != split_documents(documents, 2)
    tiny = split_documents(["aaaa", "b", "c"], 0)
    assert all(tiny) and len(tiny[0]) == 1


def test_files_as_data(tmp_path):
    (tmp_path / "text").mkdir()
    for i in range(4):
        (tmp_path / "text" / f"{i}.txt").write_text(TEXTS[i])
    assert read_documents(tmp_path / "text") == TEXTS[:4]
    (tmp_path / "one.txt").write_text("\n\n".join(TEXTS * 3))
    assert "\n\n".join(read_documents(tmp_path / "one.txt")) == "\n\n".join(TEXTS * 3)
    (tmp_path / "short.txt").write_text("nothing")
    with pytest.raises(ValueError, match="at least 3"):
        read_documents(tmp_path / "short.txt")
    (tmp_path / "labels.tsv").write_text("pos\tgood film\nneg\tbad film\n")
    assert sentiment._read(tmp_path / "labels.tsv") == [("1", [("good film", "pos")]), ("2", [("bad film", "neg")])]
    (tmp_path / "wrong.tsv").write_text("pos\tgood film\nbroken\n")
    with pytest.raises(ValueError, match="line 2"):
        sentiment._read(tmp_path / "wrong.tsv")
    with pytest.raises(ValueError, match="at least two"):
        sentiment.train(documents=[(str(i), [("a b c", "x")]) for i in range(9)], out=str(tmp_path), say=lambda line: None)


def test_streams_go_on_from_batch_to_batch():
    documents = [[i] * 10 for i in range(5)]
    batches = StreamBatches(documents, 3, 4, seed=1)
    found = list(batches)
    assert len(found) == len(batches) == 4 and [f for _, _, f in found] == [True, False, False, False]
    text = [int(v) for b in range(3) for x, _, _ in found for v in x[b]]
    after = [int(v) for b in range(3) for _, y, _ in found for v in y[b]]
    assert text[1:] == after[:-1] and len(text) == 48
    batches.set_epoch(1)
    assert [x.tolist() for x, _, _ in batches] != [x.tolist() for x, _, _ in found]
    with pytest.raises(ValueError, match="less than one window"):
        StreamBatches([[1, 2]], 1, 4, seed=0)


def test_kneser_ney_on_the_documentation():
    parts = split_documents(documentation(), 0)
    tokenizer = CharTokenizer.train(parts[0])
    learn, test = ([tokenizer.encode(t) for t in p] for p in (parts[0][:10], parts[2][:1]))
    bits = [KneserNey(n, len(tokenizer)).fit(learn).bits(test) for n in (1, 3, 5)]
    assert bits[0] > bits[1] > bits[2] > 1.5


def test_command(tmp_path):
    def command(*arguments):
        return subprocess.run([sys.executable, "-m", "ccdl", "train", *map(str, arguments)], capture_output=True, text=True)

    done = command("hello", "--out", tmp_path, "--epochs", 4, "--threads", 1)
    assert done.returncode == 0 and "it spells" in done.stdout, done.stderr
    done = command("nothing")
    assert done.returncode == 2 and all(name in done.stderr for name in RECIPES)
    with pytest.raises(ValueError, match="charlm, .*reverse"):
        recipe("nothing")
    done = command("charlm", "--data", tmp_path / "missing.txt", "--out", tmp_path / "x")
    assert done.returncode == 1 and "missing.txt" in done.stderr and "Traceback" not in done.stderr
