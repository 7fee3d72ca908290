"""Distributions against scipy.stats (values and samples) and PyTorch (values, gradients, divergences)."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
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


def numpy(x):
    return x.detach().numpy()


# name: (arguments, scipy's frozen distribution); arguments are float64
CONTINUOUS = {
    "Normal": ((0.3, 1.7), lambda a, b: st.norm(a, b)),
    "Laplace": ((-0.5, 2.0), lambda a, b: st.laplace(a, b)),
    "Cauchy": ((0.5, 0.8), lambda a, b: st.cauchy(a, b)),
    "Gumbel": ((0.2, 1.3), lambda a, b: st.gumbel_r(a, b)),
    "Uniform": ((-1.0, 3.0), lambda a, b: st.uniform(a, b - a)),
    "Exponential": ((2.5,), lambda a: st.expon(scale=1 / a)),
    "Gamma": ((2.3, 1.4), lambda a, b: st.gamma(a, scale=1 / b)),
    "Chi2": ((3.5,), lambda a: st.chi2(a)),
    "InverseGamma": ((3.4, 1.6), lambda a, b: st.invgamma(a, scale=b)),
    "StudentT": ((5.0, 0.3, 1.2), lambda a, b, c: st.t(a, b, c)),
    "FisherSnedecor": ((5.0, 7.0), lambda a, b: st.f(a, b)),
    "Beta": ((2.2, 0.7), lambda a, b: st.beta(a, b)),
    "LogNormal": ((0.2, 0.6), lambda a, b: st.lognorm(b, scale=math.exp(a))),
    "HalfNormal": ((1.4,), lambda a: st.halfnorm(scale=a)),
    "HalfCauchy": ((1.4,), lambda a: st.halfcauchy(scale=a)),
    "Pareto": ((1.2, 4.5), lambda a, b: st.pareto(b, scale=a)),
    "Weibull": ((1.3, 2.2), lambda a, b: st.weibull_min(b, scale=a)),
}
DISCRETE = {
    "Bernoulli": ((0.3,), lambda a: st.bernoulli(a)),
    "Binomial": ((7, 0.3), lambda a, b: st.binom(a, b)),
    "Geometric": ((0.3,), lambda a: st.geom(a, loc=-1)),
    "NegativeBinomial": ((4.0, 0.3), lambda a, b: st.nbinom(a, 1 - b)),
    "Poisson": ((3.3,), lambda a: st.poisson(a)),
}


def build(name, library=D, tensor=t):
    arguments = (CONTINUOUS | DISCRETE)[name][0]
    return getattr(library, name)(*[a if isinstance(a, int) else tensor(a) for a in arguments])


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_against_scipy(name):
    arguments, frozen = CONTINUOUS[name]
    ours, theirs = build(name), frozen(*arguments)
    x = theirs.ppf(np.linspace(0.02, 0.98, 25))
    np.testing.assert_allclose(numpy(ours.log_prob(t(x))), theirs.logpdf(x), rtol=1e-10, atol=1e-12)
    try:
        np.testing.assert_allclose(numpy(ours.cdf(t(x))), theirs.cdf(x), rtol=1e-10, atol=1e-12)
    except NotImplementedError:
        assert name in ("StudentT", "FisherSnedecor")
    try:
        np.testing.assert_allclose(numpy(ours.icdf(t(np.linspace(0.02, 0.98, 25)))), x, rtol=1e-9, atol=1e-10)
    except NotImplementedError:
        assert name in ("StudentT", "FisherSnedecor", "Gamma", "Chi2", "InverseGamma", "Beta")
    try:
        np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-6)
    except NotImplementedError:
        assert name in ("FisherSnedecor",)
    if "Cauchy" not in name:
        np.testing.assert_allclose([ours.mean.item(), ours.variance.item(), ours.stddev.item()],
                                   [theirs.mean(), theirs.var(), theirs.std()], rtol=1e-9)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_samples_pass_kolmogorov_smirnov(name):
    arguments, frozen = CONTINUOUS[name]
    ccdl.manual_seed(20)
    ours = build(name)
    x = numpy(ours.sample((4000,)))
    assert x.shape == (4000,) and not ours.sample().requires_grad
    assert st.kstest(x, frozen(*arguments).cdf).pvalue > 1e-3
    ccdl.manual_seed(20)
    np.testing.assert_array_equal(x, numpy(ours.sample((4000,))))


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_against_scipy(name):
    arguments, frozen = DISCRETE[name]
    ours, theirs = build(name), frozen(*arguments)
    k = np.arange(0, 8 if name == "Binomial" else 2 if name == "Bernoulli" else 20)
    np.testing.assert_allclose(numpy(ours.log_prob(t(k))), theirs.logpmf(k), rtol=1e-9)
    np.testing.assert_allclose([ours.mean.item(), ours.variance.item()], [theirs.mean(), theirs.var()], rtol=1e-12)
    ccdl.manual_seed(4)
    x = numpy(ours.sample((8000,)))
    counts = np.array([(x == i).sum() for i in k] + [(x > k[-1]).sum()])
    expected = 8000 * np.append(theirs.pmf(k), theirs.sf(k[-1]))
    keep = expected > 5
    assert counts[~keep].sum() <= 5 + 6 * math.sqrt(expected[~keep].sum() + 1)
    statistic = ((counts - expected)[keep] ** 2 / expected[keep]).sum()
    assert st.chi2.sf(statistic, keep.sum() - 1) > 1e-3
    if name in ("Bernoulli", "Binomial", "Geometric"):
        np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-7)
    if name in ("Binomial", "Poisson"):
        np.testing.assert_allclose(numpy(ours.cdf(t(k))), theirs.cdf(k), rtol=1e-10)


def test_multivariate_normal_against_scipy():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 3))
    covariance, mean = a @ a.T + np.eye(3), rng.standard_normal(3)
    theirs = st.multivariate_normal(mean, covariance)
    x = rng.standard_normal((5, 3))
    forms = {"covariance_matrix": covariance, "precision_matrix": np.linalg.inv(covariance), "scale_tril": np.linalg.cholesky(covariance)}
    for name, value in forms.items():
        ours = D.MultivariateNormal(t(mean), **{name: t(value)})
        np.testing.assert_allclose(numpy(ours.log_prob(t(x))), theirs.logpdf(x), rtol=1e-10)
        np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-12)
        np.testing.assert_allclose(numpy(ours.covariance_matrix), covariance, rtol=1e-10)
        np.testing.assert_allclose(numpy(ours.precision_matrix), np.linalg.inv(covariance), rtol=1e-9)
        np.testing.assert_allclose(numpy(ours.variance), np.diag(covariance), rtol=1e-10)
    ccdl.manual_seed(1)
    draws = numpy(ours.sample((20000,)))
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.25)
    batch = ours.expand((4, 2))
    assert batch.batch_shape == (4, 2) and batch.event_shape == (3,) and batch.sample((5,)).shape == (5, 4, 2, 3)
    with pytest.raises(ValueError, match="Exactly one"):
        D.MultivariateNormal(t(mean))
    with pytest.raises(ValueError, match="covariance_matrix"):
        D.MultivariateNormal(t(mean), -t(covariance))


def test_dirichlet_and_multinomial_against_scipy():
    a = np.array([0.7, 2.0, 3.5])
    ours, theirs = D.Dirichlet(t(a)), st.dirichlet(a)
    x = np.random.default_rng(0).dirichlet(a, 6)
    np.testing.assert_allclose(numpy(ours.log_prob(t(x))), theirs.logpdf(x.T), rtol=1e-9)
    np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-10)
    np.testing.assert_allclose(numpy(ours.mean), theirs.mean(), rtol=1e-12)
    np.testing.assert_allclose(numpy(ours.variance), theirs.var(), rtol=1e-12)
    ccdl.manual_seed(2)
    draws = numpy(ours.sample((4000,)))
    assert st.kstest(draws[:, 0], st.beta(0.7, 5.5).cdf).pvalue > 1e-3
    p = np.array([0.2, 0.5, 0.3])
    counts, reference = D.Multinomial(6, t(p)), st.multinomial(6, p)
    for k in ([1, 3, 2], [6, 0, 0]):
        np.testing.assert_allclose(counts.log_prob(t(k)).item(), reference.logpmf(k), rtol=1e-10)
    np.testing.assert_allclose(counts.entropy().item(), reference.entropy(), rtol=1e-9)
    drawn = numpy(counts.sample((3000, 2)))
    assert drawn.shape == (3000, 2, 3) and (drawn.sum(-1) == 6).all()
    np.testing.assert_allclose(drawn.mean((0, 1)), 6 * p, atol=0.06)


def test_categorical_forms():
    p = np.array([[0.1, 0.2, 0.7], [1.0, 1.0, 2.0]])
    ours = D.Categorical(t(p))
    normal = p / p.sum(-1, keepdims=True)
    np.testing.assert_allclose(numpy(ours.probs), normal)
    np.testing.assert_allclose(numpy(ours.entropy()), -(normal * np.log(normal)).sum(-1))
    support = ours.enumerate_support()
    assert support.shape == (3, 2)
    np.testing.assert_allclose(numpy(ours.log_prob(support)), np.log(normal).T)
    ccdl.manual_seed(0)
    draws = numpy(ours.sample((6000,)))
    for row in range(2):
        assert st.chisquare(np.bincount(draws[:, row], minlength=3), 6000 * normal[row]).pvalue > 1e-3
    hot = D.OneHotCategorical(logits=t(np.log(p)))
    assert hot.event_shape == (3,) and hot.sample((2,)).shape == (2, 2, 3)
    np.testing.assert_allclose(numpy(hot.log_prob(t([[0, 0, 1], [1, 0, 0]]))), np.log([normal[0, 2], normal[1, 0]]))
    assert hot.enumerate_support().shape == (3, 2, 3)
    logits = t(np.log(p)).requires_grad_()
    through = D.OneHotCategoricalStraightThrough(logits=logits).rsample()
    assert set(np.unique(numpy(through).round(12))) <= {0.0, 1.0}
    (through * t([1.0, 2.0, 3.0])).sum().backward()
    want = normal * (np.array([1.0, 2, 3]) - (normal * [1.0, 2, 3]).sum(-1, keepdims=True))
    np.testing.assert_allclose(numpy(logits.grad), want, rtol=1e-10)
    with pytest.raises(ValueError, match="support"):
        ours.log_prob(ccdl.tensor([3, 0]))
    for bad in ({}, {"probs": t([1.0]), "logits": t([1.0])}):
        with pytest.raises(ValueError, match="Either `probs` or `logits`"):
            D.Categorical(**bad)


def test_mixture_independent_transformed():
    mix = D.MixtureSameFamily(D.Categorical(t([0.3, 0.7])), D.Normal(t([-1.0, 2.0]), t([0.5, 1.0])))
    x = np.linspace(-3, 4, 9)
    density = 0.3 * st.norm(-1, 0.5).pdf(x) + 0.7 * st.norm(2, 1).pdf(x)
    np.testing.assert_allclose(numpy(mix.log_prob(t(x))), np.log(density), rtol=1e-12)
    np.testing.assert_allclose(numpy(mix.cdf(t(x))), 0.3 * st.norm(-1, 0.5).cdf(x) + 0.7 * st.norm(2, 1).cdf(x), rtol=1e-12)
    np.testing.assert_allclose([mix.mean.item(), mix.variance.item()], [1.1, 0.3 * 0.25 + 0.7 + 0.21 * 9], rtol=1e-12)
    ccdl.manual_seed(3)
    draws = numpy(mix.sample((4000,)))
    assert st.kstest(draws, lambda v: 0.3 * st.norm(-1, 0.5).cdf(v) + 0.7 * st.norm(2, 1).cdf(v)).pvalue > 1e-3
    both = D.MixtureSameFamily(D.Categorical(ccdl.ones(4)), D.Independent(D.Normal(ccdl.zeros(4, 2), 1.0), 1))
    assert both.event_shape == (2,) and both.sample((3,)).shape == (3, 2) and both.log_prob(ccdl.zeros(3, 2)).shape == (3,)

    inner = D.Independent(D.Normal(ccdl.zeros(2, 3), 1.0), 1)
    assert inner.batch_shape == (2,) and inner.event_shape == (3,) and inner.log_prob(ccdl.zeros(2, 3)).shape == (2,)
    assert inner.expand((5, 2)).sample().shape == (5, 2, 3)
    logistic = D.TransformedDistribution(D.Uniform(t(0.0), t(1.0)), [D.SigmoidTransform().inv, D.AffineTransform(1.0, 2.0)])
    np.testing.assert_allclose(numpy(logistic.log_prob(t(x))), st.logistic(1, 2).logpdf(x), rtol=1e-9)
    np.testing.assert_allclose(numpy(logistic.cdf(t(x))), st.logistic(1, 2).cdf(x), rtol=1e-9)
    flipped = D.TransformedDistribution(D.Normal(t(0.0), t(1.0)), D.AffineTransform(0.0, -1.0))
    np.testing.assert_allclose(numpy(flipped.cdf(t(x))), st.norm.cdf(x), rtol=1e-9)
    squashed = D.TransformedDistribution(D.Independent(D.Normal(ccdl.zeros(4, 2), 1.0), 1), [D.TanhTransform(cache_size=1)])
    action = squashed.rsample()
    want = st.norm.logpdf(np.arctanh(numpy(action).astype(np.float64))).sum(-1) - np.log1p(-numpy(action).astype(np.float64) ** 2).sum(-1)
    np.testing.assert_allclose(numpy(squashed.log_prob(action)), want, rtol=1e-4)
    with pytest.raises(ValueError, match="transforms must be"):
        D.TransformedDistribution(D.Normal(0.0, 1.0), "exp")


def central_jacobian(f, x, h=1e-6):
    columns = []
    for i in range(x.size):
        step = np.zeros_like(x)
        step[i] = h
        columns.append((f(x + step) - f(x - step)) / (2 * h))
    return np.array(columns).T


@pytest.mark.parametrize("transform,low,high", [
    (D.ExpTransform(), -2, 2), (D.SigmoidTransform(), -3, 3), (D.TanhTransform(), -1.5, 1.5), (D.SoftplusTransform(), -3, 3),
    (D.AffineTransform(0.5, -2.0), -3, 3), (D.PowerTransform(t(1.7)), 0.2, 3), (D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 3.0)]), -2, 2),
    (D.StickBreakingTransform(), -1, 1), (D.IndependentTransform(D.ExpTransform(), 1), -1, 1), (D.ExpTransform().inv, 0.2, 3),
    (D.ReshapeTransform((4,), (2, 2)), -1, 1)], ids=lambda v: type(v).__name__ if isinstance(v, D.Transform) else "")
def test_transforms_invert_and_know_their_jacobian(transform, low, high):
    x = np.random.default_rng(0).uniform(low, high, 4)
    y = transform(t(x))
    np.testing.assert_allclose(numpy(transform.inv(y)), x, rtol=1e-9, atol=1e-9)
    jacobian = central_jacobian(lambda v: numpy(transform(t(v))).reshape(-1)[:4], x)
    log_det = numpy(transform.log_abs_det_jacobian(t(x), y))
    if log_det.ndim == 0 or log_det.size == 1:
        np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(log_det, np.log(np.abs(np.diag(jacobian))), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numpy(transform.inv.log_abs_det_jacobian(y, t(x))), -log_det)
    assert bool(transform.codomain.check(y).all()) and transform == transform


def test_constraints_and_registry():
    c = D.constraints
    x = t([-1.0, 0.0, 0.5, 1.0, 2.0])
    for constraint, want in [(c.positive, "00111"), (c.nonnegative, "01111"), (c.unit_interval, "01110"), (c.interval(0, 2), "01111"), (c.real, "11111"),
                             (c.half_open_interval(0, 1), "01100"), (c.less_than(1), "11100"), (c.boolean, "01010"), (c.nonnegative_integer, "01011"),
                             (c.greater_than_eq(1), "00011"), (c.integer_interval(0, 1), "01010")]:
        assert "".join(str(int(v)) for v in constraint.check(x).tolist()) == want, constraint
        assert constraint.check(t([math.nan])).tolist() == [False]
    assert c.simplex.check(t([[0.2, 0.8], [0.5, 0.6]])).tolist() == [True, False]
    assert c.one_hot.check(t([[0.0, 1.0], [1.0, 1.0]])).tolist() == [True, False]
    assert c.positive_definite.check(t([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]])).tolist() == [True, False]
    assert c.lower_cholesky.check(t([[1.0, 0.0], [2.0, 3.0]])).item() and not c.lower_cholesky.check(t([[1.0, 1.0], [0.0, 1.0]])).item()
    assert c.independent(c.positive, 1).check(t([[1.0, 2.0], [1.0, -1.0]])).tolist() == [True, False]
    for constraint in (c.positive, c.unit_interval, c.interval(-2.0, 5.0), c.greater_than(3.0), c.less_than(1.0), c.simplex, c.lower_cholesky, c.real):
        value = t(np.random.default_rng(1).standard_normal((3, 3)))
        for registry in (D.transform_to, D.biject_to):
            assert bool(constraint.check(registry(constraint)(value)).all())
    with pytest.raises(NotImplementedError, match="register"):
        D.biject_to(c.boolean)


def test_validation():
    for make in (lambda: D.Normal(0.0, -1.0), lambda: D.Normal(ccdl.tensor([0.0, math.nan]), 1.0), lambda: D.Bernoulli(1.5), lambda: D.Uniform(1.0, 1.0),
                 lambda: D.Gamma(0.0, 1.0), lambda: D.Exponential(-1.0), lambda: D.Poisson(-1.0), lambda: D.Binomial(-1, 0.5), lambda: D.Dirichlet(t([-1.0, 1])),
                 lambda: D.Normal("a", 1.0), lambda: D.Dirichlet(t(1.0)), lambda: D.Categorical(t(1.0))):
        with pytest.raises(ValueError):
            make()
    D.Normal(0.0, -1.0, validate_args=False)
    good = D.Normal(ccdl.zeros(2), 1.0)
    for value in (1.0, ccdl.zeros(3), ccdl.tensor([math.nan, 0.0])):
        with pytest.raises(ValueError):
            good.log_prob(value)
    assert good.log_prob(ccdl.zeros(5, 2)).shape == (5, 2)
    with pytest.raises(ValueError, match="support"):
        D.Exponential(1.0).log_prob(ccdl.tensor(-1.0))
    try:
        D.Distribution.set_default_validate_args(False)
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
    for missing in (lambda: good.enumerate_support(), lambda: D.Bernoulli(0.5).rsample(), lambda: D.Poisson(1.0).entropy()):
        with pytest.raises(NotImplementedError):
            missing()
    with pytest.raises(NotImplementedError, match="KL"):
        D.kl_divergence(good, D.Bernoulli(0.5))


@pytest.mark.parametrize("name", [n for n in CONTINUOUS if n not in ("StudentT", "FisherSnedecor", "Beta")])  # two noise sources: below
def test_pathwise_gradient_is_the_derivative_of_the_quantile(name):
    """dz / dparameter at a fixed probability, by central differences of scipy's ppf."""
    arguments, frozen = CONTINUOUS[name]
    parameters = [t(a).requires_grad_() for a in arguments]
    ccdl.manual_seed(8)
    z = getattr(D, name)(*parameters).rsample((3,))
    u = frozen(*arguments).cdf(numpy(z))
    for i in range(3):
        grads = ccdl.autograd.grad(z[i], parameters, retain_graph=True)
        for j, g in enumerate(grads):
            h = 1e-5
            up, down = [list(arguments) for _ in range(2)]
            up[j] += h
            down[j] -= h
            a, b = frozen(*up), frozen(*down)
            if name == "InverseGamma":
                want = (a.isf(1 - u[i]) - b.isf(1 - u[i])) / (2 * h)
            else:
                want = (a.ppf(u[i]) - b.ppf(u[i])) / (2 * h)
            np.testing.assert_allclose(g.item(), want, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["Beta", "StudentT", "FisherSnedecor", "Gamma", "Dirichlet"])
