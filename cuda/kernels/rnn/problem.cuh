// What the files of the recurrent kernels share: how rows are packed, the workspace, and the launchers of the
// three ways a sequence is run.
#pragma once
#include <device/prelude.cuh>
#include <kernels/rnn/cell.cuh>

namespace ccdl::cu {

// Packed rows as a kernel sees them.
struct RnnRows {
  const int64_t* offsets;  // [steps + 1] on the device, null: every step has `batch` rows
  int64_t batch, steps;
  bool reverse;

  CCDL_DEVICE int64_t offset(int64_t t) const { return offsets == nullptr ? t * batch : offsets[t]; }
  CCDL_DEVICE int64_t rows(int64_t t) const {
    return offsets == nullptr ? batch : offsets[t + 1] - offsets[t];
  }
  // The row whose state step t of sequence b starts from, or -1: the initial state.
  CCDL_DEVICE int64_t before(int64_t t, int64_t b) const {
    if (!reverse) return t == 0 ? -1 : offset(t - 1) + b;
    return t + 1 < steps && b < rows(t + 1) ? offset(t + 1) + b : -1;
  }
  // The last step that the forward pass does for sequence b.
  CCDL_DEVICE bool last(int64_t t, int64_t b) const {
    return reverse ? t == 0 : t + 1 == steps || b >= rows(t + 1);
  }
};

// Parts of the workspace; `base` null only counts bytes. T: the element type, C: its stat type.
struct RnnSpace {
  int64_t* offsets;  // [steps + 1]
  void* signals;     // zeroed at the start of a persistent launch: counters, then images
  int64_t signal_bytes;
  unsigned* counters;  // one per slice of the batch, kCounterPitch apart
  void* images;        // two buffers of the exchanged state
  void* c;             // C [B, H]: c forward, its gradient backward
  void* dh;            // T [B, R], backward
  void* product;       // T [B, G H]: U h' of Gru, r h' of GruBefore, o tanh c or its gradient of projections
  void* sums;          // C [B, 3, H]: the peephole weights' gradient per sequence
  int64_t bytes;
};
constexpr int64_t kMostSlices = 4096;  // of the batch: more than there are resident blocks
constexpr int kCounterPitch = 32;      // unsigneds: a line each
constexpr int kUnits = 8;              // hidden units of a group: one warp's, or one block's
constexpr int kGridBatch = 16;         // sequences of a tile when blocks share the units of a larger batch
template <class T>
constexpr int kBlockBatch = sizeof(T) == 4
                                ? 4
                                : 8;  // sequences of a tile when a block has all units, or the batch is small
template <class T>
constexpr int kRnnDepth = sizeof(T) == 4 ? 1 : 16;  // hidden units are padded to this in the images

RnnSpace rnn_space(const RnnSteps& steps, int64_t hidden, int64_t state, DType t, bool backward, void* base);

inline RnnCell rnn_cell(RnnMode m) {
  return rnn_has_cell(m) ? RnnCell::Lstm : m == RnnMode::Gru ? RnnCell::Gru : RnnCell::Simple;
}

template <class T>
RnnForwardData<T> rnn_data(const RnnSteps& steps, const RnnForward& f) {
  using C = Compute<T>;
  RnnForwardData<T> d;
  d.gates = f.gates.ptr<T>();
  d.b_hh = f.b_hh.ptr<const T>();
  d.peephole = f.peephole.ptr<const T>();
  d.cn = f.cn.ptr<T>();
  d.cells = f.cells.ptr<C>();
  d.extra = f.extra.ptr<C>();
  d.hidden = f.gates.sizes[1] / rnn_gates(steps.mode);
  d.relu = steps.mode == RnnMode::Relu;
  return d;
}
template <class T>
RnnBackwardData<T> rnn_data(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space) {
  using C = Compute<T>;
  RnnBackwardData<T> d;
  d.gates = b.gates.ptr<const T>();
  d.cells = b.cells.ptr<const C>();
  d.extra = b.extra.ptr<const C>();
  d.y = b.y.ptr<const T>();
  d.y_stride = b.y.strides[0];
  d.h0 = b.h0.ptr<const T>();
  d.c0 = b.c0.ptr<const T>();
  d.peephole = b.peephole.ptr<const T>();
  d.dy = b.dy.ptr<const T>();
  d.dy_stride = b.dy.strides[0];
  d.dgates = b.dgates.ptr<T>();
  d.dgates_h = b.dgates_h.ptr<T>();
  d.peephole_sums = b.dpeephole.data == nullptr ? nullptr : static_cast<C*>(space.sums);
  d.hidden = b.gates.sizes[1] / rnn_gates(steps.mode);
  d.relu = steps.mode == RnnMode::Relu;
  return d;
}

// A product and a pointwise kernel per step.
void rnn_forward_by_steps(const RnnSteps& steps, const RnnForward& f, const RnnSpace& space);
void rnn_backward_by_steps(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space);

// The whole sequence in one launch. Block: each block has all hidden units and some sequences. Grid: the
// blocks of a cooperative launch share the units. Auto: whichever is expected to be faster, if any. False:
// the weights do not fit, or the blocks would not be resident together.
enum class RnnPath { Auto, Block, Grid };
template <class T>
bool rnn_forward_persistent(const RnnSteps& steps, const RnnForward& f, const RnnSpace& space, RnnPath path);
template <class T>
bool rnn_backward_persistent(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space,
                             RnnPath path);
// space.offsets, from steps.batch_sizes; nothing to do where every step has the same rows. Returns the rows
// as kernels see them.
RnnRows rnn_rows(const RnnSteps& steps, const RnnSpace& space);

}  // namespace ccdl::cu
