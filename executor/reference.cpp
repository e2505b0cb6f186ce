#include "executor/reference.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "executor/reference_call.h"
#include "models/sampling.h"

namespace tplan {
namespace {

using namespace reference;

void embedding(Call& c) {
    auto& out = *c.out[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t i = 0; i < out.columns; ++i) {
            out(r, i) = c.op.spec.factor * c.weights[0](c.tokens[at(r)], i);
        }
    }
}

void position_embedding(Call& c) {
    auto& out = *c.out[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t i = 0; i < out.columns; ++i) {
            out(r, i) = (*c.in[0])(r, i) + c.weights[0](c.position(r), i);
        }
    }
}

void linear(Call& c) {
    const auto& x = *c.in[0];
    const auto& w = c.weights[0];
    auto& out = *c.out[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t n = 0; n < out.columns; ++n) {
            double sum = c.weights.size() > 1 ? c.weights[1](0, n) : 0;
            for (std::int64_t k = 0; k < x.columns; ++k) {
                sum += x(r, k) * (c.op.spec.transposed ? w(k, n) : w(n, k));
            }
            out(r, n) = sum;
        }
    }
}

void norm(Call& c) {
    const auto& spec = *c.op.spec.norm;
    const auto& x = *c.in[0];
    const auto group = spec.group > 0 ? spec.group : x.columns;
    const auto n = static_cast<double>(group);
    for (std::int64_t r = 0; r < x.rows; ++r) {
        for (std::int64_t g = 0; g < x.columns; g += group) {
            double mean = 0, square = 0;
            for (std::int64_t i = 0; i < group; ++i) mean += x(r, g + i) / n;
            if (spec.kind == NormKind::rms) mean = 0;
            for (std::int64_t i = 0; i < group; ++i) square += std::pow(x(r, g + i) - mean, 2) / n;
            for (std::int64_t i = 0; i < group; ++i) {
                const auto w = at(spec.weight_per_group ? g + i : i);
                double y = (x(r, g + i) - mean) / std::sqrt(square + spec.eps);
                if (!c.weights.empty()) {
                    y *= c.weights[0].data[w] + (spec.unit_offset ? 1 : 0);
                }
                if (c.weights.size() > 1) y += c.weights[1].data[w];
                (*c.out[0])(r, g + i) = y;
            }
        }
    }
}

void add(Call& c) {
    auto& out = *c.out[0];
    out = *c.in[0];
    for (std::size_t k = 1; k < c.in.size(); ++k) {
        for (std::size_t i = 0; i < out.data.size(); ++i) {
            out.data[i] += c.op.spec.factor * c.in[k]->data[i];
        }
    }
}

/// Rotates the last rotary_dim columns of a head for latent attention, else the first.
void rope(Call& c) {
    const auto& spec = *c.op.spec.rope;
    const bool latent = is_latent(spec, c.in[1]->columns);
    const auto half = spec.rotary_dim / 2;
    for (std::size_t k = 0; k < 2; ++k) {
        auto& out = *c.out[k];
        out = *c.in[k];
        const auto head_dim = latent && k == 1 ? spec.rotary_dim : spec.head_dim;
        const auto skipped = latent ? head_dim - spec.rotary_dim : 0;
        for (std::int64_t r = 0; r < out.rows; ++r) {
            for (auto head = skipped; head < out.columns; head += head_dim) {
                for (std::int64_t i = 0; i < half; ++i) {
                    const auto first = head + (spec.interleaved ? 2 * i : i);
                    const auto second = first + (spec.interleaved ? 1 : half);
                    const double exponent =
                        -2.0 * static_cast<double>(i) / static_cast<double>(spec.rotary_dim);
                    const double angle = static_cast<double>(c.position(r)) / spec.position_scale *
                                         std::pow(spec.theta, exponent);
                    const double a = out(r, first), b = out(r, second);
                    out(r, first) = a * std::cos(angle) - b * std::sin(angle);
                    out(r, second) = b * std::cos(angle) + a * std::sin(angle);
                }
            }
        }
    }
}