def test_pathwise_gradient_of_an_expectation(name):
    """d E[f(z)] / d parameter by samples against central differences of the known expectation."""
    ccdl.manual_seed(5)
    n = 40000
    if name == "Dirichlet":
        a = t([1.5, 0.8, 2.0]).requires_grad_()
        D.Dirichlet(a).rsample((n,))[:, 0].mean().backward()
        total = 4.3
        np.testing.assert_allclose(numpy(a.grad), [(total - 1.5) / total**2, -1.5 / total**2, -1.5 / total**2], atol=6e-3)
        return
    arguments, frozen = CONTINUOUS[name]
    parameters = [t(a).requires_grad_() for a in arguments]
    z = getattr(D, name)(*parameters).rsample((n,))
    ccdl.tanh(z).mean().backward()
    grid = np.linspace(0.5 / 20000, 1 - 0.5 / 20000, 20000)
    for j, p in enumerate(parameters):
        up, down = list(arguments), list(arguments)
        up[j] += 1e-4
        down[j] -= 1e-4
        want = (np.tanh(frozen(*up).ppf(grid)).mean() - np.tanh(frozen(*down).ppf(grid)).mean()) / 2e-4
        np.testing.assert_allclose(p.grad.item(), want, atol=8e-3)


def test_score_function_gradient():
    """000 and 003: d E[r] / d logits = E[r d log p / d logits], against the exact sum over outcomes."""
    logits = t([0.2, -0.4, 0.1]).requires_grad_()
    reward = t([1.0, 3.0, -2.0])
    policy = D.Categorical(logits=logits)
    ccdl.manual_seed(6)
    actions = policy.sample((60000,))
    (policy.log_prob(actions) * reward[actions]).mean().backward()
    p = np.exp([0.2, -0.4, 0.1]) / np.exp([0.2, -0.4, 0.1]).sum()
    want = p * (numpy(reward) - (p * numpy(reward)).sum())
    np.testing.assert_allclose(numpy(logits.grad), want, atol=0.02)


