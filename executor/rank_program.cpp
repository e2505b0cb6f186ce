#include "executor/rank_program.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "core/error.h"
#include "core/text.h"
#include "executor/device_memory.h"

namespace tplan {
namespace {

const Step& step_of(const Program& program, const ExecutedStep& at) {
    return program.sections[static_cast<std::size_t>(at.section)]
        .steps[static_cast<std::size_t>(at.step)];
}

const Buffer& buffer_of(const Program& program, int index) {
    return program.buffers[static_cast<std::size_t>(index)];
}

void require(bool fits, const BoundStep& step, int rank, const std::string& what) {
    if (!fits) {
        throw Error("program/" + step.id, fmt::format("rank {}: {}", rank, what),
                    "the plan's shapes do not fit together");
    }
}

std::size_t at(int i) {
    return static_cast<std::size_t>(i);
}

std::int64_t columns_of(const std::vector<Matrix>& matrices) {
    return std::accumulate(matrices.begin(), matrices.end(), std::int64_t{0},
                           [](auto sum, const Matrix& m) { return sum + m.columns; });
}

/// Rows of the embedding table: the number of token ids. 0 without one: a program may be part of a
/// model, its first inputs zero.
std::int64_t vocabulary(const Program& program) {
    for (const auto& section : program.sections) {
        for (const auto& step : section.steps) {
            if (step.kind == OpKind::embedding) {
                return program.tensors[static_cast<std::size_t>(step.weights[0].tensor)].shape[0];
            }
        }
    }
    return 0;
}

}  // namespace

RankProgram::RankProgram(Backend& backend, int rank, const RankSetup& setup,
                         const std::function<void(int rank)>& after_step)
    : backend_(backend),
      rank_(rank),
      setup_(setup),
      weights_(backend, rank, setup_.program, setup_.weights) {
    if (setup_.workload.phase == Phase::train) {
        training_ = std::make_unique<RankTraining>(backend, rank, setup_.program, setup_.workload,
                                                   setup_.steps, weights_);
    } else {
        place();
    }
    place_tokens();
    for (const auto& at : setup_.steps) {
        bind(at);
        after_step(rank_);
    }
    for (auto& step : steps_) backend_.prepare(rank_, step);
}

void RankProgram::place() {
    const auto& program = setup_.program;
    const auto places = place_buffers(program, rank_);
    const auto pairs = pair_buffers(program);
    std::vector<Matrix> allocations;
    for (std::size_t i = 0; i < places.widths.size(); ++i) {
        const auto rows = owned_rows(buffer_of(program, places.first[i]), setup_.workload, rank_);
        Matrix m{
            nullptr, rows.extent, places.widths[i], places.widths[i],
            pairs[at(places.first[i])] ? DType::fp32 : backend_.activation_dtype(setup_.dtype)};
        memory_.push_back(device_memory(backend_, rank_, static_cast<std::size_t>(m.bytes()),
                                        MemoryKind::exchanged));
        m.data = memory_.back().get();
        allocations.push_back(m);
    }
    for (std::size_t b = 0; b < program.buffers.size(); ++b) {
        const auto& place = places.places[b];
        auto view = allocations[static_cast<std::size_t>(place.allocation)];
        view.data = view.place(0, place.column);
        view.columns = local_width(program.buffers[b], rank_);
        buffers_.push_back(view);
    }
}

void RankProgram::place_tokens() {
    const auto vocab = vocabulary(setup_.program);
    if (vocab == 0) return;
    const auto rows = setup_.workload.rows(Rows::tokens);
    auto ids = setup_.tokens;
    if (ids.empty()) ids = synthetic_tokens(setup_.seed, rows, vocab);
    if (ids.size() != static_cast<std::size_t>(rows)) {
        throw Error("tokens", fmt::format("{} given for {} rows", ids.size(), rows));
    }
    memory_.push_back(device_memory(backend_, rank_, ids.size() * sizeof(std::int32_t)));
    token_ids_ = static_cast<std::int32_t*>(memory_.back().get());
    backend_.upload_ids(rank_, token_ids_, ids.data(), ids.size());
}

void RankProgram::bind(const ExecutedStep& at) {
    const auto& workload = setup_.workload;
    BoundStep bound;
    bound.step = &step_of(setup_.program, at);
    bound.id = at.id;
    bound.index = static_cast<std::int64_t>(steps_.size());
    bound.layer = at.layer;
    bound.batch = workload.batch;
    bound.query_tokens = workload.query_tokens();
    bound.first_position = workload.cached_tokens() - workload.query_tokens();
    bound.token_ids = token_ids_;
    bind_buffers(bound);
    if (training_) {
        training_->bind_weights(bound, at);
    } else {
        bind_weights(bound, at);
    }
    const auto& step = *bound.step;
    if (step.kind == OpKind::attention && step.pass)
        bound.kv_of_head = kv_of_heads(setup_.program, step, rank_);
    if (step.kind == OpKind::attention && !step.pass) bind_attention(bound);
    if (step.kind == OpKind::largest)
        bound.columns = owned_columns(buffer_of(setup_.program, step.inputs[0]), rank_);
    const bool moves = is_collective(step.kind) || step.kind == OpKind::slice;
    if (moves && !step.inputs.empty()) bind_reshard(bound);
    steps_.push_back(std::move(bound));
}

void RankProgram::bind_buffers(BoundStep& bound) {
    const auto& step = *bound.step;
    const auto& shaped = step.outputs.empty() ? step.inputs : step.outputs;
    if (!shaped.empty()) {
        const auto& buffer = buffer_of(setup_.program, shaped[0]);
        bound.first_row = owned_rows(buffer, setup_.workload, rank_).offset;
    }
    if (training_) return training_->bind_values(bound, steps_.size());
    for (const int b : step.inputs) bound.inputs.push_back(buffer(b));
    for (const int b : step.outputs) bound.outputs.push_back(buffer(b));
}

void RankProgram::bind_weights(BoundStep& bound, const ExecutedStep& at) {
    const auto& step = *bound.step;
    const auto uses = weight_uses(setup_.program, at, rank_);
    if (auto bias = weights_.load_bias(at, step); bias.owner) {
        bound.bias = bias.view;
        memory_.push_back(std::move(bias.owner));
    }
    if (step.kind == OpKind::linear) {
        std::int64_t n = 0;
        for (const auto& use : uses) {
            n += use.transposed ? use.local.column_count() : use.local.row_count();
            const auto k = use.transposed ? use.local.row_count() : use.local.column_count();
            require(k == bound.inputs[0].columns, bound, rank_,
                    fmt::format("weights for {} inputs on {} columns", k, bound.inputs[0].columns));
        }
        require(
            n == columns_of(bound.outputs), bound, rank_,
            fmt::format("weights for {} outputs into {} columns", n, columns_of(bound.outputs)));
        bound.linear = weights_.load_linear(uses, bound.inputs[0].rows, setup_.dtype);
        return;
    }
    for (const auto& use : uses) {
        // Experts' matrices run in the type of the activations; what is small stays exact.
        const bool product = step.kind == OpKind::moe_experts && use.role == WeightRole::matrix;
        auto loaded =
            weights_.load(use, product ? backend_.activation_dtype(setup_.dtype) : DType::fp32);
        bound.weights.push_back(loaded.view);
        memory_.push_back(std::move(loaded.owner));
    }
    const auto& weights = bound.weights;
    if (step.kind == OpKind::moe_experts) bind_experts(bound, uses);
    if (step.kind == OpKind::embedding) {
        bound.first_vocab_row = uses[0].local.rows.empty() ? 0 : uses[0].local.rows[0].offset;
        require(uses[0].local.rows.size() <= 1, bound, rank_, "a table in several pieces");
    }
    if (step.kind == OpKind::embedding || step.kind == OpKind::position_embedding) {
        require(weights[0].columns == bound.outputs[0].columns || weights[0].rows == 0, bound,
                rank_, "a table of another width than its output");
    }
    if (step.kind == OpKind::norm || step.kind == OpKind::add_norm) {
        const auto& spec = *step.spec.norm;
        const auto width = bound.inputs[0].columns;
        const bool one_group = spec.group > 0 && !spec.weight_per_group;
        for (const auto& weight : weights) {
            require(weight.elements() == (one_group ? spec.group : width), bound, rank_,
                    fmt::format("{} norm weights on {} columns", weight.elements(), width));
        }
        require(spec.group == 0 || width % spec.group == 0, bound, rank_,
                "a group of columns is cut");
        const auto& in = buffer_of(setup_.program, step.inputs[0]);
        require(spec.group > 0 || width == in.width, bound, rank_,
                "a norm over all columns has only some");
    }
}

void RankProgram::bind_experts(BoundStep& bound, const std::vector<WeightUse>& uses) {
    const auto& weights = bound.weights;
    const auto hidden = bound.inputs[0].columns;
    const auto experts = uses[0].local.stack;
    const auto& rows = uses[0].local.rows;
    const auto& shape =
        setup_.program.tensors[static_cast<std::size_t>(uses[0].instance.tensor)].shape;
    if (!rows.empty()) bound.first_expert = rows.front().offset / shape[1];
    const auto ffn = weights[1].columns;
    require(uses[1].local.stack == experts && weights[1].rows == experts * hidden &&
                weights[0].rows == experts * 2 * ffn &&
                (experts == 0 || weights[0].columns == hidden),
            bound, rank_,
            fmt::format("experts of [{}, {}] and [{}, {}] on {} columns", weights[0].rows,
                        weights[0].columns, weights[1].rows, ffn, hidden));
    require(bound.step->spec.moe->gated, bound, rank_, "experts without a gate");
    require(bound.inputs[1].columns >= bound.first_expert + experts, bound, rank_,
            "routing weights of fewer experts than it holds");
    for (std::size_t i = 2; i < weights.size(); ++i) {
        require(weights[i].rows == experts && weights[i].columns == (i == 2 ? 2 * ffn : hidden),
                bound, rank_, "biases of other experts");
    }
}

void RankProgram::bind_attention(BoundStep& bound) {
    const auto& step = *bound.step;
    const auto& spec = *step.spec.attention;
    require(bound.outputs[0].rows == setup_.workload.rows(Rows::tokens), bound, rank_,
            "attention over some of the tokens");
    bound.kv_of_head = kv_of_heads(setup_.program, step, rank_);
    bound.cache.tokens = cached_tokens(spec, setup_.workload);
    const bool latent = spec.latent_width > 0;
    const auto held = [&](int input, std::int64_t dim) {
        return held_heads(buffer_of(setup_.program, step.inputs[at(input)]), dim, rank_);
    };
    const auto keys = held(latent ? 0 : 1, spec.head_dim);
    bound.cache.keys = make_cache(keys, spec.head_dim, bound, false);
    bound.cache.values =
        make_cache(latent ? keys : held(2, spec.v_head_dim), spec.v_head_dim, bound, true);
    const auto heads = static_cast<std::int64_t>(bound.kv_of_head.size());
    if (latent) {
        const auto plain = spec.head_dim - bound.inputs[1].columns;
        require(bound.outputs[0].columns == heads * spec.v_head_dim && plain > 0 &&
                    bound.inputs[2].columns == heads * (plain + spec.v_head_dim),
                bound, rank_, "latent heads in and out differ");
        return;
    }
    require(bound.outputs[0].columns == heads * spec.v_head_dim, bound, rank_,
            "heads in and out differ");
    require(bound.inputs[1].columns / spec.head_dim == bound.inputs[2].columns / spec.v_head_dim,
            bound, rank_, "keys and values of different heads");
    require(!spec.sinks || (bound.weights.size() == 1 && bound.weights[0].elements() == heads),
            bound, rank_, "sinks of other heads");
}

Matrix RankProgram::make_cache(const std::vector<std::int64_t>& heads, std::int64_t dim,
                               const BoundStep& bound, bool values) {
    const auto tokens = bound.cache.tokens;
    const auto old = tokens - bound.query_tokens;
    Matrix cache{nullptr, bound.batch * static_cast<std::int64_t>(heads.size()) * tokens, dim, dim,
                 backend_.activation_dtype(setup_.dtype)};
    memory_.push_back(device_memory(backend_, rank_, static_cast<std::size_t>(cache.bytes())));
    cache.data = memory_.back().get();
    std::vector<float> host(static_cast<std::size_t>(old * dim));
    auto run = cache;  // the old tokens of one head of one sequence
    run.rows = old;
    for (std::int64_t s = 0; s < bound.batch && old > 0; ++s) {
        for (std::size_t h = 0; h < heads.size(); ++h) {
            const auto at =
                s * static_cast<std::int64_t>(heads.size()) + static_cast<std::int64_t>(h);
            synthetic_cache(setup_.seed,
                            {.layer = bound.layer,
                             .values = values,
                             .sequence = s,
                             .kv_head = heads[h],
                             .first = bound.first_position - old,
                             .tokens = old,
                             .dim = dim},
                            host.data());
            run.data = cache.place(at * tokens, 0);
            backend_.upload(rank_, run, host.data());
        }
    }
    return cache;
}

void RankProgram::bind_reshard(BoundStep& bound) {
    const auto& in = buffer_of(setup_.program, bound.step->inputs[0]);
    const auto& out = buffer_of(setup_.program, bound.step->outputs[0]);
    bound.from = in.layout.split;
    bound.to = out.layout.split;
    bound.width = out.width;
    if (bound.step->kind == OpKind::slice) bound.columns = owned_columns(out, rank_);
    const bool rows = in.layout.splits_rows() || out.layout.splits_rows();
    require(!rows || bound.step->rows == Rows::tokens, bound, rank_,
            "only rows that are tokens can be cut");
    require(in.width == out.width && in.rows == out.rows, bound, rank_,
            "input and output of different shapes");
}

}  // namespace tplan
