"""Generalised Pareto, Wishart, LKJ and the transforms made of others: against scipy.stats, integrals, PyTorch."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st

import ccdl
import ccdl.distributions as D

try:
    torch = importlib.import_module("torch")
    TD = importlib.import_module("torch.distributions")
except ImportError:
    torch = None


def t(x):
    return ccdl.tensor(np.asarray(x, dtype=np.float64))


@pytest.mark.parametrize("c", [0.3, 0.0, -0.4, 1.7])
def test_generalized_pareto_against_scipy(c):
    loc, scale = 0.5, 1.3
    mine, theirs = D.GeneralizedPareto(t(loc), t(scale), t(c)), st.genpareto(c, loc, scale)
    x = theirs.ppf(np.linspace(0.01, 0.99, 9))
    np.testing.assert_allclose(mine.log_prob(t(x)).numpy(), theirs.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(mine.cdf(t(x)).numpy(), theirs.cdf(x), rtol=1e-10)
    np.testing.assert_allclose(mine.log_cdf(t(x)).numpy(), theirs.logcdf(x), rtol=1e-8)
    np.testing.assert_allclose(mine.icdf(t(np.linspace(0.01, 0.99, 9))).numpy(), x, rtol=1e-10)
    np.testing.assert_allclose(mine.entropy().item(), theirs.entropy(), rtol=1e-8)
    if c < 0.5:
        np.testing.assert_allclose([mine.mean.item(), mine.variance.item()], theirs.stats(), rtol=1e-10)
    else:
        assert np.isnan(mine.variance.item())
    ccdl.manual_seed(0)
    assert st.kstest(mine.sample((4000,)).numpy(), theirs.cdf).pvalue > 1e-3
    assert mine.expand((2,)).rsample((3,)).shape == (3, 2)
    with pytest.raises(ValueError, match="support"):
        mine.log_prob(t(0.4))
    if c < 0:
        with pytest.raises(ValueError, match="support"):
            mine.log_prob(t(loc - scale / c + 0.1))


def covariance(n=3, seed=0):
    a = np.random.default_rng(seed).standard_normal((n, n))
    return a @ a.T + n * np.eye(n)


def test_wishart_against_scipy_in_all_three_forms():
    v, df = covariance(), 5.3
    theirs = st.wishart(df, v)
    x = theirs.rvs(4, random_state=0)
    for form in ("covariance_matrix", "precision_matrix", "scale_tril"):
        matrix = {"covariance_matrix": v, "precision_matrix": np.linalg.inv(v), "scale_tril": np.linalg.cholesky(v)}[form]
        mine = D.Wishart(t(df), **{form: t(matrix)})
        np.testing.assert_allclose(mine.log_prob(t(x)).numpy(), theirs.logpdf(np.moveaxis(x, 0, -1)), rtol=1e-9)
        np.testing.assert_allclose(mine.mean.numpy(), theirs.mean(), rtol=1e-9)
        np.testing.assert_allclose(mine.variance.numpy(), theirs.var(), rtol=1e-9)
        np.testing.assert_allclose(mine.mode.numpy(), theirs.mode(), rtol=1e-9)
        np.testing.assert_allclose(mine.entropy().item(), theirs.entropy(), rtol=1e-9)
        np.testing.assert_allclose((mine.covariance_matrix @ mine.precision_matrix).numpy(), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(D.ExponentialFamily.entropy(D.Wishart(t(df), t(v))).item(), theirs.entropy(), rtol=1e-8)


def test_wishart_samples_batches_and_gradients():
    v = covariance(2)
    mine = D.Wishart(t([4.0, 6.5]), t(v))
    assert mine.batch_shape == (2,) and mine.event_shape == (2, 2)
    ccdl.manual_seed(1)
    x = mine.sample((20000,))
    spread = mine.variance.sqrt().numpy() / np.sqrt(20000)
    assert (np.abs(x.mean(0).numpy() - mine.mean.numpy()) < 5 * spread).all()
    np.testing.assert_allclose(x.var(0).numpy(), mine.variance.numpy(), rtol=0.1)
    assert mine.expand((3, 2)).rsample((4,)).shape == (4, 3, 2, 2, 2)
    scale = t(np.linalg.cholesky(v)).requires_grad_()
    D.Wishart(t(4.0), scale_tril=scale).rsample((5,)).sum().backward()
    assert scale.grad.abs().sum().item() > 0


@pytest.mark.parametrize("form", [{}, {"covariance_matrix": np.eye(2), "scale_tril": np.eye(2)}])
def test_wishart_takes_exactly_one_form(form):
    with pytest.raises(AssertionError, match="Exactly one"):
        D.Wishart(t(3.0), **{k: t(m) for k, m in form.items()})
    with pytest.raises(ValueError, match="df=1.0"):
        D.Wishart(t(1.0), t(np.eye(3)))
    with pytest.raises(ValueError, match="two-dimensional"):
        D.Wishart(t(3.0), t([1.0]))
    with pytest.raises(ValueError, match="support"):
        D.Wishart(t(5.0), t(np.eye(3))).log_prob(t(-np.eye(3)))


def test_divergence_of_wisharts():
    p, q = D.Wishart(t(5.0), t(covariance(2))), D.Wishart(t(7.5), t(covariance(2, 1)))
    ccdl.manual_seed(2)
    x = p.sample((40000,))
    estimate = (p.log_prob(x) - q.log_prob(x)).numpy()
    exact = D.kl_divergence(p, q).item()
    assert abs(estimate.mean() - exact) < 5 * estimate.std() / 200
    assert D.kl_divergence(p, p).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("eta", [0.6, 1.0, 3.0])
def test_lkj_of_two_dimensions_is_a_beta_of_the_correlation(eta):
    mine = D.LKJCholesky(2, t(eta))

    def density(r):  # of r: the factor [[1, 0], [r, sqrt(1 - r^2)]] has r as its only free entry
        return np.exp(mine.log_prob(t([[1.0, 0.0], [r, np.sqrt(1 - r * r)]])).item())

    total = scipy.integrate.quad(density, -1, 1)[0]
    assert total == pytest.approx(1.0, rel=1e-6)
    ccdl.manual_seed(3)
    r = mine.sample((3000,))[:, 1, 0].numpy()
    assert st.kstest((r + 1) / 2, st.beta(eta, eta).cdf).pvalue > 1e-3


def test_lkj_samples_are_factors_of_correlations():
    mine = D.LKJCholesky(4, t([0.5, 2.0]))
    x = mine.sample((500,))
    assert x.shape == (500, 2, 4, 4) and mine.support.check(x).all()
    c = (x @ x.mT).numpy()
    np.testing.assert_allclose(np.diagonal(c, axis1=-2, axis2=-1), 1.0, rtol=1e-12)
    # every correlation of an LKJ matrix is Beta(a, a) on (-1, 1) with a = concentration + dim / 2 - 1
    for k, eta in enumerate((0.5, 2.0)):
        for i, j in ((1, 0), (3, 1)):
            assert st.kstest((c[:, k, i, j] + 1) / 2, st.beta(eta + 1, eta + 1).cdf).pvalue > 1e-4
    for dim in (1, 2.5):
        with pytest.raises(ValueError, match="dim"):
            D.LKJCholesky(dim)
    assert mine.expand((3, 2)).sample().shape == (3, 2, 4, 4)


def jacobian(f, x):
    return ccdl.autograd.functional.jacobian(f, x).numpy()


def test_transforms_onto_matrices():
    transform = D.CorrCholeskyTransform()
    x = t(np.random.default_rng(0).standard_normal(6))
    y = transform(x)
    assert D.constraints.corr_cholesky.check(y) and transform.forward_shape((2, 6)) == (2, 4, 4)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-9)
    rows, columns = np.tril_indices(4, -1)
    j = jacobian(lambda v: transform(v)[ccdl.tensor(rows), ccdl.tensor(columns)], x)
    np.testing.assert_allclose(transform.log_abs_det_jacobian(x, y).item(), np.linalg.slogdet(j)[1], rtol=1e-9)
    assert transform.inverse_shape((2, 4, 4)) == (2, 6)
    for call in (lambda: transform.forward_shape((2, 5)), lambda: transform.inverse_shape((3, 4))):
        with pytest.raises(ValueError):
            call()
    positive = D.PositiveDefiniteTransform()
    m = t(np.random.default_rng(1).standard_normal((2, 3, 3))).tril()
    assert D.constraints.positive_definite.check(positive(m)).all()
    np.testing.assert_allclose(positive.inv(positive(m)).numpy(), m.numpy(), rtol=1e-9, atol=1e-12)
    for registry in (D.biject_to, D.transform_to):
        assert isinstance(registry(D.constraints.corr_cholesky), D.CorrCholeskyTransform)
        assert isinstance(registry(D.constraints.positive_definite), D.PositiveDefiniteTransform)
        joined = registry(D.constraints.cat([D.constraints.positive, D.constraints.unit_interval], 0, [2, 1]))
        assert joined.codomain.check(joined(t([-1.0, 0.0, 3.0]))).all()
        assert isinstance(registry(D.constraints.stack([D.constraints.real, D.constraints.positive], 0)), D.StackTransform)


def test_transforms_made_of_others():
    x = t(np.random.default_rng(0).standard_normal((2, 5)))
    joined = D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, -2.0)], dim=1, lengths=[2, 3])
    want = np.concatenate([np.exp(x.numpy()[:, :2]), 1 - 2 * x.numpy()[:, 2:]], 1)
    np.testing.assert_allclose(joined(x).numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(joined.inv(joined(x)).numpy(), x.numpy(), rtol=1e-10)
    slope = np.concatenate([x.numpy()[:, :2], np.full((2, 3), np.log(2.0))], 1)
    np.testing.assert_allclose(joined.log_abs_det_jacobian(x, joined(x)).numpy(), slope, rtol=1e-10)
    assert joined.bijective and joined.length == 5
    stacked = D.StackTransform([D.ExpTransform(), D.identity_transform], dim=0)
    np.testing.assert_allclose(stacked(x).numpy(), np.stack([np.exp(x.numpy()[0]), x.numpy()[1]]), rtol=1e-12)
    np.testing.assert_allclose(stacked.inv(stacked(x)).numpy(), x.numpy(), rtol=1e-10)
    for wrong in (joined, stacked):
        with pytest.raises(AssertionError, match="size"):
            wrong(x[:, :3] if wrong is joined else x[:1])
    quantiles = D.CumulativeDistributionTransform(D.Normal(t(0.0), t(2.0)))
    np.testing.assert_allclose(quantiles(x).numpy(), st.norm(0, 2).cdf(x.numpy()), rtol=1e-10)
    np.testing.assert_allclose(quantiles.inv(quantiles(x)).numpy(), x.numpy(), rtol=1e-7)
    np.testing.assert_allclose(quantiles.log_abs_det_jacobian(x, None).numpy(), st.norm(0, 2).logpdf(x.numpy()), rtol=1e-10)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
def test_log_probabilities_and_gradients_against_pytorch():
    v = covariance(4)
    c = np.linalg.cholesky(np.array([[1.0, 0.3, -0.2], [0.3, 1.0, 0.1], [-0.2, 0.1, 1.0]]))
    found = []
    for library, T in ((D, ccdl), (TD, torch)):
        eta = T.tensor(1.7, dtype=T.float64, requires_grad=True)
        df = T.tensor(6.2, dtype=T.float64, requires_grad=True)
        matrix = T.tensor(v.tolist(), dtype=T.float64, requires_grad=True)
        total = library.LKJCholesky(3, eta).log_prob(T.tensor(c.tolist(), dtype=T.float64))
        wishart = library.Wishart(df, matrix)
        total = total + wishart.log_prob(T.tensor((2 * v + np.eye(4)).tolist(), dtype=T.float64)) + wishart.entropy()
        total.backward()
        found.append([total.item(), eta.grad.item(), df.grad.item(), *matrix.grad.reshape(-1).tolist()])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-9)
