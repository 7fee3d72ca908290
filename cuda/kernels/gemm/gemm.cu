// cu::gemm: sees both operands as [rows, k], picks kernel, tile and number of k splits from shapes, strides
// and alignment alone (never from the device, so that sums keep their order everywhere), repacks operands
// that the tensor-core loop cannot copy asynchronously, and adds the partial sums of splits in ascending
// order.
#include <ccdl/core/matmul_precision.h>
#include <ccdl/kernels/gemm.h>

#include <runtime/launch.h>

#include <optional>

#include <kernels/gemm/gemm_sm90.cuh>
#include <kernels/gemm/problem.cuh>

namespace ccdl::cu {
namespace {

constexpr int64_t kFullGrid = 96;       // blocks below which a product gets smaller tiles or more splits
constexpr int64_t kSplitBlocks = 192;   // blocks that splitting aims at
constexpr int64_t kMinSplit = 256;      // k worth a split of its own
constexpr int64_t kMaxDepth = 1 << 30;  // k of one split fits 32 bits
constexpr int64_t kDepthGranule = 64;   // multiple of every tile's depth
constexpr int64_t kRepackReuse = 1024;  // rows of the other operand that make up for repacking 4-byte lines

// ---- partial sums ----

template <class T>
__global__ void __launch_bounds__(256) gemm_split_sum_kernel(const GemmProblem<T> p) {
  using Acc = GemmAcc<T>;
  constexpr int kG = 16 / static_cast<int>(sizeof(Acc));
  const int64_t across = p.c.pitch / kG, e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= p.batch * p.m * across) return;
  const int64_t line = e / across, j = e % across * kG;
  const Acc* from = p.c.partial + line * p.c.pitch + j;
  Vec<Acc> sum{};
  for (int s = 0; s < p.splits; ++s, from += p.c.partial_split) {
    if (j + kG <= p.n) {
      const Vec<Acc> part = load_vec(from);
#pragma unroll
      for (int g = 0; g < kG; ++g) sum[g] += part[g];
    } else {
      for (int g = 0; j + g < p.n; ++g) sum[g] += from[g];
    }
  }
  TileStore<T> store;
  store.out = &p.c;
  store.c = p.c.c + line / p.m * p.c.batch;
  store.partial = nullptr;
  store.row0 = store.column0 = 0;
  store.m = p.m;
  store.n = p.n;
  store.at(line % p.m, j, sum);
}

// ---- repacking ----

// dst [batch][lines][pitch] dense = src with its fast direction of `length` elements at stride `step`.
struct Repack {
  const void* src;
  void* dst;
  int64_t batch, lines, length, pitch;
  int64_t src_batch, src_line, step;
};
template <class Word>
__global__ void __launch_bounds__(256) gemm_repack_kernel(const Repack r) {
  constexpr int kV = 16 / static_cast<int>(sizeof(Word));
  const int64_t across = r.pitch / kV, e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= r.batch * r.lines * across) return;
  const int64_t line = e / across, x = e % across * kV;
  const Word* src =
      static_cast<const Word*>(r.src) + line / r.lines * r.src_batch + line % r.lines * r.src_line;
  Vec<Word, kV> v;
#pragma unroll
  for (int i = 0; i < kV; ++i) v[i] = x + i < r.length ? src[(x + i) * r.step] : Word(0);
  store_vec(static_cast<Word*>(r.dst) + line * r.pitch + x, v);
}

// Makes x dense along its fast direction with 16-byte aligned lines; `space` owns the copy.
template <class T>
void repack(GemmOperand<T>& x, int64_t batch, int64_t rows, int64_t k, std::optional<Scratch>& space) {
  using Word = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  constexpr int64_t kV = 16 / static_cast<int64_t>(sizeof(T));
  Repack r;
  r.src = x.data;
  r.batch = x.batch == 0 ? 1 : batch;
  r.lines = x.k_fast ? rows : k;
  r.length = x.k_fast ? k : rows;
  r.pitch = ceil_div(r.length, kV) * kV;
  r.src_batch = x.batch;
  r.src_line = x.k_fast ? x.row : x.k;
  r.step = x.k_fast ? x.k : x.row;
  const int64_t elements = r.batch * r.lines * r.pitch;
  r.dst = space.emplace(elements * static_cast<int64_t>(sizeof(T))).ptr();
  CCDL_LAUNCH((LaunchConfig{dim3(static_cast<unsigned>(ceil_div<int64_t>(elements / kV, 256))), dim3(256)}),
              (gemm_repack_kernel<Word>), r);
  x.data = static_cast<const T*>(r.dst);
  (x.k_fast ? x.row : x.k) = r.pitch;
  (x.k_fast ? x.k : x.row) = 1;
  x.batch = x.batch == 0 ? 0 : r.lines * r.pitch;
  x.access = 16;
}

