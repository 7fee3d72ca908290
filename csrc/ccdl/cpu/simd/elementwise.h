// Block kernels of the elementwise family in float and double: contiguous arrays of n elements, any n.
// ptr[0] is the output, ptr[1..] the inputs; predicates and comparisons write bytes 0 or 1. The output may be
// one of the inputs. An entry is null where the op does not exist there.
#pragma once
#include <ccdl/cpu/isa.h>
#include <ccdl/kernels/elementwise.h>

namespace ccdl::cpu {

// True when an integer was divided by zero (integer kernels only).
using ElementFn = bool (*)(void* const* ptr, int64_t n, const ElementParams& p);

constexpr int kUnaryOps = static_cast<int>(UnaryOp::kCount);
constexpr int kBinaryOps = static_cast<int>(BinaryOp::kCount);
constexpr int kTernaryOps = static_cast<int>(TernaryOp::kCount);

struct ElementwiseUnaryTable {
  ElementFn fn[kUnaryOps];
};
struct ElementwiseUnaryKernels {
  ElementwiseUnaryTable single, full;
};
struct ElementwiseBackwardKernels {  // inputs x, y, dy; x and y are only touched where unary_needs() names
                                     // them
  ElementwiseUnaryTable single, full;
};
struct ElementwiseBinaryTable {
  ElementFn binary[kBinaryOps];
  ElementFn ternary[kTernaryOps];
};
struct ElementwiseBinaryKernels {
  ElementwiseBinaryTable single, full;
  ElementFn where[4];  // inputs cond (bytes), a, b; elements of 1, 2, 4, 8 bytes
};
// Binary ops straight in an element type: bool, uint8, int8, int16, int32, int64 (by DType) and double.
enum class PlainOp : uint8_t {
  Add,
  Sub,
  Mul,
  Div,
  Maximum,
  Minimum,
  And,
  Or,
  Xor,
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  FloorDivide,  // the divisions return whether a divisor was zero; the quotient and remainder are 0 there
  TruncDivide,
  Remainder,
  Fmod,
  Fmax,
  Fmin,
  LogicalAnd,
  LogicalOr,
  LogicalXor,
  IsClose,
  ShiftLeft,
  ShiftRight,
  Nextafter,  // of the bits of a half format, in int16
  kCount
};
constexpr int kPlainTypes = 7;
// Unary ops straight in an integer type, and the sign operations on the bits of a half format.
enum class PlainUnaryOp : uint8_t {
  Neg,
  Abs,
  Sign,
  Square,
  Relu,
  BitwiseNot,
  LogicalNot,
  Clamp,
  SignBit,
  kCount
};
struct ElementwisePlainKernels {
  ElementFn fn[kPlainTypes][static_cast<int>(PlainOp::kCount)];
  ElementFn unary[kPlainTypes - 1][static_cast<int>(PlainUnaryOp::kCount)];
  ElementFn addcmul[kPlainTypes - 1], clamp[kPlainTypes - 1];  // TernaryOp's, in an integer type
  ElementFn half_neg, half_abs, half_copysign;
  ElementFn half_square[2], half_sqrt[2], half_reciprocal[2];  // of float16 and bfloat16
  ElementFn bytes;                                             // the output alone: bytes of p.i[0]
};

CCDL_SIMD_FAMILY_V2(ElementwiseUnaryKernels, elementwise_unary)
CCDL_SIMD_FAMILY(ElementwiseBackwardKernels, elementwise_backward)
CCDL_SIMD_FAMILY(ElementwiseBinaryKernels, elementwise_binary)
CCDL_SIMD_FAMILY(ElementwisePlainKernels, elementwise_plain)

}  // namespace ccdl::cpu
