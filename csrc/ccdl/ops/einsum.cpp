// Contractions over named dims and the products built from them. einsum contracts operands from left to
// right: dims are sorted into batch, kept and summed ones by permutation, and each pair becomes one batched
// matrix product.
#include <ccdl/ops/linalg.h>
#include <ccdl/ops/matmul.h>

#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/view.h>

#include <algorithm>
#include <limits>

namespace ccdl::ops {
namespace {

using Labels = std::vector<int>;  // 0-51: A-Za-z in PyTorch's sort order, 52 and up: dims of the ellipsis
constexpr int kEllipsis = -1, kFirstEllipsisDim = 52;

struct Term {
  Tensor x;
  Labels labels;
};

bool contains(const Labels& v, int label) { return std::find(v.begin(), v.end(), label) != v.end(); }
int64_t position(const Labels& v, int label) { return std::find(v.begin(), v.end(), label) - v.begin(); }

int label_of(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -2; }

Labels parse_subscripts(const std::string& text, const std::string& equation) {
  Labels labels;
  bool ellipsis = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') continue;
    if (text[i] == '.') {
      CCDL_CHECK(text.compare(i, 3, "...") == 0 && !ellipsis, Runtime, "einsum: found '.' in subscripts '",
                 text, "' that is not part of one ellipsis (equation '", equation, "')");
      ellipsis = true;
      labels.push_back(kEllipsis);
      i += 2;
      continue;
    }
    const int label = label_of(text[i]);
    CCDL_CHECK(label >= 0, Runtime, "einsum: invalid subscript '", text[i], "' in '", equation,
               "'; subscripts are letters a-z, A-Z");
    labels.push_back(label);
  }
  return labels;
}

struct Plan {
  std::vector<Labels> inputs;
  Labels output;
};

// Replaces the ellipsis by its own labels, aligned at the right.
void expand_ellipsis(Labels& labels, int dims, int all_dims) {
  const int64_t at = position(labels, kEllipsis);
  if (at == static_cast<int64_t>(labels.size())) return;
  labels.erase(labels.begin() + at);
  for (int i = 0; i < dims; ++i)
    labels.insert(labels.begin() + at + i, kFirstEllipsisDim + all_dims - dims + i);
}

Plan parse_equation(const std::string& equation, const TensorList& operands) {
  const size_t arrow = equation.find("->");
  const std::string left = equation.substr(0, arrow);
  Plan plan;
  for (size_t begin = 0;;) {
    const size_t comma = left.find(',', begin);
    plan.inputs.push_back(parse_subscripts(left.substr(begin, comma - begin), equation));
    if (comma == std::string::npos) break;
    begin = comma + 1;
  }
  CCDL_CHECK(plan.inputs.size() == operands.size(), Runtime, "einsum: equation '", equation,
             "' has subscripts for ", plan.inputs.size(), " operands but ", operands.size(), " were given");
  int ellipsis_dims = 0;
  std::vector<int> own(operands.size(), 0);
  for (size_t i = 0; i < operands.size(); ++i) {
    const int named = static_cast<int>(plan.inputs[i].size()) - contains(plan.inputs[i], kEllipsis);
    const int rest = static_cast<int>(operands[i].dim()) - named;
    CCDL_CHECK(contains(plan.inputs[i], kEllipsis) ? rest >= 0 : rest == 0, Runtime,
               "einsum: the number of subscripts in '", equation, "' (", named, ") does not fit the ",
               operands[i].dim(), " dimensions of operand ", i, " ", operands[i].sizes());
    own[i] = rest;
    ellipsis_dims = std::max(ellipsis_dims, rest);
  }
  if (arrow != std::string::npos) {
    plan.output = parse_subscripts(equation.substr(arrow + 2), equation);
    expand_ellipsis(plan.output, ellipsis_dims, ellipsis_dims);
    for (size_t i = 0; i < plan.output.size(); ++i)
      CCDL_CHECK(position(plan.output, plan.output[i]) == static_cast<int64_t>(i), Runtime,
                 "einsum: an output subscript appears more than once in '", equation, "'");
  } else {
    Labels once;
    std::vector<int> count(52, 0);
    for (const Labels& labels : plan.inputs)
      for (int label : labels)
        if (label >= 0) ++count[label];
    for (int i = 0; i < ellipsis_dims; ++i) plan.output.push_back(kFirstEllipsisDim + i);
    for (int label = 0; label < 52; ++label)
      if (count[label] == 1) plan.output.push_back(label);
  }
  for (size_t i = 0; i < operands.size(); ++i) expand_ellipsis(plan.inputs[i], own[i], ellipsis_dims);
  for (int label : plan.output) {
    const bool known = std::any_of(plan.inputs.begin(), plan.inputs.end(),
                                   [&](const Labels& v) { return contains(v, label); });
    CCDL_CHECK(known, Runtime, "einsum: an output subscript does not appear in any input of '", equation,
               "'");
  }
  return plan;
}

// Repeated labels become a diagonal.
void take_diagonals(Term& t, const std::string& equation) {
  for (size_t i = 0; i < t.labels.size(); ++i)
    for (size_t j = t.labels.size() - 1; j > i; --j) {
      if (t.labels[i] != t.labels[j]) continue;
      CCDL_CHECK(t.x.size(i) == t.x.size(j), Shape, "einsum: a repeated subscript of '", equation,
                 "' stands for sizes ", t.x.size(i), " and ", t.x.size(j), " of one operand ", t.x.sizes());
      Dims back;
      const int64_t last = t.x.dim() - 2;
      for (int64_t d = 0; d < last; ++d) back.push_back(d);
      back.insert(i, last);
      t.x = permute(diagonal(t.x, 0, i, j), back);
      t.labels.erase(t.labels.begin() + static_cast<int64_t>(j));
    }
}

Tensor arranged(const Term& t, std::initializer_list<const Labels*> groups) {
  Dims order;
  bool same = true;
  for (const Labels* group : groups)
    for (int label : *group) {
      order.push_back(position(t.labels, label));
      same = same && order.back() == static_cast<int64_t>(order.size()) - 1;
    }
  return same ? t.x : permute(t.x, order);
}

int64_t extent(const Term& t, const Labels& labels) {
  int64_t n = 1;
  for (int label : labels) n *= t.x.size(position(t.labels, label));
  return n;
}

// Contracts two terms; labels found in `kept` survive.
Term contract(const Term& a, const Term& b, const Labels& kept) {
  Labels batch, summed, only_a, only_b;
  for (int label : a.labels)
    (!contains(b.labels, label) ? only_a : contains(kept, label) ? batch : summed).push_back(label);
  for (int label : b.labels)
    if (!contains(a.labels, label)) only_b.push_back(label);
  Term result;
  for (const Labels* group : {&batch, &only_a, &only_b})
    result.labels.insert(result.labels.end(), group->begin(), group->end());
  Dims sizes;
  for (int label : result.labels) {
    const Term& owner = contains(a.labels, label) ? a : b;
    sizes.push_back(owner.x.size(position(owner.labels, label)));
  }
  if (summed.empty()) {  // no dim to sum over: a broadcast multiplication
    Tensor x = arranged(a, {&batch, &only_a}), y = arranged(b, {&batch, &only_b});
    for (size_t i = 0; i < only_b.size(); ++i) x = unsqueeze(x, -1);
    for (size_t i = 0; i < only_a.size(); ++i) y = unsqueeze(y, static_cast<int64_t>(batch.size()));
    result.x = mul(x, y);
    return result;
  }
  const int64_t n = extent(a, batch), m = extent(a, only_a), k = extent(a, summed), p = extent(b, only_b);
  Tensor x = arranged(a, {&batch, &only_a, &summed}), y = arranged(b, {&batch, &summed, &only_b});
  if (batch.empty())
    result.x = mm(reshape(x, Dims{m, k}), reshape(y, Dims{k, p}));
  else
    result.x = bmm(reshape(x, Dims{n, m, k}), reshape(y, Dims{n, k, p}));
  if (result.x.sizes() != sizes) result.x = reshape(result.x, sizes);
  return result;
}

// Sums the labels of t that nobody else needs; the sum of a lone operand of whole numbers widens, as sum()
// does.
void sum_unneeded(Term& t, const Labels& needed, bool widens = false) {
  Dims dims;
  Labels left;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (contains(needed, t.labels[i]))
      left.push_back(t.labels[i]);
    else
      dims.push_back(static_cast<int64_t>(i));
  }
  if (dims.empty()) return;
  t.x = sum(t.x, dims, false, widens ? std::nullopt : std::optional<DType>(t.x.dtype()));
  t.labels = left;
}

}  // namespace