// ---- planning ----

// Largest access of up to 16 bytes that all of base and strides (in elements) keep aligned.
int alignment(const void* base, std::initializer_list<int64_t> strides, int64_t size) {
  uint64_t bits = reinterpret_cast<uintptr_t>(base) | 16;
  for (const int64_t s : strides) bits |= static_cast<uint64_t>(s * size);
  return static_cast<int>(bits & (~bits + 1));
}

template <class T>
GemmOperand<T> operand(const View& v, int row_dim, int k_dim) {
  GemmOperand<T> x{v.ptr<const T>(), v.strides[0], v.strides[row_dim], v.strides[k_dim], true, 0};
  if (v.sizes[0] == 1) x.batch = 0;
  // A stride of a dimension of size 1 is never used: leave the other direction to be the fast one.
  if (v.sizes[row_dim] == 1) x.row = 0;
  if (v.sizes[k_dim] == 1) x.k = v.sizes[row_dim] == 1 ? 1 : 0;
  x.k_fast = x.k == 1 || (x.row != 1 && x.k <= x.row);
  if ((x.k_fast ? x.k : x.row) == 1)
    x.access = alignment(x.data, {x.k_fast ? x.row : x.k, x.batch}, sizeof(T));
  return x;
}

template <class T>
GemmProblem<T> problem(const View& a, const View& b, const View& c, double alpha, double beta,
                       const GemmEpilogue& e) {
  using Acc = GemmAcc<T>;
  const auto factor = [](double v) {
    if constexpr (detail::kIsFloating<T>)
      return static_cast<Acc>(v);
    else
      return static_cast<Acc>(static_cast<int64_t>(v));
  };
  GemmProblem<T> p;
  p.batch = c.sizes[0];
  p.m = c.sizes[1];
  p.n = c.sizes[2];
  p.k = a.sizes[2];
  p.a = operand<T>(a, 1, 2);
  p.b = operand<T>(b, 2, 1);
  p.c = GemmOutput<T>{c.ptr<T>(),
                      c.strides[0],
                      c.strides[1],
                      1,
                      static_cast<const T*>(e.bias),
                      e.row_stride,
                      e.column_stride,
                      factor(alpha),
                      factor(beta),
                      beta != 0,
                      e.activation == Activation::Relu,
                      false,
                      nullptr,
                      0,
                      0};
  p.splits = 1;
  p.split_depth = 0;
  // Batches that share B and whose rows follow each other are one tall product.
  if (p.batch > 1 && p.b.batch == 0 && p.a.batch == p.m * p.a.row && p.c.batch == p.m * p.c.row &&
      (e.bias == nullptr || e.row_stride == 0)) {
    p.m *= p.batch;
    p.batch = 1;
    p.a.batch = 0;
  }
  p.c.vector = alignment(c.data, {p.c.row, p.batch > 1 ? p.c.batch : 0}, sizeof(T)) == 16;
  return p;
}

// C^T = B^T A^T
template <class T>
void turn(GemmProblem<T>& p) {
  std::swap(p.m, p.n);
  std::swap(p.a, p.b);
  std::swap(p.c.row, p.c.column);
  std::swap(p.c.bias_row, p.c.bias_column);
  p.c.vector = false;
}

// Sets the number of splits for a grid of `blocks` blocks per split, and gives them room.
template <class T>
void plan_splits(GemmProblem<T>& p, int64_t blocks, std::optional<Scratch>& space) {
  using Acc = GemmAcc<T>;
  int64_t splits = 1;
  if (blocks < kFullGrid) splits = most<int64_t>(1, least(ceil_div(kSplitBlocks, blocks), p.k / kMinSplit));
  splits = most(splits, ceil_div(p.k, kMaxDepth));
  const int64_t depth = ceil_div(ceil_div(most<int64_t>(p.k, 1), splits), kDepthGranule) * kDepthGranule;
  p.split_depth = static_cast<int>(depth);
  p.splits = static_cast<int>(most<int64_t>(1, ceil_div(p.k, depth)));
  if (p.splits == 1) return;
  constexpr int64_t kG = 16 / static_cast<int64_t>(sizeof(Acc));
  p.c.pitch = ceil_div(p.n, kG) * kG;
  p.c.partial_split = p.batch * p.m * p.c.pitch;
  p.c.partial =
      space.emplace(p.splits * p.c.partial_split * static_cast<int64_t>(sizeof(Acc))).template ptr<Acc>();
}

template <class T>
void add_splits(const GemmProblem<T>& p) {
  if (p.splits == 1) return;
  constexpr int64_t kG = 16 / static_cast<int64_t>(sizeof(GemmAcc<T>));
  const int64_t pieces = p.batch * p.m * p.c.pitch / kG;
  CCDL_LAUNCH((LaunchConfig{dim3(static_cast<unsigned>(ceil_div<int64_t>(pieces, 256))), dim3(256)}),
              (gemm_split_sum_kernel<T>), p);
}

