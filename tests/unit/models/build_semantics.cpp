// The graphs of the dense families, run op by op in the plainest way, give the logits that
// transformers gives for the same weights: residual order, norms, rotation, packing, windows, caps
// and multipliers of every family at once.
#include <cmath>

#include "models/build.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_configs.h"
#include "tests/support/transformers_logits.h"

using namespace tplan;

namespace {

/// [rows, columns]
struct Matrix {
    std::size_t rows = 0, columns = 0;
    std::vector<double> data{};
    Matrix() = default;
    Matrix(std::size_t r, std::size_t c) : rows(r), columns(c), data(r * c) {}
    double& at(std::size_t r, std::size_t c) { return data[r * columns + c]; }
    double at(std::size_t r, std::size_t c) const { return data[r * columns + c]; }
};

std::size_t size(std::int64_t n) {
    return static_cast<std::size_t>(n);
}

/// One op's inputs and weights, and the outputs to fill.
struct Call {
    const Op& op;
    std::vector<const Matrix*> in;
    std::vector<Matrix> weights;
    std::vector<Matrix*> out;
    const std::vector<std::int32_t>& tokens;
};

void embedding(Call& call) {
    for (std::size_t r = 0; r < call.out[0]->rows; ++r) {
        for (std::size_t c = 0; c < call.out[0]->columns; ++c) {
            call.out[0]->at(r, c) =
                call.op.spec.factor * call.weights[0].at(size(call.tokens[r]), c);
        }
    }
}

void position_embedding(Call& call) {
    for (std::size_t i = 0; i < call.out[0]->data.size(); ++i)
        call.out[0]->data[i] = call.in[0]->data[i] + call.weights[0].data[i];
}

void linear(Call& call) {
    const auto& x = *call.in[0];
    const auto& w = call.weights[0];
    for (std::size_t r = 0; r < x.rows; ++r) {
        for (std::size_t n = 0; n < call.out[0]->columns; ++n) {
            double sum = call.weights.size() > 1 ? call.weights[1].data[n] : 0;
            for (std::size_t k = 0; k < x.columns; ++k)
                sum += x.at(r, k) * (call.op.spec.transposed ? w.at(k, n) : w.at(n, k));
            call.out[0]->at(r, n) = sum;
        }
    }
}

void norm(Call& call) {
    const auto& spec = *call.op.spec.norm;
    const auto& x = *call.in[0];
    const auto group = spec.group ? size(spec.group) : x.columns;
    for (std::size_t start = 0; start < x.data.size(); start += group) {
        double mean = 0;
        double square = 0;
        for (std::size_t i = 0; i < group; ++i) mean += x.data[start + i];
        mean = spec.kind == NormKind::layer ? mean / static_cast<double>(group) : 0;
        for (std::size_t i = 0; i < group; ++i)
            square += (x.data[start + i] - mean) * (x.data[start + i] - mean);
        const double scale = 1 / std::sqrt(square / static_cast<double>(group) + spec.eps);
        for (std::size_t i = 0; i < group; ++i) {
            const auto w = spec.weight_per_group ? start % x.columns + i : i;
            call.out[0]->data[start + i] =
                (x.data[start + i] - mean) * scale *
                    (call.weights[0].data[w] + (spec.unit_offset ? 1 : 0)) +
                (call.weights.size() > 1 ? call.weights[1].data[w] : 0);
        }
    }
}

void add(Call& call) {
    for (std::size_t i = 0; i < call.out[0]->data.size(); ++i) {
        call.out[0]->data[i] = call.in[0]->data[i];
        for (std::size_t k = 1; k < call.in.size(); ++k)
            call.out[0]->data[i] += call.op.spec.factor * call.in[k]->data[i];
    }
}

void rope(Call& call) {
    const auto& spec = *call.op.spec.rope;
    const auto half = size(spec.rotary_dim / 2);
    for (std::size_t k = 0; k < 2; ++k) {
        auto& out = *call.out[k];
        out = *call.in[k];
        for (std::size_t r = 0; r < out.rows; ++r) {
            for (std::size_t head = 0; head < out.columns; head += size(spec.head_dim)) {
                for (std::size_t i = 0; i < half; ++i) {
                    const auto first = head + (spec.interleaved ? 2 * i : i);
                    const auto second = first + (spec.interleaved ? 1 : half);
                    const double angle =
                        static_cast<double>(r) / spec.position_scale *
                        std::pow(spec.theta, -2.0 * static_cast<double>(i) /
                                                 static_cast<double>(spec.rotary_dim));
                    const double a = out.at(r, first);
                    const double b = out.at(r, second);
                    out.at(r, first) = a * std::cos(angle) - b * std::sin(angle);
                    out.at(r, second) = b * std::cos(angle) + a * std::sin(angle);
                }
            }
        }
    }
}

void unpack_qkv(Call& call) {
    const auto& spec = *call.op.spec.attention;
    const bool concat = *call.op.spec.packing == QkvPacking::concat;
    const auto dim = size(spec.head_dim);
    const auto groups = concat ? 1 : size(spec.kv_heads);
    const auto queries = size(spec.heads) / groups;
    const auto keys = size(spec.kv_heads) / groups;
    const auto widths = std::array{queries * dim, keys * dim, keys * dim};
    for (std::size_t r = 0; r < call.in[0]->rows; ++r) {
        std::size_t from = 0;
        for (std::size_t g = 0; g < groups; ++g) {
            for (std::size_t part = 0; part < 3; ++part) {
                for (std::size_t c = 0; c < widths[part]; ++c)
                    call.out[part]->at(r, g * widths[part] + c) = call.in[0]->at(r, from++);
            }
        }
    }
}

void attention(Call& call) {
    const auto& spec = *call.op.spec.attention;
    const auto dim = size(spec.head_dim);
    for (std::size_t head = 0; head < size(spec.heads); ++head) {
        const auto q = head * dim;
        const auto kv = head / size(spec.heads / spec.kv_heads) * dim;
        for (std::size_t r = 0; r < call.in[0]->rows; ++r) {
            const auto first =
                spec.window && r + 1 > size(spec.window) ? r + 1 - size(spec.window) : 0;
            double total = 0;
            for (std::size_t t = first; t <= r; ++t) {
                double score = 0;
                for (std::size_t c = 0; c < dim; ++c)
                    score += call.in[0]->at(r, q + c) * call.in[1]->at(t, kv + c);
                score *= spec.scale;
                if (spec.softcap > 0) score = spec.softcap * std::tanh(score / spec.softcap);
                const double weight = std::exp(score);
                total += weight;
                for (std::size_t c = 0; c < dim; ++c)
                    call.out[0]->at(r, q + c) += weight * call.in[2]->at(t, kv + c);
            }
            for (std::size_t c = 0; c < dim; ++c) call.out[0]->at(r, q + c) /= total;
        }
    }
}

double activate(ActivationKind kind, double x) {
    if (kind == ActivationKind::silu) return x / (1 + std::exp(-x));
    if (kind == ActivationKind::gelu) return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    REQUIRE(kind == ActivationKind::gelu_tanh);
    return x / 2 *
           (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

void activation(Call& call) {
    auto& out = *call.out[0];
    const bool halves = call.in.size() == 1 && call.in[0]->columns == 2 * out.columns;
    for (std::size_t r = 0; r < out.rows; ++r) {
        for (std::size_t c = 0; c < out.columns; ++c) {
            out.at(r, c) = activate(*call.op.spec.activation, call.in[0]->at(r, c));
            if (halves) out.at(r, c) *= call.in[0]->at(r, out.columns + c);
            if (call.in.size() > 1) out.at(r, c) *= call.in[1]->at(r, c);
        }
    }
}

void scale(Call& call) {
    const auto cap = call.op.spec.softcap;
    for (std::size_t i = 0; i < call.out[0]->data.size(); ++i) {
        const double x = call.in[0]->data[i] * call.op.spec.factor;
        call.out[0]->data[i] = cap > 0 ? cap * std::tanh(x / cap) : x;
    }
}

void select_last(Call& call) {
    for (std::size_t c = 0; c < call.out[0]->columns; ++c)
        call.out[0]->at(0, c) = call.in[0]->at(call.in[0]->rows - 1, c);
}

void run(Call& call) {
    switch (call.op.kind) {
        case OpKind::embedding:
            return embedding(call);
        case OpKind::position_embedding:
            return position_embedding(call);
        case OpKind::linear:
            return linear(call);
        case OpKind::norm:
            return norm(call);
        case OpKind::add:
            return add(call);
        case OpKind::rope:
            return rope(call);
        case OpKind::unpack_qkv:
            return unpack_qkv(call);
        case OpKind::attention:
            return attention(call);
        case OpKind::activation:
            return activation(call);
        case OpKind::scale:
            return scale(call);
        case OpKind::select_last:
            return select_last(call);
        default:
            FAIL("no dense family has a " << name_of(call.op.kind));
    }
}

Matrix weight(const Model& model, const Block& block, const Tensor& tensor, int layer) {
    const auto& owner = model.blocks.front();
    const auto name =
        tensor.tied ? full_name(owner, owner.tensors.front(), -1) : full_name(block, tensor, layer);
    const auto columns = size(tensor.shape.back());
    Matrix out(size(tensor.elements()) / columns, columns);
    for (std::size_t i = 0; i < out.data.size(); ++i) {
        out.data[i] =
            test::reference_weight(name, tensor.shape.size() == 1, static_cast<std::int64_t>(i));
    }
    return out;
}

Matrix run_block(const Model& model, const BlockUse& use, const Matrix& stream,
                 const std::vector<std::int32_t>& tokens) {
    const auto& block = model.blocks[size(use.block)];
    std::vector<Matrix> values;
    for (const auto& activation : block.activations) {
        values.emplace_back(activation.rows == Rows::tokens ? tokens.size() : 1,
                            size(activation.width));
    }
    if (block.input >= 0) values[size(block.input)] = stream;
    for (const auto& op : block.ops) {
        Call call{op, {}, {}, {}, tokens};
        for (const int i : op.inputs) call.in.push_back(&values[size(i)]);
        for (const int i : op.outputs) call.out.push_back(&values[size(i)]);
        for (const int i : op.weights)
            call.weights.push_back(weight(model, block, block.tensors[size(i)], use.layer));
        run(call);
    }
    return values[size(block.output)];
}

}  // namespace

TEST_CASE("build: the dense families compute what transformers computes") {
    const auto reference = test::load_transformers_logits();
    CHECK(reference.last_logits.size() == 18);
    for (const auto& [family, logits] : reference.last_logits) {
        INFO(family);
        const auto model = build_model(read_model_config(test::tiny_config(family), "tiny"));
        Matrix stream;
        for (const auto& use : model.sequence)
            stream = run_block(model, use, stream, reference.tokens);
        REQUIRE(stream.rows == 1);
        REQUIRE(stream.columns == 256);
        // transformers keeps rotation angles and some norms in float even in a float64 model
        double largest = 0;
        for (const double logit : logits) largest = std::max(largest, std::abs(logit));
        for (std::size_t i = 0; i < logits.size(); ++i) {
            INFO(i << ": " << stream.data[i] << " for " << logits[i]);
            CHECK(std::abs(stream.data[i] - logits[i]) <= 1e-5 * largest);
        }
    }
}