Tensor einsum(const std::string& equation, const TensorList& operands) {
  CCDL_CHECK(!operands.empty(), Runtime, "einsum: equation '", equation, "' needs at least one operand");
  Plan plan = parse_equation(equation, operands);
  std::vector<Term> terms;
  std::vector<int64_t> sizes(kFirstEllipsisDim + kMaxDims, 1);
  for (size_t i = 0; i < operands.size(); ++i) {
    terms.push_back({operands[i], plan.inputs[i]});
    take_diagonals(terms.back(), equation);
    for (size_t d = 0; d < terms[i].labels.size(); ++d) {
      int64_t& size = sizes[terms[i].labels[d]];
      const int64_t here = terms[i].x.size(d);
      CCDL_CHECK(size == 1 || here == 1 || size == here, Shape, "einsum: operand ", i, " ",
                 operands[i].sizes(), " does not broadcast with the operands before it: one subscript of '",
                 equation, "' stands for sizes ", size, " and ", here);
      if (here != 1) size = here;
    }
  }
  for (Term& t : terms)  // size 1 against a larger size broadcasts: the dim is dropped here
    for (size_t d = t.labels.size(); d-- > 0;)
      if (t.x.size(d) == 1 && sizes[t.labels[d]] != 1) {
        t.x = squeeze(t.x, Dims{static_cast<int64_t>(d)});
        t.labels.erase(t.labels.begin() + static_cast<int64_t>(d));
      }
  const auto needed_after = [&](size_t first) {
    Labels needed = plan.output;
    for (size_t i = first; i < terms.size(); ++i)
      needed.insert(needed.end(), terms[i].labels.begin(), terms[i].labels.end());
    return needed;
  };
  Term result = terms[0];
  sum_unneeded(result, needed_after(1), terms.size() == 1);
  for (size_t i = 1; i < terms.size(); ++i) {
    Labels needed = needed_after(i + 1);
    Labels with_result = needed;
    with_result.insert(with_result.end(), result.labels.begin(), result.labels.end());
    sum_unneeded(terms[i], with_result);
    result = contract(result, terms[i], needed);
    sum_unneeded(result, needed);
  }
  return arranged(result, {&plan.output});
}