# --- PyTorch as second opinion ---

PARAMETERS = {
    **{name: [tuple(a) for a in (arguments,)] for name, (arguments, _) in (CONTINUOUS | DISCRETE).items()},
    "Kumaraswamy": [(2.0, 3.0)], "ContinuousBernoulli": [(0.3,), (0.5,)], "LogitRelaxedBernoulli": [(0.5, 0.3)], "RelaxedBernoulli": [(0.7, 0.4)],
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_values_and_gradients_against_pytorch(name):
    if torch is None:
        pytest.skip("PyTorch is not installed")
    for arguments in PARAMETERS[name]:
        ours_p = [a if isinstance(a, int) else t([a, a * 1.1]).requires_grad_() for a in arguments]
        theirs_p = [a if isinstance(a, int) else torch.tensor([a, a * 1.1], dtype=torch.float64, requires_grad=True) for a in arguments]
        ours = getattr(D, name)(*ours_p)
        theirs = getattr(TD.relaxed_bernoulli if name == "LogitRelaxedBernoulli" else TD, name)(*theirs_p)
        torch.manual_seed(0)
        x = theirs.sample((3,)).numpy()
        for what in ("log_prob", "cdf", "icdf", "entropy", "mean", "variance", "mode", "batch_shape", "event_shape", "has_rsample"):
            argument = [x] if what in ("log_prob", "cdf") else [np.full((3, 2), 0.3)] if what == "icdf" else []

            def get(distribution, convert, what=what, argument=argument):
                value = getattr(distribution, what)
                return value(*map(convert, argument)) if callable(value) else value

            try:
                want = get(theirs, torch.tensor)
            except (NotImplementedError, RuntimeError):
                continue
            if (name, what) == ("Kumaraswamy", "mode"):  # PyTorch gives NaN for concentrations above 1
                want = ((theirs_p[0] - 1) / (theirs_p[0] * theirs_p[1] - 1)) ** (1 / theirs_p[0])
            got = get(ours, t)
            if (name, what) == ("LogitRelaxedBernoulli", "has_rsample"):  # PyTorch says False, and has it
                want = True
            if not isinstance(want, torch.Tensor):
                assert tuple(got) == tuple(want) if isinstance(want, tuple) else got == want, what
                continue
            np.testing.assert_allclose(numpy(got), want.detach().numpy(), rtol=1e-8, atol=1e-9, err_msg=what)
            if want.requires_grad and what != "mode" and not (what == "cdf" and "Gamma" in name or what == "cdf" and name == "Chi2") and np.isfinite(want.detach().numpy()).all():
                inputs = [p for p in theirs_p if isinstance(p, torch.Tensor)]
                wanted = torch.autograd.grad(want.sum(), inputs, retain_graph=True, allow_unused=True)
                got_grads = ccdl.autograd.grad(got.sum(), [p for p in ours_p if not isinstance(p, int)], retain_graph=True, allow_unused=True)
                for a, b in zip(got_grads, wanted):
                    np.testing.assert_allclose(0 if a is None else numpy(a), 0 if b is None else b.numpy(), rtol=1e-6, atol=1e-8, err_msg=what)
        assert ours.expand((4, 2)).batch_shape == (4, 2) and ours.expand((4, 2)).sample((3,)).shape == (3, 4, 2)
        assert ours.expand((4, 2)).log_prob(t(np.broadcast_to(x[0], (4, 2)))).shape == (4, 2)


KL = [("Normal", (0.1, 1.2), "Normal", (0.5, 0.7)), ("LogNormal", (0.1, 1.2), "LogNormal", (0.5, 0.7)), ("HalfNormal", (0.5,), "HalfNormal", (0.9,)),
      ("Bernoulli", (0.3,), "Bernoulli", (0.6,)), ("Binomial", (4, 0.3), "Binomial", (4, 0.6)), ("Geometric", (0.3,), "Geometric", (0.6,)),
      ("Poisson", (1.5,), "Poisson", (2.5,)), ("Exponential", (1.5,), "Exponential", (2.5,)), ("Gamma", (1.5, 2.0), "Gamma", (2.5, 0.7)),
      ("Exponential", (1.5,), "Gamma", (2.5, 0.7)), ("Gamma", (2.5, 0.7), "Exponential", (1.5,)), ("Beta", (1.5, 2.0), "Beta", (0.7, 3.0)),
      ("Laplace", (0.1, 1.2), "Laplace", (0.5, 0.7)), ("Gumbel", (0.1, 1.2), "Gumbel", (0.5, 0.7)), ("Uniform", (0.2, 0.8), "Uniform", (0.0, 1.0)),
      ("Uniform", (0.2, 1.8), "Uniform", (0.0, 1.0)), ("Uniform", (0.2, 1.8), "Normal", (0.5, 0.7)), ("Normal", (0.1, 1.2), "Uniform", (0.0, 1.0)),
      ("Pareto", (1.5, 2.0), "Pareto", (1.2, 1.7)), ("Normal", (0.1, 1.2), "Laplace", (0.5, 0.7)), ("Laplace", (0.1, 1.2), "Normal", (0.5, 0.7)),
      ("ContinuousBernoulli", (0.3,), "ContinuousBernoulli", (0.6,))]


@pytest.mark.parametrize("p,a,q,b", KL, ids=[f"{k[0]}-{k[2]}" for k in KL])
def test_divergence_against_samples_and_pytorch(p, a, q, b):
    def pair(library, tensor):
        return [getattr(library, n)(*[v if isinstance(v, int) else tensor(v) for v in values]) for n, values in ((p, a), (q, b))]

    ours = pair(D, t)
    kl = D.kl_divergence(*ours).item()
    if math.isfinite(kl):
        ccdl.manual_seed(11)
        x = ours[0].sample((40000,))
        draws = numpy(ours[0].log_prob(x) - ours[1].log_prob(x))
        assert abs(draws.mean() - kl) < 5 * draws.std() / 200 + 1e-9
    if torch is not None and (p, q) != ("Laplace", "Normal"):
        np.testing.assert_allclose(kl, TD.kl_divergence(*pair(TD, lambda v: torch.tensor(v, dtype=torch.float64))).item(), rtol=1e-7)


def test_divergence_of_structured_distributions():
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((3, 3)) for _ in range(2))
    ca, cb, ma, mb = a @ a.T + np.eye(3), b @ b.T + np.eye(3), rng.standard_normal(3), rng.standard_normal(3)
    want = 0.5 * (np.trace(np.linalg.solve(cb, ca)) + (mb - ma) @ np.linalg.solve(cb, mb - ma) - 3 + np.linalg.slogdet(cb)[1] - np.linalg.slogdet(ca)[1])
    got = D.kl_divergence(D.MultivariateNormal(t(ma), t(ca)), D.MultivariateNormal(t(mb), t(cb)))
    np.testing.assert_allclose(got.item(), want, rtol=1e-10)
    p, q = rng.dirichlet([1, 1, 1]), rng.dirichlet([1, 1, 1])
    want = (p * np.log(p / q)).sum()
    for kind in (D.Categorical, D.OneHotCategorical):
        np.testing.assert_allclose(D.kl_divergence(kind(t(p)), kind(t(q))).item(), want, rtol=1e-10)
    n = [D.Normal(t(rng.standard_normal((2, 3))), t(rng.uniform(0.5, 2, (2, 3)))) for _ in range(2)]
    inner = D.kl_divergence(D.Independent(n[0], 1), D.Independent(n[1], 1))
    np.testing.assert_allclose(numpy(inner), numpy(D.kl_divergence(*n)).sum(-1), rtol=1e-12)
    one, two = D.Dirichlet(t([1.0, 2.0])), D.Dirichlet(t([3.0, 0.5]))
    np.testing.assert_allclose(D.kl_divergence(one, two).item(), D.kl_divergence(D.Beta(t(1.0), t(2.0)), D.Beta(t(3.0), t(0.5))).item(), rtol=1e-10)