void unpack_qkv(Call& c) {
    const auto& spec = *c.op.spec.attention;
    std::int64_t groups = 1;
    if (*c.op.spec.packing == QkvPacking::per_head) groups = spec.heads;
    if (*c.op.spec.packing == QkvPacking::per_kv_group) groups = spec.kv_heads;
    const std::array widths = {spec.heads / groups * spec.head_dim,
                               spec.kv_heads / groups * spec.head_dim,
                               spec.kv_heads / groups * spec.v_head_dim};
    for (std::int64_t r = 0; r < c.in[0]->rows; ++r) {
        std::int64_t from = 0;
        for (std::int64_t g = 0; g < groups; ++g) {
            for (std::size_t part = 0; part < 3; ++part) {
                for (std::int64_t i = 0; i < widths[part]; ++i) {
                    (*c.out[part])(r, g * widths[part] + i) = (*c.in[0])(r, from++);
                }
            }
        }
    }
}

/// Keys (or values) of one head and sequence, [all tokens, dim]: the synthetic cache, then the
/// columns [first, first + dim) of the new rows.
Value with_cache(const Call& c, const Value& fresh, bool values, std::int64_t sequence,
                 std::int64_t head, std::int64_t first, std::int64_t dim) {
    const auto query = c.workload.query_tokens();
    const auto old = c.workload.cached_tokens() - query;
    Value all(old + query, dim);
    std::vector<float> cached(at(old * dim));
    synthetic_cache(c.seed,
                    {.layer = c.layer,
                     .values = values,
                     .sequence = sequence,
                     .kv_head = head,
                     .first = 0,
                     .tokens = old,
                     .dim = dim},
                    cached.data());
    std::copy(cached.begin(), cached.end(), all.data.begin());
    for (std::int64_t t = 0; t < query; ++t) {
        for (std::int64_t i = 0; i < dim; ++i) {
            all(old + t, i) = fresh(sequence * query + t, first + i);
        }
    }
    return all;
}

/// One query head of one sequence.
void attend(Call& c, std::int64_t sequence, std::int64_t head, const Value& keys,
            const Value& values) {
    const auto& spec = *c.op.spec.attention;
    const auto query = c.workload.query_tokens();
    auto& out = *c.out[0];
    for (std::int64_t i = 0; i < query; ++i) {
        const auto row = sequence * query + i;
        const auto position = c.position(row);
        const auto first = spec.window > 0 ? std::max<std::int64_t>(0, position - spec.window + 1)
                                           : std::int64_t{0};
        std::vector<double> scores;
        for (auto t = first; t <= position; ++t) {
            double score = 0;
            for (std::int64_t d = 0; d < spec.head_dim; ++d) {
                score += (*c.in[0])(row, head * spec.head_dim + d) * keys(t, d);
            }
            score *= spec.scale;
            if (spec.softcap > 0) score = spec.softcap * std::tanh(score / spec.softcap);
            scores.push_back(score);
        }
        double top = *std::max_element(scores.begin(), scores.end());
        if (spec.sinks) top = std::max(top, c.weights[0](0, head));
        double total = spec.sinks ? std::exp(c.weights[0](0, head) - top) : 0;
        for (auto& score : scores) total += score = std::exp(score - top);
        for (std::int64_t d = 0; d < spec.v_head_dim; ++d) {
            double sum = 0;
            for (auto t = first; t <= position; ++t) sum += scores[at(t - first)] * values(t, d);
            out(row, head * spec.v_head_dim + d) = sum / total;
        }
    }
}

void attention(Call& c) {
    const auto& spec = *c.op.spec.attention;
    for (std::int64_t s = 0; s < c.workload.batch; ++s) {
        for (std::int64_t h = 0; h < spec.heads; ++h) {
            const auto kv = h * spec.kv_heads / spec.heads;
            attend(c, s, h,
                   with_cache(c, *c.in[1], false, s, kv, kv * spec.head_dim, spec.head_dim),
                   with_cache(c, *c.in[2], true, s, kv, kv * spec.v_head_dim, spec.v_head_dim));
        }
    }
}

/// Every head's key is [its own part | the rotated key of all heads], its value follows its part.
void latent_attention(Call& c) {
    const auto& spec = *c.op.spec.attention;
    const auto& rotated = *c.in[1];
    const auto& expanded = *c.in[2];
    const auto plain = spec.head_dim - rotated.columns;
    for (std::int64_t h = 0; h < spec.heads; ++h) {
        const auto first = h * (plain + spec.v_head_dim);
        Value fresh(rotated.rows, spec.head_dim);
        for (std::int64_t r = 0; r < fresh.rows; ++r) {
            for (std::int64_t i = 0; i < plain; ++i) fresh(r, i) = expanded(r, first + i);
            for (std::int64_t i = 0; i < rotated.columns; ++i) fresh(r, plain + i) = rotated(r, i);
        }
        for (std::int64_t s = 0; s < c.workload.batch; ++s) {
            attend(c, s, h, with_cache(c, fresh, false, s, h, 0, spec.head_dim),
                   with_cache(c, expanded, true, s, h, first + plain, spec.v_head_dim));
        }
    }
}