Tensor tensordot(const Tensor& a, const Tensor& b, IntSpan dims_a, IntSpan dims_b) {
  CCDL_CHECK(dims_a.size() == dims_b.size(), Runtime,
             "tensordot: both dimension lists should have the same length, got ", dims_a.size(), " and ",
             dims_b.size());
  const Dims da = wrap_dims("tensordot", dims_a, a.dim()), db = wrap_dims("tensordot", dims_b, b.dim());
  Dims order_a, order_b = db, out;
  int64_t k = 1;
  for (size_t i = 0; i < da.size(); ++i) {
    CCDL_CHECK(a.size(da[i]) == b.size(db[i]), Shape,
               "tensordot: contracted dimensions need to match, but the first operand ", a.sizes(),
               " has size ", a.size(da[i]), " in dim ", da[i], " and the second ", b.sizes(), " has size ",
               b.size(db[i]), " in dim ", db[i]);
    k *= a.size(da[i]);
  }
  for (int64_t d = 0; d < a.dim(); ++d)
    if (std::find(da.begin(), da.end(), d) == da.end()) order_a.push_back(d), out.push_back(a.size(d));
  const int64_t m = numel_of(out);
  for (int64_t d : da) order_a.push_back(d);
  int64_t n = 1;
  for (int64_t d = 0; d < b.dim(); ++d)
    if (std::find(db.begin(), db.end(), d) == db.end())
      order_b.push_back(d), out.push_back(b.size(d)), n *= b.size(d);
  return reshape(mm(reshape(permute(a, order_a), Dims{m, k}), reshape(permute(b, order_b), Dims{k, n})), out);
}