def test_relaxed_categorical_against_pytorch():
    if torch is None:
        pytest.skip("PyTorch is not installed")
    probs = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    ours, theirs = D.RelaxedOneHotCategorical(t(0.7), t(probs)), TD.RelaxedOneHotCategorical(torch.tensor(0.7, dtype=torch.float64), torch.tensor(probs))
    x = theirs.sample((4,))
    np.testing.assert_allclose(numpy(ours.log_prob(t(x.numpy()))), theirs.log_prob(x).numpy(), rtol=1e-8)
    assert ours.rsample((5,)).shape == (5, 2, 3) and ours.event_shape == (3,) and ours.batch_shape == (2,)
    ccdl.manual_seed(0)
    np.testing.assert_allclose(np.eye(3)[numpy(ours.sample((20000,))).argmax(-1)].mean(0), probs, atol=0.02)
    normal = D.LogisticNormal(t([0.1, 0.2]), t([0.5, 1.5]))
    reference = TD.LogisticNormal(torch.tensor([0.1, 0.2], dtype=torch.float64), torch.tensor([0.5, 1.5], dtype=torch.float64))
    y = reference.sample((3,))
    np.testing.assert_allclose(numpy(normal.log_prob(t(y.numpy()))), reference.log_prob(y).numpy(), rtol=1e-8)


