// Element types, sizes and strides, errors.
#include <ccdl/core/dtype.h>
#include <ccdl/core/shape.h>

#include <cstring>
#include <limits>

#include "test.h"

using namespace ccdl;

TEST(float16_round_trips_every_pattern) {
  for (uint32_t b = 0; b < 65536; ++b) {
    float16 h;
    h.bits = static_cast<uint16_t>(b);
    const float f = static_cast<float>(h);
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(float16(f))));
    } else {
      CHECK(float16(f).bits == h.bits);
    }
  }
}

TEST(float16_rounds_to_nearest_even) {
  CHECK(float16(1.0f + 0x1p-11f).bits == float16(1.0f).bits);                     // half way, even below
  CHECK(float16(1.0f + 3 * 0x1p-11f).bits == float16(1.0f + 2 * 0x1p-10f).bits);  // half way, even above
  CHECK(float16(65519.0f).bits == 0x7bff);
  CHECK(float16(65520.0f).bits == 0x7c00);
  CHECK(float16(0x1p-25f).bits == 0);
  CHECK(float16(0x1.8p-25f).bits == 1);
  CHECK(float16(-0.0f).bits == 0x8000);
}

TEST(bfloat16_round_trips_and_rounds) {
  for (uint32_t b = 0; b < 65536; ++b) {
    bfloat16 h;
    h.bits = static_cast<uint16_t>(b);
    const float f = static_cast<float>(h);
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(bfloat16(f))));
    } else {
      CHECK(bfloat16(f).bits == h.bits);
    }
  }
  CHECK(bfloat16(1.0f + 0x1p-8f).bits == bfloat16(1.0f).bits);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
}

TEST(numel_is_checked) {
  CHECK(checked_numel("op", Dims{2, 3, 4}) == 24);
  CHECK(checked_numel("op", Dims{}) == 1);
  CHECK(checked_numel("op", Dims{0, 5}) == 0);
  CHECK_THROWS(checked_numel("empty", Dims{-1}), Shape, "empty: sizes must not be negative, got [-1]");
  CHECK_THROWS(checked_numel("empty", Dims{int64_t{1} << 40, int64_t{1} << 40}), Value, "empty");
  CHECK_THROWS(checked_numel("empty", Dims{0, int64_t{1} << 40, int64_t{1} << 40}), Value, "empty");
  CHECK_THROWS(checked_bytes("empty", Dims{int64_t{1} << 61}, DType::Float64), Value, "empty");
}

TEST(dims_wrap_and_broadcast) {
  CHECK(wrap_dim("sum", -1, 3) == 2);
  CHECK(wrap_dim("sum", 0, 3) == 0);
  CHECK_THROWS(wrap_dim("sum", 3, 3), Index,
               "Dimension out of range (expected to be in range of [-3, 2], but got 3)");
  CHECK_THROWS(wrap_dim("sum", -4, 3), Index, "sum");
  CHECK((broadcast_shapes("add", Dims{2, 1, 3}, Dims{4, 1}) == Dims{2, 4, 3}));
  CHECK((broadcast_shapes("add", Dims{0}, Dims{1}) == Dims{0}));
  CHECK_THROWS(broadcast_shapes("add", Dims{2, 3}, Dims{2, 4}), Shape, "add");
}

TEST(strides) {
  CHECK((contiguous_strides(Dims{2, 3, 4}) == Dims{12, 4, 1}));
  CHECK(strides_contiguous(Dims{2, 1, 4}, Dims{4, 77, 1}));
  CHECK(!strides_contiguous(Dims{2, 3}, Dims{1, 2}));
  CHECK(strides_dense(Dims{2, 3}, Dims{1, 2}));
  CHECK(!strides_dense(Dims{2, 3}, Dims{4, 1}));
  CHECK((channels_last_strides(Dims{2, 3, 4, 5}) == Dims{60, 1, 15, 3}));
  Dims out;
  CHECK(view_strides(Dims{2, 3, 4}, Dims{12, 4, 1}, Dims{6, 4}, &out) && (out == Dims{4, 1}));
  CHECK(!view_strides(Dims{2, 3}, Dims{1, 2}, Dims{6}, &out));
  CHECK((infer_size("reshape", Dims{-1, 4}, 24) == Dims{6, 4}));
  CHECK_THROWS(infer_size("reshape", Dims{-1, -1}, 24), Shape, "reshape");
  CHECK_THROWS(infer_size("reshape", Dims{5, -1}, 24), Shape, "reshape");
}

TEST(too_many_dims) {
  Dims d;
  for (int i = 0; i < kMaxDims; ++i) d.push_back(1);
  bool thrown = false;
  try {
    d.push_back(1);
  } catch (const Error&) {
    thrown = true;
  }
  CHECK(thrown);
}

TEST_MAIN()