namespace {

// split[i][j]: where the cheapest product of matrices i..j is cut.
std::vector<std::vector<size_t>> cheapest_order(const TensorList& x) {
  const size_t n = x.size();
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<size_t>> split(n, std::vector<size_t>(n, 0));
  for (size_t length = 2; length <= n; ++length)
    for (size_t i = 0; i + length <= n; ++i) {
      const size_t j = i + length - 1;
      cost[i][j] = std::numeric_limits<double>::infinity();
      for (size_t s = i; s < j; ++s) {
        const double c = cost[i][s] + cost[s + 1][j] +
                         static_cast<double>(x[i].size(0)) * static_cast<double>(x[s].size(1)) *
                             static_cast<double>(x[j].size(1));
        if (c < cost[i][j]) cost[i][j] = c, split[i][j] = s;
      }
    }
  return split;
}

Tensor chain(const TensorList& x, const std::vector<std::vector<size_t>>& split, size_t i, size_t j) {
  if (i == j) return x[i];
  return mm(chain(x, split, i, split[i][j]), chain(x, split, split[i][j] + 1, j));
}

// Chains too long for a table of all cuts: from the end that costs less.
Tensor long_chain(const TensorList& x) {
  double forward = 0, backward = 0;  // multiplications
  for (const Tensor& m : x) {
    const double elements = static_cast<double>(m.size(0)) * static_cast<double>(m.size(1));
    forward += static_cast<double>(x.front().size(0)) * elements;
    backward += elements * static_cast<double>(x.back().size(1));
  }
  Tensor y = forward <= backward ? x.front() : x.back();
  for (size_t i = 1; i < x.size(); ++i) y = forward <= backward ? mm(y, x[i]) : mm(x[x.size() - 1 - i], y);
  return y;
}

constexpr size_t kTableChain = 512;  // the table takes n^2 numbers and n^3 / 6 steps

}  // namespace

Tensor multi_dot(const TensorList& matrices) {
  CCDL_CHECK(matrices.size() >= 2, Runtime, "multi_dot: expected at least 2 tensors but got ",
             matrices.size());
  TensorList x = matrices;
  const bool row = x.front().dim() == 1, column = x.back().dim() == 1;
  if (row) x.front() = unsqueeze(x.front(), 0);
  if (column) x.back() = unsqueeze(x.back(), 1);
  for (size_t i = 0; i < x.size(); ++i) {
    CCDL_CHECK(x[i].dim() == 2, Shape, "multi_dot: tensor ", i,
               " must be 2D (the first and last may be 1D), got ", describe(matrices[i]));
    CCDL_CHECK(i == 0 || x[i - 1].size(1) == x[i].size(0), Shape, "multi_dot: tensors ", i - 1, " and ", i,
               " with shapes ", matrices[i - 1].sizes(), " and ", matrices[i].sizes(),
               " cannot be multiplied");
  }
  Tensor y = x.size() > kTableChain ? long_chain(x) : chain(x, cheapest_order(x), 0, x.size() - 1);
  if (column) y = squeeze(y, Dims{1});
  if (row) y = squeeze(y, Dims{0});
  return y;
}

Tensor kron(const Tensor& a, const Tensor& b) {
  const int64_t dims = std::max(a.dim(), b.dim());
  Dims wide_a, wide_b, out;
  for (int64_t d = 0; d < dims; ++d) {
    const int64_t sa = d < dims - a.dim() ? 1 : a.size(d - dims + a.dim()),
                  sb = d < dims - b.dim() ? 1 : b.size(d - dims + b.dim());
    wide_a.push_back(sa);
    wide_a.push_back(1);
    wide_b.push_back(1);
    wide_b.push_back(sb);
    out.push_back(sa * sb);
  }
  return reshape(mul(reshape(a, wide_a), reshape(b, wide_b)), out);
}

Tensor trace(const Tensor& x) {
  CCDL_CHECK(x.dim() == 2, Shape, "trace: expected a matrix, got ", describe(x));
  return sum(diagonal(x), std::nullopt, false, std::nullopt);
}

Tensor matrix_power(const Tensor& x, int64_t n) {
  CCDL_CHECK(x.dim() >= 2 && x.size(-1) == x.size(-2), Shape,
             "matrix_power: input must be square matrices, got ", describe(x));
  if (n < 0) {
    CCDL_CHECK(n != std::numeric_limits<int64_t>::min(), Value, "matrix_power: n must be above -2^63, got ",
               n);
    return matrix_power(linalg_inv("linalg.inv", x), -n);
  }
  if (n == 0) return add(expand(eye(x.size(-1), x.size(-1), x.dtype(), x.device()), x.sizes()), Scalar(0));
  Tensor result, square = x;
  for (int64_t left = n; left > 0; left /= 2) {
    if (left % 2 != 0) result = result.defined() ? matmul(result, square) : square;
    if (left > 1) square = matmul(square, square);
  }
  return n == 1 ? clone(x) : result;
}

}  // namespace ccdl::ops