def test_every_class_imports_from_its_own_module():
    for module, name in [("normal", "Normal"), ("categorical", "Categorical"), ("bernoulli", "Bernoulli"), ("studentT", "StudentT"), ("kl", "kl_divergence"),
                         ("transformed_distribution", "TransformedDistribution"), ("relaxed_categorical", "RelaxedOneHotCategorical"),
                         ("multivariate_normal", "MultivariateNormal"), ("log_normal", "LogNormal"), ("independent", "Independent"), ("utils", "probs_to_logits")]:
        assert getattr(importlib.import_module(f"ccdl.distributions.{module}"), name)
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"


def test_a_chain_of_conditionals_is_a_distribution():
    """000: the probabilities of all strings of length 3 over two symbols, by the chain rule, sum to 1."""
    total = 0.0
    table = t(np.random.default_rng(2).standard_normal((2, 2, 2)))
    for a in range(2):
        for b in range(2):
            for c in range(2):
                log_p = D.Categorical(logits=table[0, 0]).log_prob(ccdl.tensor(a))
                log_p = log_p + D.Categorical(logits=table[a, 1]).log_prob(ccdl.tensor(b)) + D.Categorical(logits=table[a, b]).log_prob(ccdl.tensor(c))
                total += log_p.exp().item()
    assert abs(total - 1) < 1e-12


