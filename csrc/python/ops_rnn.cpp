// Rows of the recurrent layers: whole sequences, padded or packed, and single steps.
#include "binding.h"

#include <ccdl/ops/rnn.h>

namespace ccdl::python {
namespace {

// The arguments from `has_biases` at `at` on are the same in every row.
ops::RnnOptions options(const Args& a, RnnMode mode, int at, bool padded) {
  ops::RnnOptions o;
  o.mode = mode;
  o.has_biases = a.boolean(at);
  o.num_layers = a.integer(at + 1);
  o.dropout = a.real(at + 2);
  o.train = a.boolean(at + 3);
  o.bidirectional = a.boolean(at + 4);
  if (padded) o.batch_first = a.boolean(at + 5);
  return o;
}

std::tuple<Tensor, Tensor, Tensor> three(const ops::RnnState& s) { return {s.y, s.hn, s.cn}; }
std::tuple<Tensor, Tensor> two(const ops::RnnState& s) { return {s.y, s.hn}; }

struct LstmStates {
  Tensor h, c;
};
// None: zeros.
LstmStates lstm_states(const Args& a, const char* op, int at) {
  if (a.is_none(at)) return {};
  const TensorList& hx = a.tensors(at);
  CCDL_CHECK(hx.size() == 2, Runtime, op, ": expects two hidden states (h, c), got ", hx.size());
  CCDL_CHECK(hx[0].defined() && hx[1].defined(), Type, op, ": hidden states must be tensors, got None");
  return {hx[0], hx[1]};
}

PyObject* lstm(const Args& a, const char* op, RnnMode mode) {
  return a.run([&] {
    const auto [h, c] = lstm_states(a, op, 1);
    return three(ops::rnn(op, options(a, mode, 3, true), a.tensor(0), h, c, a.tensors(2)));
  });
}
PyObject* lstm_packed(const Args& a, const char* op, RnnMode mode) {
  return a.run([&] {
    const auto [h, c] = lstm_states(a, op, 2);
    return three(
        ops::rnn_packed(op, options(a, mode, 4, false), a.tensor(0), a.tensor(1), h, c, a.tensors(3)));
  });
}
PyObject* plain(const Args& a, const char* op, RnnMode mode) {
  return a.run([&] {
    return two(ops::rnn(op, options(a, mode, 3, true), a.tensor(0), a.tensor_or(1), {}, a.tensors(2)));
  });
}
PyObject* plain_packed(const Args& a, const char* op, RnnMode mode) {
  return a.run([&] {
    return two(ops::rnn_packed(op, options(a, mode, 4, false), a.tensor(0), a.tensor(1), a.tensor_or(2), {},
                               a.tensors(3)));
  });
}

ops::RnnWeights cell_weights(const Args& a) {
  return {a.tensor(2), a.tensor(3), a.tensor_or(4), a.tensor_or(5), {}, {}};
}
PyObject* cell(const Args& a, const char* op, RnnMode mode) {
  return a.run([&] { return ops::rnn_cell(op, mode, a.tensor(0), a.tensor(1), {}, cell_weights(a)).hn; });
}
PyObject* lstm_cell(const Args& a, const char* op, RnnMode mode, const Tensor& peephole) {
  return a.run([&] {
    const auto [h, c] = lstm_states(a, op, 1);
    ops::RnnWeights w = cell_weights(a);
    w.peephole = peephole;
    const ops::RnnState s = ops::rnn_cell(op, mode, a.tensor(0), h, c, w);
    return std::tuple<Tensor, Tensor>(s.hn, s.cn);
  });
}
RnnMode gru_mode(const Args& a, int reset_after) {
  return a.boolean(reset_after) ? RnnMode::Gru : RnnMode::GruBefore;
}

}  // namespace

#define CCDL_RNN_PADDED                                                                                    \
  "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool " \
  "batch_first"
#define CCDL_RNN_PACKED \
  "Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional"
#define CCDL_RNN_CELL "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None"

static const Row kRows[] = {
    {"lstm(Tensor input, Tensor[]? hx, " CCDL_RNN_PADDED ") -> (Tensor, Tensor, Tensor)",
     [](const Args& a) { return lstm(a, "lstm", RnnMode::Lstm); }},
    {"lstm(Tensor data, Tensor batch_sizes, Tensor[]? hx, " CCDL_RNN_PACKED ") -> (Tensor, Tensor, Tensor)",
     [](const Args& a) { return lstm_packed(a, "lstm", RnnMode::Lstm); }},
    {"peephole_lstm(Tensor input, Tensor[]? hx, " CCDL_RNN_PADDED ") -> (Tensor, Tensor, Tensor)",
     [](const Args& a) { return lstm(a, "peephole_lstm", RnnMode::LstmPeephole); }},
    {"peephole_lstm(Tensor data, Tensor batch_sizes, Tensor[]? hx, " CCDL_RNN_PACKED
     ") -> (Tensor, Tensor, Tensor)",
     [](const Args& a) { return lstm_packed(a, "peephole_lstm", RnnMode::LstmPeephole); }},
    {"gru(Tensor input, Tensor? hx, " CCDL_RNN_PADDED ", bool reset_after=True) -> (Tensor, Tensor)",
     [](const Args& a) { return plain(a, "gru", gru_mode(a, 9)); }},
    {"gru(Tensor data, Tensor batch_sizes, Tensor? hx, " CCDL_RNN_PACKED
     ", bool reset_after=True) -> (Tensor, Tensor)",
     [](const Args& a) { return plain_packed(a, "gru", gru_mode(a, 9)); }},
    {"rnn_tanh(Tensor input, Tensor? hx, " CCDL_RNN_PADDED ") -> (Tensor, Tensor)",
     [](const Args& a) { return plain(a, "rnn_tanh", RnnMode::Tanh); }},
    {"rnn_tanh(Tensor data, Tensor batch_sizes, Tensor? hx, " CCDL_RNN_PACKED ") -> (Tensor, Tensor)",
     [](const Args& a) { return plain_packed(a, "rnn_tanh", RnnMode::Tanh); }},
    {"rnn_relu(Tensor input, Tensor? hx, " CCDL_RNN_PADDED ") -> (Tensor, Tensor)",
     [](const Args& a) { return plain(a, "rnn_relu", RnnMode::Relu); }},
    {"rnn_relu(Tensor data, Tensor batch_sizes, Tensor? hx, " CCDL_RNN_PACKED ") -> (Tensor, Tensor)",
     [](const Args& a) { return plain_packed(a, "rnn_relu", RnnMode::Relu); }},
    {"lstm_cell(Tensor input, Tensor[] hx, " CCDL_RNN_CELL ") -> (Tensor, Tensor)",
     [](const Args& a) { return lstm_cell(a, "lstm_cell", RnnMode::Lstm, {}); }},
    {"peephole_lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, "
     "Tensor w_ph) -> (Tensor, Tensor)",
     [](const Args& a) { return lstm_cell(a, "peephole_lstm_cell", RnnMode::LstmPeephole, a.tensor(6)); }},
    {"gru_cell(Tensor input, Tensor hx, " CCDL_RNN_CELL ", bool reset_after=True) -> Tensor",
     [](const Args& a) { return cell(a, "gru_cell", gru_mode(a, 6)); }},
    {"rnn_tanh_cell(Tensor input, Tensor hx, " CCDL_RNN_CELL ") -> Tensor",
     [](const Args& a) { return cell(a, "rnn_tanh_cell", RnnMode::Tanh); }},
    {"rnn_relu_cell(Tensor input, Tensor hx, " CCDL_RNN_CELL ") -> Tensor",
     [](const Args& a) { return cell(a, "rnn_relu_cell", RnnMode::Relu); }},
};
void bind_rnn(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
