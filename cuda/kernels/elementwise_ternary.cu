// Elementwise functions of three operands, and where. Kernels: elementwise_walk.cuh; where moves bits, four
// elements of up to four bytes together by masks. Bound: bytes of the inputs and the output.
#include <ccdl/core/error.h>
#include <kernels/elementwise_math.cuh>
#include <kernels/elementwise_walk.cuh>

namespace ccdl::cu {
namespace {

template <class Op, class M, int kCopies>
struct TernaryValue : Formula<kCopies> {
  using S = typename M::S;
  functors::Params<S> p;
  explicit TernaryValue(const ElementParams& params) : p(params_of<S>(params)) {}
  CCDL_DEVICE S operator()(S a, S b, S c) const { return Op::template fwd<M>(a, b, c, p); }
};

struct IntegerAddcmul : Formula<8> {
  int64_t factor;
  CCDL_DEVICE int64_t operator()(int64_t a, int64_t b, int64_t c) const {
    return integer::wrap_add(a, integer::wrap_mul(factor, integer::wrap_mul(b, c)));
  }
};
struct IntegerClamp : Formula<8> {
  CCDL_DEVICE int64_t operator()(int64_t a, int64_t b, int64_t c) const {
    const int64_t t = a < b ? b : a;
    return t > c ? c : t;
  }
};

template <class C>
void ternary_floating(TernaryOp op, const View& out, const View* const (&in)[3], const ElementParams& p) {
  using M = typename MathOf<C>::type;
  constexpr int kDivisions = sizeof(C) == 8 ? 1 : 4;
  switch (op) {
    case TernaryOp::Addcmul:
      return run_elementwise<C>(out, in, TernaryValue<functors::Addcmul, M, 8>(p));
    case TernaryOp::Addcdiv:
      return run_elementwise<C>(out, in, TernaryValue<functors::Addcdiv, M, kDivisions>(p));
    case TernaryOp::Lerp:
      return run_elementwise<C>(out, in, TernaryValue<functors::Lerp, M, 8>(p));
    default:
      return run_elementwise<C>(out, in, TernaryValue<functors::ClampTensor, M, 8>(p));
  }
}

// ---- where ----

using WhereOperands = Operands<uint64_t, 3>;  // cond, a, b as bits

// All bits of the elements of word `word` of a quad whose condition byte is not 0.
CCDL_DEVICE uint32_t mask_of(uint32_t conditions, int item, int word) {
  if (item == 1) return conditions * 255u;
  if (item == 2) {
    const uint32_t two = conditions >> (16 * word);
    return (two & 1u) * 0xffffu | ((two >> 8) & 1u) * 0xffff0000u;
  }
  return ((conditions >> (8 * word)) & 1u) * 0xffffffffu;
}

CCDL_DEVICE RawQuad operand_quad(const WhereOperands& o, int k, int64_t offset) {
  if (!o.is_value[k]) return load_quad(o.in[k], o.item[k], offset, o.walk.strides[k + 1][0] == 0);
  return spread_quad(static_cast<uint32_t>(o.value[k]), o.item[k]);
}

CCDL_DEVICE void choose(const WhereOperands& o, const int64_t (&off)[4]) {
  const int item = o.item[1];
  const bool yes = (o.is_value[0] ? o.value[0] : load_raw(o.in[0], 1, off[1])) != 0;
  const uint64_t a = o.is_value[1] ? o.value[1] : load_raw(o.in[1], item, off[2]);
  const uint64_t b = o.is_value[2] ? o.value[2] : load_raw(o.in[2], item, off[3]);
  store_raw(o.out, item, off[0], yes ? a : b);
}

__global__ void __launch_bounds__(kThreads) where_quads_kernel(WhereOperands o) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kQuads) + threadIdx.x;
  const int item = o.item[1];
#pragma unroll
  for (int q = 0; q < kQuads; ++q) {
    const int64_t at = first + q * kThreads;
    if (at >= o.quads) break;
    int64_t off[4];
    o.walk.offsets(at, off);
    const RawQuad condition = operand_quad(o, 0, off[1]), a = operand_quad(o, 1, off[2]),
                  b = operand_quad(o, 2, off[3]);
    RawQuad r;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint32_t mask = i < item ? mask_of(condition.w[0], item, i) : 0;
      r.w[i] = (a.w[i] & mask) | (b.w[i] & ~mask);
    }
    store_raw_quad(o.out, item, off[0], r);
  }
  if (blockIdx.x == 0 && static_cast<int>(threadIdx.x) < o.tail) {
    int64_t at[4];
    for (int k = 0; k < 4; ++k) at[k] = (4 * o.quads + threadIdx.x) * (o.walk.strides[k][0] / 4);
    choose(o, at);
  }
}

__global__ void __launch_bounds__(kThreads) where_walk_kernel(WhereOperands o) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (kThreads * kWalkElements) + threadIdx.x;
#pragma unroll
  for (int j = 0; j < kWalkElements; ++j) {
    const int64_t at = first + j * kThreads;
    if (at >= o.walk.numel) break;
    int64_t off[4];
    o.walk.offsets(at, off);
    choose(o, off);
  }
}

}  // namespace

void ternary(TernaryOp op, const View& a, const View& b, const View& c, const View& out,
             const ElementParams& p) {
  const View* in[] = {&a, &b, &c};
  if (out.dtype == DType::Float64)
    ternary_floating<double>(op, out, in, p);
  else if (is_floating(out.dtype))
    ternary_floating<float>(op, out, in, p);
  else if (op == TernaryOp::Addcmul)
    run_elementwise<int64_t>(out, in, IntegerAddcmul{{}, p.i[0]});
  else if (op == TernaryOp::ClampTensor)
    run_elementwise<int64_t>(out, in, IntegerClamp{});
  else
    fail(ErrorKind::DType,
         str("ternary: op number ", static_cast<int>(op), " has no kernel for ", dtype_name(out.dtype)));
}

void where(const View& cond, const View& a, const View& b, const View& out) {
  const View* in[] = {&cond, &a, &b};
  WhereOperands o = make_operands<uint64_t>(out, in);
  if (o.walk.numel == 0) return;
  for (int k = 0; k < 3; ++k) {
    if (o.is_value[k]) o.value[k] = host_bits(*in[k], k == 0 ? DType::Bool : out.dtype);
    o.item[k] = static_cast<int32_t>(k == 0 ? 1 : item_size(out.dtype));
  }
  if (make_quads(o))
    CCDL_LAUNCH(blocks_of(o.quads, kThreads * kQuads), where_quads_kernel, o);
  else
    CCDL_LAUNCH(blocks_of(o.walk.numel, kThreads * kWalkElements), where_walk_kernel, o);
}

}  // namespace ccdl::cu