def test_incomplete_gamma_of_large_shapes_against_the_integral():
    """Where SciPy's own expansion loses digits: the density integrated by mpmath."""
    mp = pytest.importorskip("mpmath", reason="the extra package is not installed")
    mp.mp.dps = 30
    for a, x in ((731011259.064237, 730889179.6877931), (2e5, 2.005e5), (1e7, 9.99e6)):
        sd = math.sqrt(a)
        want = mp.quad(lambda s, a=a: mp.exp((a - 1) * mp.log(s) - s - mp.loggamma(a)), [x - 30 * sd, x - 10 * sd, x - 3 * sd, x])
        np.testing.assert_allclose(ccdl.igamma(t(a), t(x)).item(), float(want), rtol=1e-9)


@pytest.mark.parametrize("rate", [0.0, 1e-3, 12.5, 3e4, 1e12])
def test_poisson_and_binomial_of_any_size(rate):
    ccdl.manual_seed(2)
    x = numpy(ccdl.poisson(t(np.full(20000, rate))))
    assert (x == np.floor(x)).all() and abs(x.mean() - rate) <= 5 * math.sqrt(rate / 20000) and abs(x.var() - rate) <= 0.06 * rate + 1e-3
    if rate:
        y = numpy(ccdl.binomial(t(np.full(20000, 1e15)), t(np.full(20000, rate / 1e15))))
        sd = math.sqrt(rate * (1 - rate / 1e15))
        assert abs(y.mean() - rate) <= 5 * sd / math.sqrt(20000) and abs(y.var() - sd**2) <= 0.06 * sd**2 + 1e-3
    for bad in (lambda: ccdl.poisson(t([-1.0])), lambda: ccdl.poisson(ccdl.tensor([1])), lambda: ccdl.binomial(t([1.0]), t([2.0])), lambda: ccdl.binomial(t([-1.0]), t([0.5]))):
        with pytest.raises((RuntimeError, ValueError), match="poisson|binomial"):
            bad()


