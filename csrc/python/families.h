// The op families bound to Python, one line each.
#pragma once
#define CCDL_FAMILIES(X) \
  X(view)                \
  X(extension)           \
  X(tensor_python)       \
  X(matmul)              \
  X(linalg)              \
  X(special)             \
  X(slices)              \
  X(random)              \
  X(io)                  \
  X(runtime)             \
  X(cuda)                \
  X(index)               \
  X(shape)               \
  X(create)              \
  X(embedding)           \
  X(interpolate)         \
  X(grid_sample)         \
  X(conv)                \
  X(softmax)             \
  X(fft)                 \
  X(attention)           \
  X(loss)                \
  X(norm)                \
  X(pool)                \
  X(rnn)                 \
  X(optim)               \
  X(multi_tensor)        \
  X(autocast)            \
  X(reduce)              \
  X(sort)                \
  X(elementwise)         \
  X(activation)