template <class T>
int64_t tiles_of(const GemmProblem<T>& p, int64_t tile_m, int64_t tile_n) {
  return p.batch * ceil_div(p.m, tile_m) * ceil_div(p.n, tile_n);
}

// The tensor-core loops: asynchronous copies need unit stride and lines aligned to 4 bytes, TMA to 16; lines
// of less than they could use are worth a copy where they are read often.
template <class T, class Launch>
void run_mma(GemmProblem<T> p, int64_t tile_n, const Launch& launch) {
  std::optional<Scratch> room_a, room_b, sums;
  const int64_t large = tiles_of(p, 128, tile_n);
  const bool large_tile = large >= kFullGrid && p.m > 64 && p.n > 64;
  const bool hopper = kIsHalf<T> && large_tile && p.k > 0 && wants_sm90();
  const int enough = hopper ? 16 : 8;
  if (p.k > 0) {
    if (p.a.access < 4 || (p.a.access < enough && p.n >= kRepackReuse))
      repack(p.a, p.batch, p.m, p.k, room_a);
    if (p.b.access < 4 || (p.b.access < enough && p.m >= kRepackReuse))
      repack(p.b, p.batch, p.n, p.k, room_b);
  }
  if constexpr (kIsHalf<T>)
    if (hopper && gemm_sm90(p)) return;
  plan_splits(p, large_tile ? large : tiles_of(p, 64, 64), sums);
  launch(p, large_tile);
  add_splits(p);
}

template <class T, class Launch>
void run_simt(GemmProblem<T> p, int64_t large_size, const Launch& launch) {
  std::optional<Scratch> sums;
  const int64_t large = tiles_of(p, large_size, large_size);
  const bool large_tile = large >= kFullGrid && p.m > 64 && p.n > 64;
  plan_splits(p, large_tile ? large : tiles_of(p, 64, 64), sums);
  launch(p, large_tile);
  add_splits(p);
}

// Few rows or columns: true if the streaming kernels took it.
template <class T>
bool run_small(GemmProblem<T> p) {
  if (p.m > kSmallRows<T> && p.n <= kSmallRows<T>) turn(p);
  if (p.m > kSmallRows<T> || p.b.access == 0 || p.k == 0) return false;
  std::optional<Scratch> sums;
  const int64_t width = p.b.k_fast ? 16 : kWarp * 16 / static_cast<int64_t>(sizeof(T));
  plan_splits(p, p.batch * ceil_div(p.n, width), sums);
  gemm_small(p);
  add_splits(p);
  return true;
}

template <class T>
void run(const View& a, const View& b, const View& c, double alpha, double beta, const GemmEpilogue& e) {
  const GemmProblem<T> p = problem<T>(a, b, c, alpha, beta, e);
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  if constexpr (!detail::kIsFloating<T>) {
    run_simt(p, 64, [](const GemmProblem<T>& q, bool) { gemm_integer(q); });
  } else {
    if (run_small(p)) return;
    if constexpr (kIsHalf<T>) {
      run_mma(p, 128, [](const GemmProblem<T>& q, bool large) { gemm_mma(q, large); });
    } else if constexpr (sizeof(T) == 8) {
      run_simt(p, 64, [](const GemmProblem<T>& q, bool) { gemm_f64(q); });
    } else {
      const MatmulPrecision how = matmul_precision();
      if (how == MatmulPrecision::Tf32)
        run_mma(p, 128, gemm_tf32);
      else if (how == MatmulPrecision::Tf32x3)
        run_mma(p, 64, gemm_tf32x3);
      else
        run_simt(p, 128, gemm_simt_f32);
    }
  }
}

}  // namespace

void gemm(const View& a, const View& b, const View& c, double alpha, double beta,
          const GemmEpilogue& epilogue) {
  switch (c.dtype) {
    case DType::Float32:
      return run<float>(a, b, c, alpha, beta, epilogue);
    case DType::Float64:
      return run<double>(a, b, c, alpha, beta, epilogue);
    case DType::Float16:
      return run<float16>(a, b, c, alpha, beta, epilogue);
    case DType::BFloat16:
      return run<bfloat16>(a, b, c, alpha, beta, epilogue);
    case DType::UInt8:
      return run<uint8_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int8:
      return run<int8_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int16:
      return run<int16_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int32:
      return run<int32_t>(a, b, c, alpha, beta, epilogue);
    case DType::Int64:
      return run<int64_t>(a, b, c, alpha, beta, epilogue);
    default:
      fail(ErrorKind::DType, str("gemm: ", dtype_name(c.dtype), " matrices have no product"));
  }
}

}  // namespace ccdl::cu