@pytest.mark.parametrize("concentration", [1e-3, 0.7, 5.0, 300.0])
def test_von_mises_against_scipy(concentration):
    ours, theirs = D.VonMises(t(0.8), t(concentration)), st.vonmises(concentration, loc=0.8)
    x = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(numpy(ours.log_prob(t(x))), theirs.logpdf(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.entropy().item(), theirs.entropy(), rtol=1e-6)
    ccdl.manual_seed(6)
    draws = numpy(ours.sample((4000,)))
    assert (draws >= -math.pi).all() and (draws < math.pi).all() and ours.expand((2, 3)).sample((4,)).shape == (4, 2, 3)
    turned = (draws - 0.8 + math.pi) % (2 * math.pi) - math.pi
    assert st.kstest(turned, st.vonmises(concentration).cdf).pvalue > 1e-3


def test_low_rank_normal_is_the_normal_of_its_covariance():
    rng = np.random.default_rng(7)
    w, d, mean = rng.standard_normal((2, 4, 2)), rng.uniform(0.5, 2, (2, 4)), rng.standard_normal(4)
    parameters = [t(v).requires_grad_() for v in (mean, w, d)]
    ours = D.LowRankMultivariateNormal(*parameters)
    covariance = w @ w.transpose(0, 2, 1) + np.array([np.diag(v) for v in d])
    x = rng.standard_normal((3, 2, 4))
    want = np.array([[st.multivariate_normal(mean, covariance[j]).logpdf(x[i, j]) for j in range(2)] for i in range(3)])
    np.testing.assert_allclose(numpy(ours.log_prob(t(x))), want, rtol=1e-10)
    np.testing.assert_allclose(numpy(ours.entropy()), [st.multivariate_normal(mean, c).entropy() for c in covariance], rtol=1e-10)
    np.testing.assert_allclose(numpy(ours.covariance_matrix), covariance, rtol=1e-10)
    np.testing.assert_allclose(numpy(ours.precision_matrix), np.linalg.inv(covariance), rtol=1e-9)
    full = D.MultivariateNormal(parameters[0], ours.covariance_matrix)
    for a, b in zip(*(ccdl.autograd.grad(p.log_prob(t(x)).sum(), parameters, retain_graph=True) for p in (ours, full))):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-8, atol=1e-9)
    ccdl.manual_seed(0)
    draws = numpy(ours.rsample((20000,)))
    np.testing.assert_allclose(np.cov(draws[:, 1].T), covariance[1], atol=0.2)
    assert ours.expand((3, 2)).batch_shape == (3, 2) and ours.rsample().requires_grad
    with pytest.raises(ValueError, match="cov_factor"):
        D.LowRankMultivariateNormal(t(mean), t(w[0, :3]), t(d[0]))
