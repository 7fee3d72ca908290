// LAMB in two passes over the pieces of all parameters: norms, then the move, which computes the direction
// again rather than keep it. Adafactor in four over tiles of rows: squares, column averages, norm, move.
#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/item_pieces.h>
#include <ccdl/cpu/simd/optim_scaled.h>
#include <ccdl/kernels/optim_scaled.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <ccdl/core/parallel.h>

namespace ccdl::cpu {
namespace {

const OptimScaledKernels& simd() { return simd_optim_scaled_kernels(); }

void* part(const void* p, const OptimItem& item, int64_t start) {
  return element(const_cast<void*>(p), item.dtype, start);
}

constexpr int64_t kTileRows = 32;

// Rows [first, first + count) of matrix `batch` of an item, or elements of one that is no matrix.
struct Tile {
  int64_t item, batch, first, count, columns_at;  // where its column sums are in the workspace
};

struct Tiles {
  std::vector<Tile> list;
  std::vector<int64_t> begin;  // the first tile of every item, and the end
  int64_t sums = 0, elements = 0;

  Tiles(const AdafactorItem* items, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const AdafactorItem& item = items[i];
      begin.push_back(static_cast<int64_t>(list.size()));
      elements += item.n;
      if (item.n == 0) continue;
      const int64_t step = item.rows == 0 ? kPiece : std::max(kTileRows, kPiece / item.columns);
      const int64_t end = item.rows == 0 ? item.n : item.rows;
      for (int64_t b = 0; b < (item.rows == 0 ? 1 : item.batch); ++b)
        for (int64_t first = 0; first < end; first += step) {
          list.push_back({i, b, first, std::min(step, end - first), sums});
          if (item.rows != 0) sums += item.columns;
        }
    }
    begin.push_back(static_cast<int64_t>(list.size()));
  }
  int64_t size() const { return static_cast<int64_t>(list.size()); }
  // fn(number, tile), several small tiles to a chunk
  template <class F>
  void each(const F& fn) const {
    const int64_t group = elements > 0 ? (size() * kPiece + elements - 1) / elements : 1;
    parallel_for(size(), group, [&](int64_t from, int64_t to) {
      for (int64_t k = from; k < to; ++k) fn(k, list[static_cast<size_t>(k)]);
    });
  }
};

double approached(double average, double target, double weight) {
  return average + weight * (target - average);
}

}  // namespace

int64_t lamb_workspace_bytes(const OptimItem* items, int64_t count) {
  return piece_count(items, count) * 2 * static_cast<int64_t>(sizeof(double));
}

void lamb_step(const OptimItem* items, int64_t count, const LambOptions& o, void* workspace) {
  double* sums = static_cast<double*>(workspace);
  std::vector<LambNumbers<double>> numbers;
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back(optim_scaled::numbers_of(o, static_cast<double>(items[i].step)));
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t piece) {
    const OptimItem& item = items[i];
    simd().lamb_sums[float_index(item.dtype)](
        part(item.param, item, start), part(item.grad, item, start), part(item.state[0], item, start),
        part(item.state[1], item, start), n, numbers[static_cast<size_t>(i)], sums + 2 * piece);
  });
  std::vector<double> amount;
  for (int64_t i = 0, piece = 0; i < count; ++i) {
    double p2 = 0, u2 = 0;
    for (int64_t left = piece_count(items + i, 1); left > 0; --left, ++piece) {
      p2 += sums[2 * piece];
      u2 += sums[2 * piece + 1];
    }
    amount.push_back(optim_scaled::lamb_amount(o.lr, o.max_ratio, p2, u2));
  }
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const OptimItem& item = items[i];
    simd().lamb_move[float_index(item.dtype)](
        part(item.param, item, start), part(item.grad, item, start), part(item.state[0], item, start),
        part(item.state[1], item, start), n, numbers[static_cast<size_t>(i)], amount[static_cast<size_t>(i)]);
  });
}

int64_t adafactor_workspace_bytes(const AdafactorItem* items, int64_t count) {
  const Tiles tiles(items, count);
  return (tiles.size() * 2 + tiles.sums) * static_cast<int64_t>(sizeof(double));
}