void split_columns(Call& c) {
    std::int64_t first = 0;
    for (auto* out : c.out) {
        for (std::int64_t r = 0; r < out->rows; ++r) {
            for (std::int64_t i = 0; i < out->columns; ++i) (*out)(r, i) = (*c.in[0])(r, first + i);
        }
        first += out->columns;
    }
}

void activation(Call& c) {
    const auto kind = *c.op.spec.activation;
    auto& out = *c.out[0];
    const bool halves = c.in.size() == 1 && c.in[0]->columns == 2 * out.columns;
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t i = 0; i < out.columns; ++i) {
            const double gate = (*c.in[0])(r, i);
            if (halves) {
                out(r, i) = gated(kind, gate, (*c.in[0])(r, out.columns + i));
            } else {
                out(r, i) =
                    c.in.size() > 1 ? gated(kind, gate, (*c.in[1])(r, i)) : activated(kind, gate);
            }
        }
    }
}

void multiply(Call& c) {
    auto& out = *c.out[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t i = 0; i < out.columns; ++i) {
            out(r, i) = (*c.in[0])(r, i) / (1 + std::exp(-(*c.in[1])(r, 0)));
        }
    }
}

void select_last(Call& c) {
    auto& out = *c.out[0];
    for (std::int64_t r = 0; r < out.rows; ++r) {
        for (std::int64_t i = 0; i < out.columns; ++i) {
            out(r, i) = (*c.in[0])((r + 1) * c.workload.query_tokens() - 1, i);
        }
    }
}

void scale(Call& c) {
    const double cap = c.op.spec.softcap;
    for (std::size_t i = 0; i < c.out[0]->data.size(); ++i) {
        const double x = c.in[0]->data[i] * c.op.spec.factor;
        c.out[0]->data[i] = cap > 0 ? cap * std::tanh(x / cap) : x;
    }
}

/// All of a row in order; what a short one lacks is kNoValue.
void largest(Call& c) {
    const auto& in = *c.in[0];
    auto& out = *c.out[0];
    const bool of_pairs = c.op.spec.largest->of_pairs;
    using Pair = std::pair<double, double>;  // value, index
    const auto before = [](const Pair& a, const Pair& b) {
        if (std::isnan(a.first) || std::isnan(b.first)) {
            return std::isnan(a.first) && (!std::isnan(b.first) || a.second < b.second);
        }
        return a.first > b.first || (a.first == b.first && a.second < b.second);
    };
    for (std::int64_t r = 0; r < out.rows; ++r) {
        std::vector<Pair> row;
        for (std::int64_t i = 0; i < in.columns; i += of_pairs ? 2 : 1) {
            row.emplace_back(in(r, i), of_pairs ? in(r, i + 1) : static_cast<double>(i));
        }
        std::sort(row.begin(), row.end(), before);
        for (std::int64_t i = 0; i < out.columns / 2; ++i) {
            const auto pair = at(i) < row.size() ? row[at(i)] : Pair{kNoValue, kNoIndex};
            out(r, 2 * i) = pair.first;
            out(r, 2 * i + 1) = pair.second;
        }
    }
}

[[noreturn]] void refuse(const Call& c) {
    throw Error("reference/" + c.op.name, "the reference does not compute this op yet");
}

void compute(Call& c) {
    switch (c.op.kind) {
        case OpKind::embedding:
            return embedding(c);
        case OpKind::position_embedding:
            return position_embedding(c);
        case OpKind::linear:
            return linear(c);
        case OpKind::norm:
            return norm(c);
        case OpKind::add:
            return add(c);
        case OpKind::rope:
            return rope(c);
        case OpKind::unpack_qkv:
            return unpack_qkv(c);
        case OpKind::attention:
            return c.op.spec.attention->latent_width > 0 ? latent_attention(c) : attention(c);
        case OpKind::split_columns:
            return split_columns(c);
        case OpKind::moe_router:
            return moe_router(c);
        case OpKind::moe_experts:
            return moe_experts(c);
        case OpKind::activation:
            return activation(c);
        case OpKind::multiply:
            return multiply(c);
        case OpKind::select_last:
            return select_last(c);
        case OpKind::scale:
            return scale(c);
        case OpKind::largest:
            return largest(c);
        default:
            refuse(c);
    }
}

