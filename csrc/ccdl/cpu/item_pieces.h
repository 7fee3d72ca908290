// Work sharing over a list of arrays: all of them form one flat list of fixed-size pieces, so many small
// tensors cost one parallel region and the pieces never depend on the thread count.
#pragma once
#include <ccdl/core/parallel.h>

#include <cstdint>
#include <vector>

namespace ccdl::cpu {

constexpr int64_t kPiece = 16384;

template <class Item>
int64_t piece_count(const Item* items, int64_t count) {
  int64_t pieces = 0;
  for (int64_t i = 0; i < count; ++i) pieces += (items[i].n + kPiece - 1) / kPiece;
  return pieces;
}

// fn(item index, first element, elements, piece number) for every piece; items have a member n.
template <class Item, class F>
void for_pieces(const Item* items, int64_t count, const F& fn) {
  std::vector<int64_t> first(static_cast<size_t>(count) + 1, 0);  // piece number where an item starts
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) {
    first[i + 1] = first[i] + (items[i].n + kPiece - 1) / kPiece;
    total += items[i].n;
  }
  const int64_t pieces = first[count];
  // small tensors make small pieces: group them so that a chunk still holds about kPiece elements
  const int64_t group = total > 0 ? (pieces * kPiece + total - 1) / total : 1;
  parallel_for(pieces, group, [&](int64_t begin, int64_t end) {
    int64_t low = 0, high = count;
    while (high - low > 1) {
      const int64_t middle = (low + high) / 2;
      (first[middle] <= begin ? low : high) = middle;
    }
    for (int64_t i = low, piece = begin; piece < end; ++piece) {
      while (first[i + 1] <= piece) ++i;
      const int64_t start = (piece - first[i]) * kPiece;
      fn(i, start, items[i].n - start < kPiece ? items[i].n - start : kPiece, piece);
    }
  });
}

}  // namespace ccdl::cpu
