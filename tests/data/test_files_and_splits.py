"""Splits, preprocessing, CSV, text, audio and series loaders."""

from __future__ import annotations

import wave

import numpy as np
import pytest

import ccdl
from ccdl.utils.data import DataLoader, k_fold, stratified_split, train_validation_test_split
from ccdl.utils.data.files import SeriesWindows, load_csv, load_wav, read_lines
from ccdl.utils.data.preprocess import MeanSubtraction, PCAWhitening, Standardize, ZCAWhitening


@pytest.mark.parametrize("labels", [None, [0] * 7 + [1] * 4 + [2] * 12])
@pytest.mark.parametrize("k", [2, 5, 23])
def test_k_fold_uses_every_sample_once(labels, k):
    folds = [(t.tolist(), v.tolist()) for t, v in k_fold(23 if labels is None else labels, k, seed=3)]
    assert len(folds) == k
    assert sorted(i for _, v in folds for i in v) == list(range(23))
    for train, validation in folds:
        assert sorted(train + validation) == list(range(23))
    sizes = [len(v) for _, v in folds]
    assert max(sizes) - min(sizes) <= 1
    if labels is not None and k <= 5:
        for c, total in ((0, 7), (1, 4), (2, 12)):
            counts = [sum(labels[i] == c for i in v) for _, v in folds]
            assert max(counts) - min(counts) <= 1 and sum(counts) == total
    again = [v.tolist() for _, v in k_fold(23 if labels is None else labels, k, seed=3)]
    assert again == [v for _, v in folds]


def test_three_way_split_is_stratified_and_disjoint():
    labels = ccdl.tensor([0] * 60 + [1] * 30 + [2] * 10)
    train, validation, test = train_validation_test_split(labels, 0.25, 0.2, seed=1)
    parts = [p.tolist() for p in (train, validation, test)]
    assert sorted(sum(parts, [])) == list(range(100)) and [len(p) for p in parts] == [60, 20, 20]
    assert np.bincount(labels[test].numpy()).tolist() == [12, 6, 2]