/// The whole of an op's weight in `slot`.
Value load(const Model& model, const Block& block, const Op& op, std::size_t slot, int layer,
           const WeightSource& source) {
    const auto& tensor = block.tensors[at(op.weights[slot])];
    const auto& owner = model.blocks.front();
    WeightPart part;
    part.name =
        tensor.tied ? full_name(owner, owner.tensors.front(), -1) : full_name(block, tensor, layer);
    part.shape = tensor.shape;
    part.role = weight_role(op.kind, op.spec, slot);
    part.columns.extent = tensor.shape.back();
    part.rows.extent = tensor.elements() / part.columns.extent;
    part.stride = part.columns.extent;
    const bool product = op.kind == OpKind::linear;
    const bool matrix = tensor.shape.size() > (product ? 1U : 2U);
    part.fan_in = fan_in_of(tensor.shape, op.spec.transposed && matrix);
    std::vector<float> values(at(tensor.elements()));
    source(part, values.data());
    Value value(part.rows.extent, part.columns.extent);
    std::copy(values.begin(), values.end(), value.data.begin());
    return value;
}

/// The greatest of each row, the first of equals.
std::vector<std::int32_t> greedy_of(const Value& value) {
    std::vector<std::int32_t> best;
    for (std::int64_t r = 0; r < value.rows; ++r) {
        const auto row = value.data.begin() + r * value.columns;
        best.push_back(static_cast<std::int32_t>(std::max_element(row, row + value.columns) - row));
    }
    return best;
}

std::vector<std::int32_t> ids_of(const Model& model, const Workload& workload,
                                 const std::vector<std::int32_t>& tokens, std::uint64_t seed) {
    if (!tokens.empty()) return tokens;
    const auto vocab = model.blocks.front().tensors.front().shape[0];
    return synthetic_tokens(seed, workload.rows(Rows::tokens), vocab);
}

/// What the last block leaves.
Value run_blocks(const Model& model, const Workload& workload, const WeightSource& weights,
                 const std::vector<std::int32_t>& ids, std::uint64_t seed) {
    Value stream;
    for (const auto& use : model.sequence) {
        const auto& block = model.blocks[at(use.block)];
        std::vector<Value> values;
        for (const auto& activation : block.activations) {
            values.emplace_back(workload.rows(activation.rows), activation.width);
        }
        if (block.input >= 0) values[at(block.input)] = std::move(stream);
        for (const auto& op : block.ops) {
            Call call{op, workload, ids, seed, use.layer, {}, {}, {}};
            for (const int i : op.inputs) call.in.push_back(&values[at(i)]);
            for (const int i : op.outputs) call.out.push_back(&values[at(i)]);
            for (std::size_t slot = 0; slot < op.weights.size(); ++slot)
                call.weights.push_back(load(model, block, op, slot, use.layer, weights));
            compute(call);
        }
        stream = std::move(values[at(block.output)]);
    }
    return stream;
}

}  // namespace

double reference_loss(const Model& model, const Workload& workload, const WeightSource& weights,
                      const std::vector<std::int32_t>& tokens, std::uint64_t seed) {
    const auto ids = ids_of(model, workload, tokens, seed);
    const auto logits = run_blocks(model, workload, weights, ids, seed);
    double sum = 0;
    std::int64_t labels = 0;
    for (std::int64_t r = 0; r < logits.rows; ++r) {
        if ((r + 1) % workload.input == 0) continue;
        const auto row = logits.data.begin() + r * logits.columns;
        const double top = *std::max_element(row, row + logits.columns);
        double total = 0;
        for (std::int64_t i = 0; i < logits.columns; ++i) total += std::exp(row[i] - top);
        sum += std::log(total) + top - row[ids[at(r + 1)]];
        ++labels;
    }
    return sum / static_cast<double>(labels);
}

Outputs run_reference(const Model& model, const Workload& workload, const WeightSource& weights,
                      const std::vector<std::int32_t>& tokens, std::uint64_t seed) {
    const auto ids = ids_of(model, workload, tokens, seed);
    const auto stream = run_blocks(model, workload, weights, ids, seed);
    const auto& ops = model.blocks[at(model.sequence.back().block)].ops;
    Outputs outputs{stream.rows, stream.columns, {}, {}};
    for (const double x : stream.data) outputs.values.push_back(static_cast<float>(x));
    if (!ops.empty() && ops.back().kind == OpKind::largest) return chosen_tokens(outputs);
    outputs.greedy = greedy_of(stream);
    return outputs;
}

}  // namespace tplan
