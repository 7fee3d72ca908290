// Elementwise ops: picks the block kernel of an op, straight in the element type or in a compute type.
#include <ccdl/kernels/elementwise.h>

#include <ccdl/core/error.h>
#include <ccdl/cpu/elementwise_blocks.h>
#include <ccdl/cpu/row_numbers.h>

namespace ccdl::cpu {

using namespace blocks;

namespace {

[[noreturn]] void missing(const char* what, int op, DType t) {
  fail(ErrorKind::DType, str(what, ": op number ", op, " has no kernel for ", dtype_name(t)));
}

bool is_cheap(UnaryOp op) {
  switch (op) {
    case UnaryOp::Neg:
    case UnaryOp::Abs:
    case UnaryOp::Sign:
    case UnaryOp::Square:
    case UnaryOp::Floor:
    case UnaryOp::Ceil:
    case UnaryOp::Round:
    case UnaryOp::Trunc:
    case UnaryOp::Frac:
    case UnaryOp::Relu:
    case UnaryOp::Relu6:
    case UnaryOp::LeakyRelu:
    case UnaryOp::Hardtanh:
    case UnaryOp::Threshold:
    case UnaryOp::Clamp:
    case UnaryOp::NanToNum:
    case UnaryOp::Scale:
    case UnaryOp::BitwiseNot:
      return true;
    default:
      return is_test(op);
  }
}
bool is_cheap(BinaryOp op) {
  switch (op) {
    case BinaryOp::Add:
    case BinaryOp::Sub:
    case BinaryOp::Mul:
    case BinaryOp::Div:
    case BinaryOp::Maximum:
    case BinaryOp::Minimum:
    case BinaryOp::Fmax:
    case BinaryOp::Fmin:
    case BinaryOp::Copysign:
    case BinaryOp::Heaviside:
      return true;
    default:
      return op >= BinaryOp::BitwiseAnd;
  }
}
int64_t grain_of(Kind kind, bool cheap) {
  return cheap ? kGrain : kind == Kind::I64 ? kGrainSlow : kGrainMath;
}

}  // namespace

namespace {

// What whole numbers make trivial: rounding copies them, and none of them is infinite or no number.
bool trivial_of_integers(UnaryOp op, const View& x, const View& y) {
  static const ElementwisePlainKernels& simd = simd_elementwise_plain();
  ElementParams p{};
  switch (op) {
    case UnaryOp::Floor:
    case UnaryOp::Ceil:
    case UnaryOp::Round:
    case UnaryOp::Trunc:
    case UnaryOp::NanToNum:
      if (x.data != y.data || x.dtype != y.dtype) copy_cast(x, y);
      return true;
    case UnaryOp::IsFinite:
      p.i[0] = 1;
      break;
    case UnaryOp::IsNan:
    case UnaryOp::IsInf:
    case UnaryOp::IsPosInf:
    case UnaryOp::IsNegInf:
      break;
    default:
      return false;
  }
  const View* views[] = {&y};
  const Kind kinds[] = {Kind::W1};
  run(simd.bytes, views, kinds, 1, p, kGrain);
  return true;
}

// The kernel straight in the element type, when there is one; `predicate`: the output is bool.
ElementFn plain_kernel(UnaryOp op, const View& x, const View& y, bool predicate) {
  static const ElementwisePlainKernels& simd = simd_elementwise_plain();
  if (!predicate && x.dtype != y.dtype) return nullptr;
  if (is_half(x.dtype)) {
    const int brain = x.dtype == DType::BFloat16;
    return op == UnaryOp::Neg          ? simd.half_neg
           : op == UnaryOp::Abs        ? simd.half_abs
           : op == UnaryOp::Square     ? simd.half_square[brain]
           : op == UnaryOp::Sqrt       ? simd.half_sqrt[brain]
           : op == UnaryOp::Reciprocal ? simd.half_reciprocal[brain]
                                       : nullptr;
  }
  if (!is_integral(x.dtype)) return nullptr;
  const auto row = simd.unary[static_cast<int>(x.dtype)];
  switch (op) {
#define CCDL_ROW(Name) \
  case UnaryOp::Name:  \
    return row[static_cast<int>(PlainUnaryOp::Name)];
    CCDL_ROW(Neg)
    CCDL_ROW(Abs)
    CCDL_ROW(Sign)
    CCDL_ROW(Square)
    CCDL_ROW(Relu)
    CCDL_ROW(BitwiseNot)
    CCDL_ROW(LogicalNot)
    CCDL_ROW(Clamp)
    CCDL_ROW(SignBit)
#undef CCDL_ROW
    case UnaryOp::Hardtanh:
      return row[static_cast<int>(PlainUnaryOp::Clamp)];
    default:
      return nullptr;
  }
}

}  // namespace

void unary(UnaryOp op, const View& x, const View& y, const ElementParams& p) {
  static const ElementwiseUnaryKernels& simd = simd_elementwise_unary();
  const bool predicate = is_test(op);
  if (op == UnaryOp::PowScalar && is_floating(y.dtype) && p.f[0] == -1) op = UnaryOp::Reciprocal;
  if (is_integral(x.dtype) && trivial_of_integers(op, x, y)) return;
  if (const ElementFn fn = plain_kernel(op, x, y, predicate)) {
    const View* views[] = {&y, &x};
    const Kind kinds[] = {predicate ? Kind::W1 : width_kind(y.dtype), width_kind(x.dtype)};
    run(fn, views, kinds, 2, p, kGrain);
    return;
  }
  const Kind kind = compute_kind(predicate ? x.dtype : y.dtype);
  const int i = static_cast<int>(op);
  const ElementFn fn = kind == Kind::F32   ? simd.single.fn[i]
                       : kind == Kind::F64 ? simd.full.fn[i]
                                           : unary_i64(op);
  if (!fn) missing("unary", i, y.dtype);
  const View* views[] = {&y, &x};
  const Kind kinds[] = {predicate ? Kind::W1 : kind, kind};
  run(fn, views, kinds, 2, p, grain_of(kind, is_cheap(op)));
}

void unary_backward(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,
                    const ElementParams& p) {
  static const ElementwiseBackwardKernels& simd = simd_elementwise_backward();
  const Kind kind = compute_kind(dx.dtype);
  const int i = static_cast<int>(op);
  const ElementFn fn = kind == Kind::F32 ? simd.single.fn[i] : kind == Kind::F64 ? simd.full.fn[i] : nullptr;
  if (!fn) missing("unary_backward", i, dx.dtype);
  View none = dy;  // stands in for what the formula does not read
  none.data = nullptr;
  const View* views[] = {&dx, unary_needs_x(op) ? &x : &none, unary_needs_y(op) ? &y : &none, &dy};
  const Kind kinds[] = {kind, kind, kind, kind};
  run(fn, views, kinds, 4, p, grain_of(kind, is_cheap(op)));
}

namespace {

int plain_op(BinaryOp op) {
  switch (op) {
#define CCDL_ROW(Name, Plain) \
  case BinaryOp::Name:        \
    return static_cast<int>(PlainOp::Plain);
    CCDL_ROW(Add, Add)
    CCDL_ROW(Sub, Sub)
    CCDL_ROW(Mul, Mul)
    CCDL_ROW(Div, Div)
    CCDL_ROW(Maximum, Maximum)
    CCDL_ROW(Minimum, Minimum)
    CCDL_ROW(BitwiseAnd, And)
    CCDL_ROW(BitwiseOr, Or)
    CCDL_ROW(BitwiseXor, Xor)
    CCDL_ROW(Eq, Eq)
    CCDL_ROW(Ne, Ne)
    CCDL_ROW(Lt, Lt)
    CCDL_ROW(Le, Le)
    CCDL_ROW(Gt, Gt)
    CCDL_ROW(Ge, Ge)
    CCDL_ROW(FloorDivide, FloorDivide)
    CCDL_ROW(TruncDivide, TruncDivide)
    CCDL_ROW(Remainder, Remainder)
    CCDL_ROW(Fmod, Fmod)
    CCDL_ROW(Fmax, Fmax)
    CCDL_ROW(Fmin, Fmin)
    CCDL_ROW(LogicalAnd, LogicalAnd)
    CCDL_ROW(LogicalOr, LogicalOr)
    CCDL_ROW(LogicalXor, LogicalXor)
    CCDL_ROW(IsClose, IsClose)
    CCDL_ROW(ShiftLeft, ShiftLeft)
    CCDL_ROW(ShiftRight, ShiftRight)
    CCDL_ROW(Nextafter, Nextafter)
#undef CCDL_ROW
    default:
      return -1;
  }
}

// The kernel straight in `common`, when there is one and all operands have that type already.
ElementFn plain_kernel(BinaryOp op, DType common, const View& a, const View& b, const View& out) {
  static const ElementwisePlainKernels& simd = simd_elementwise_plain();
  const int row = common == DType::Float64 ? 6 : static_cast<int>(common), i = plain_op(op);
  if (a.dtype != common || b.dtype != common) return nullptr;
  if (op < BinaryOp::LogicalAnd && out.dtype != common) return nullptr;
  if (is_half(common)) return op == BinaryOp::Copysign ? simd.half_copysign : nullptr;
  if (i < 0 || common == DType::Float32) return nullptr;
  return simd.fn[row][i];
}

}  // namespace

bool binary(BinaryOp op, DType common, const View& a, const View& b, const View& out,
            const ElementParams& p) {
  static const ElementwiseBinaryKernels& simd = simd_elementwise_binary();
  if (may_have_row_numbers(a, b, out) && common == out.dtype) {
    const bool scaled = (op == BinaryOp::Add || op == BinaryOp::Sub) && p.f[0] != 1;
    if (!scaled && rows_by_numbers(op, a, b, out)) return true;
  }
  Kind kind = compute_kind(common);
  const int i = static_cast<int>(op);
  const ElementFn plain = common == DType::Float32 ? nullptr : plain_kernel(op, common, a, b, out);
  if (plain) {
    kind = width_kind(common);
    const View* views[] = {&out, &a, &b};
    const Kind kinds[] = {op >= BinaryOp::LogicalAnd ? Kind::W1 : kind, kind, kind};
    return !run(plain, views, kinds, 3, p, kGrain);
  }
  const ElementFn fn = kind == Kind::F32   ? simd.single.binary[i]
                       : kind == Kind::F64 ? simd.full.binary[i]
                                           : binary_i64(op);
  if (!fn) missing("binary", i, common);
  const View* views[] = {&out, &a, &b};
  const Kind kinds[] = {op >= BinaryOp::LogicalAnd ? Kind::W1 : kind, kind, kind};
  return !run(fn, views, kinds, 3, p, grain_of(kind, is_cheap(op)));
}

void ternary(TernaryOp op, const View& a, const View& b, const View& c, const View& out,
             const ElementParams& p) {
  static const ElementwiseBinaryKernels& simd = simd_elementwise_binary();
  static const ElementwisePlainKernels& plain = simd_elementwise_plain();
  Kind kind = compute_kind(out.dtype);
  const int i = static_cast<int>(op);
  ElementFn fn = kind == Kind::F32   ? simd.single.ternary[i]
                 : kind == Kind::F64 ? simd.full.ternary[i]
                                     : nullptr;
  if (kind == Kind::I64) {
    const int t = static_cast<int>(out.dtype);
    const bool same = a.dtype == out.dtype && b.dtype == out.dtype && c.dtype == out.dtype;
    if (same)
      fn = op == TernaryOp::Addcmul       ? plain.addcmul[t]
           : op == TernaryOp::ClampTensor ? plain.clamp[t]
                                          : nullptr;
    if (fn)
      kind = width_kind(out.dtype);
    else
      fn = ternary_i64(op);
  }
  if (!fn) missing("ternary", i, out.dtype);
  const View* views[] = {&out, &a, &b, &c};
  const Kind kinds[] = {kind, kind, kind, kind};
  run(fn, views, kinds, 4, p, kGrain);
}

void where(const View& cond, const View& a, const View& b, const View& out) {
  const Kind kind = width_kind(out.dtype);
  const ElementFn fn = simd_elementwise_binary().where[static_cast<int>(kind) - static_cast<int>(Kind::W1)];
  const View* views[] = {&out, &cond, &a, &b};
  const Kind kinds[] = {kind, Kind::W1, kind, kind};
  run(fn, views, kinds, 4, {}, kGrain);
}

}  // namespace ccdl::cpu