def test_split_errors():
    for call, words in [
        (lambda: list(k_fold(3, 4)), "k is 4"), (lambda: list(k_fold(3, 1)), "k is 1"),
        (lambda: stratified_split([], 0.5, 0), "labels are empty"), (lambda: stratified_split([1], 1.5, 0), "share is 1.5"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def correlated(n=500, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def test_mean_subtraction_and_standardize():
    a = correlated()
    x = ccdl.tensor(a)
    np.testing.assert_allclose(MeanSubtraction().fit(x)(x).numpy(), a - a.mean(0), atol=1e-12)
    scaler = Standardize().fit(x)
    np.testing.assert_allclose(scaler(x).numpy(), (a - a.mean(0)) / a.std(0), atol=1e-12)
    np.testing.assert_allclose(scaler.inverse(scaler(x)).numpy(), a, atol=1e-12)
    other = ccdl.tensor(correlated(seed=1)).reshape(500, 2, 3)
    assert scaler(other).shape == (500, 2, 3)  # fitted on train, applied to any set
    assert Standardize().fit_transform(ccdl.full((3, 2), 5.0)).tolist() == [[0, 0]] * 3


def test_whitening_makes_the_covariance_the_identity():
    a = correlated()
    x = ccdl.tensor(a)
    for t in (PCAWhitening(eps=0), ZCAWhitening(eps=0)):
        z = t.fit_transform(x).numpy()
        np.testing.assert_allclose(z.T @ z / len(z), np.eye(6), atol=1e-10)
    z = ZCAWhitening(eps=0).fit_transform(x).numpy()
    root = np.linalg.cholesky(np.linalg.inv(np.cov(a.T, bias=True)))
    w = (z - 0).T @ (a - a.mean(0)) / len(a)
    np.testing.assert_allclose(w, w.T, atol=1e-10)  # ZCA is the symmetric root
    assert root.shape == (6, 6)
    few = PCAWhitening(components=2).fit(x)
    values = np.sort(np.linalg.eigvalsh(np.cov(a.T, bias=True)))[::-1]
    np.testing.assert_allclose(few.explained_variance.numpy(), values[:2], rtol=1e-10)
    assert few(x[:5]).shape == (5, 2)
    images = ccdl.tensor(a[:, :4]).reshape(500, 1, 2, 2)
    assert ZCAWhitening().fit_transform(images).shape == images.shape


def test_preprocessing_errors():
    with pytest.raises(RuntimeError, match="call fit"):
        Standardize()(ccdl.ones(2, 2))
    for call, words in [
        (lambda: Standardize().fit(ccdl.ones(2, 2, dtype=ccdl.int64)), "floating-point"),
        (lambda: Standardize().fit(ccdl.ones(0, 2)), "no samples"),
        (lambda: Standardize().fit(ccdl.ones(3, 2))(ccdl.ones(3, 4)), "fitted on 2 features"),
        (lambda: PCAWhitening(components=0), "components is 0"), (lambda: ZCAWhitening(eps=-1), "eps is -1"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,kind,b\n1,x,2.5\n3,y,\n")
    data = load_csv(path, "kind", classes=["x", "y"])
    assert data.columns == ["a", "b"] and data.tensors[1].tolist() == [0, 1]
    assert data[0][0].tolist() == [1.0, 2.5] and bool(data[1][0].isnan()[1])
    path.write_text("1;2\n3;4\n")
    data = load_csv(path, -1, header=False, delimiter=";")
    assert data.tensors[0].tolist() == [[1.0], [3.0]] and data.tensors[1].dtype == ccdl.int64
    path.write_text("1;2.5\n3;4\n")
    assert load_csv(path, 1, header=False, delimiter=";").tensors[1].dtype == ccdl.float32
    assert len(load_csv(path, header=False, delimiter=";").tensors) == 1
    for text, options, words in [
        ("", {}, "no rows"), ("a,b\n", {}, "no rows"), ("a,b\n1\n", {}, "row 2 has 1 fields"),
        ("a,b\n1,q\n", {}, "row 2, column 'b': 'q' is not a number"), ("a,b\n1,2\n", {"target": "c"}, "no column 'c'"),
        ("a,b\n1,2\n", {"target": 5}, "target is 5"), ("a,b\n1,q\n", {"target": "b"}, "name its classes="),
        ("a,b\n1,q\n", {"target": "b", "classes": ["r"]}, "row 2: class 'q'"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=words):
            load_csv(path, **options)


def test_lines(tmp_path):
    (tmp_path / "b.txt").write_text("drei\n\nvier\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("eins\nzwei", encoding="utf-8")
    assert read_lines(tmp_path) == ["eins", "zwei", "drei", "vier"]
    assert read_lines(tmp_path / "b.txt", keep_empty=True) == ["drei", "", "vier"]
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ValueError, match="a.txt is not utf-8"):
        read_lines(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no .txt files"):
        read_lines(tmp_path / "none")


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav(tmp_path, width):
    path = tmp_path / "a.wav"
    values = np.array([[0.5, -0.25], [0.0, -1.0], [-0.5, 0.75]])
    whole = np.round(values * 2 ** (8 * width - 1)).astype(np.int64)
    if width == 1:
        raw = (whole + 128).astype(np.uint8).tobytes()
    else:
        raw = b"".join(int(v).to_bytes(width, "little", signed=True) for v in whole.ravel())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(raw)
    samples, rate = load_wav(path)
    assert rate == 8000 and samples.shape == (2, 3)
    np.testing.assert_allclose(samples.numpy(), values.T, atol=1e-6)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="header says|not an uncompressed"):
        load_wav(path)
    path.write_bytes(b"RIFFjunk")
    with pytest.raises(ValueError, match="not an uncompressed WAV"):
        load_wav(path)


def test_series_windows():
    x = ccdl.arange(10.0)
    data = SeriesWindows(x, 4, horizon=2, step=3)
    assert len(data) == 2 and data[1][0].tolist() == [3, 4, 5, 6] and data[-1][1].tolist() == [7, 8]
    labelled = SeriesWindows(ccdl.ones(10, 3), 5, labels=ccdl.arange(10))
    assert len(labelled) == 6 and int(labelled[0][1]) == 4
    assert next(iter(DataLoader(labelled, batch_size=2)))[0].shape == (2, 5, 3)
    assert SeriesWindows(x, 4, horizon=0)[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(IndexError, match="index 2"):
        data[2]
    for call, words in [
        (lambda: SeriesWindows(x, 0), "length 0"), (lambda: SeriesWindows(x, 10), "too short"),
        (lambda: SeriesWindows(ccdl.ones(1, 1, 1), 1), "must be"), (lambda: SeriesWindows(x, 2, labels=x[:3]), "labels must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(("name", "shape", "targets"), [
    ("iris", (150, 4), (150,)), ("wine", (178, 13), (178,)), ("breast_cancer", (569, 30), (569,)), ("digits", (1797, 64), (1797,)),
    ("diabetes", (442, 10), (442,)), ("linnerud", (20, 3), (20, 3))])
def test_tables_of_scikit_learn(name, shape, targets):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from ccdl.train.data import TABLES, load_table

    x, y, names = load_table(name)
    assert tuple(x.shape) == shape and tuple(y.shape) == targets and len(names) == shape[1]
    assert y.dtype == (ccdl.int64 if TABLES[name] else ccdl.float32) and x.isfinite().all()


def test_an_unknown_table_lists_the_known_ones():
    from ccdl.train.data import load_table

    with pytest.raises(ValueError, match="iris.*wine"):
        load_table("irs")