void adafactor_step(const AdafactorItem* items, int64_t count, const AdafactorOptions& o, void* workspace) {
  const Tiles tiles(items, count);
  double* sums = static_cast<double*>(workspace);  // per tile: of p^2, of u^2
  double* columns = sums + 2 * tiles.size();
  const auto floor_of = [](const AdafactorItem& item) { return item.eps1 * item.eps1; };
  tiles.each([&](int64_t k, const Tile& tile) {
    const AdafactorItem& item = items[tile.item];
    const int type = float_index(item.dtype);
    if (item.rows == 0) {
      sums[2 * k] = simd().sum_squares[type](part(item.param, item, tile.first), tile.count);
      sums[2 * k + 1] =
          simd().plain_sum[type](part(item.grad, item, tile.first), part(item.state[0], item, tile.first),
                                 tile.count, item.weight, floor_of(item));
      return;
    }
    double* mine = columns + tile.columns_at;
    std::fill(mine, mine + item.columns, 0.0);
    sums[2 * k] = 0;
    for (int64_t r = tile.batch * item.rows + tile.first, end = r + tile.count; r < end; ++r) {
      const double square =
          simd().row_squares[type](part(item.grad, item, r * item.columns), item.columns, mine);
      void* row = part(item.state[0], item, r);
      write_float(
          row, item.dtype,
          approached(read_float(row, item.dtype), square / static_cast<double>(item.columns), item.weight));
      sums[2 * k] += simd().sum_squares[type](part(item.param, item, r * item.columns), item.columns);
    }
  });
  // the averages of columns, and 1 / max(mean of the rows' averages, eps1)
  std::vector<std::pair<int64_t, int64_t>> matrices;  // item, its first tile
  std::vector<double> scale;
  std::vector<size_t> first_matrix;
  for (int64_t i = 0; i < count; ++i) {
    first_matrix.push_back(matrices.size());
    const int64_t all = tiles.begin[static_cast<size_t>(i) + 1] - tiles.begin[static_cast<size_t>(i)];
    for (int64_t b = 0; items[i].rows != 0 && all > 0 && b < items[i].batch; ++b)
      matrices.push_back({i, tiles.begin[static_cast<size_t>(i)] + b * (all / items[i].batch)});
  }
  scale.resize(matrices.size());
  parallel_for(static_cast<int64_t>(matrices.size()), 1, [&](int64_t from, int64_t to) {
    for (int64_t k = from; k < to; ++k) {
      const auto [i, first] = matrices[static_cast<size_t>(k)];
      const AdafactorItem& item = items[i];
      const int64_t b = tiles.list[static_cast<size_t>(first)].batch;
      int64_t last = first;
      double* total = columns + tiles.list[static_cast<size_t>(first)].columns_at;
      for (++last;
           last < tiles.begin[static_cast<size_t>(i) + 1] && tiles.list[static_cast<size_t>(last)].batch == b;
           ++last) {
        const double* more = columns + tiles.list[static_cast<size_t>(last)].columns_at;
        for (int64_t c = 0; c < item.columns; ++c) total[c] += more[c];
      }
      for (int64_t c = 0; c < item.columns; ++c) {
        void* at = part(item.state[1], item, b * item.columns + c);
        write_float(
            at, item.dtype,
            approached(read_float(at, item.dtype), total[c] / static_cast<double>(item.rows), item.weight));
      }
      double mean = 0;
      for (int64_t r = 0; r < item.rows; ++r)
        mean += read_float(part(item.state[0], item, b * item.rows + r), item.dtype);
      mean /= static_cast<double>(item.rows);
      scale[static_cast<size_t>(k)] = 1 / (mean < item.eps1 ? item.eps1 : mean);
    }
  });
  const auto row_of = [&](const AdafactorItem& item, const Tile& tile, int64_t r) {
    const size_t matrix = first_matrix[static_cast<size_t>(tile.item)] + static_cast<size_t>(tile.batch);
    return read_float(part(item.state[0], item, r), item.dtype) * scale[matrix];
  };
  tiles.each([&](int64_t k, const Tile& tile) {
    const AdafactorItem& item = items[tile.item];
    if (item.rows == 0) return;
    sums[2 * k + 1] = 0;
    for (int64_t r = tile.batch * item.rows + tile.first, end = r + tile.count; r < end; ++r)
      sums[2 * k + 1] += simd().row_sum[float_index(item.dtype)](
          part(item.grad, item, r * item.columns), part(item.state[1], item, tile.batch * item.columns),
          item.columns, row_of(item, tile, r), floor_of(item));
  });
  std::vector<double> amount;
  for (int64_t i = 0; i < count; ++i) {
    double p2 = 0, u2 = 0;
    for (int64_t k = tiles.begin[static_cast<size_t>(i)]; k < tiles.begin[static_cast<size_t>(i) + 1]; ++k) {
      p2 += sums[2 * k];
      u2 += sums[2 * k + 1];
    }
    const double sign = o.maximize ? -1 : 1;
    amount.push_back(
        sign * optim_scaled::adafactor_amount(o, items[i].rate, static_cast<double>(items[i].n), p2, u2));
  }
  const double shrink = 1 - o.lr * o.weight_decay;
  tiles.each([&](int64_t, const Tile& tile) {
    const AdafactorItem& item = items[tile.item];
    const int type = float_index(item.dtype);
    const double move = amount[static_cast<size_t>(tile.item)];
    if (item.rows == 0)
      return simd().plain_move[type](part(item.param, item, tile.first), part(item.grad, item, tile.first),
                                     part(item.state[0], item, tile.first), tile.count, floor_of(item),
                                     shrink, move);
    for (int64_t r = tile.batch * item.rows + tile.first, end = r + tile.count; r < end; ++r)
      simd().row_move[type](part(item.param, item, r * item.columns), part(item.grad, item, r * item.columns),
                            part(item.state[1], item, tile.batch * item.columns), item.columns,
                            row_of(item, tile, r), floor_of(item), shrink, move);
  });
}

}  // namespace ccdl::cpu
